"""StyleGAN3's settings in NVIDIA's words: translated, or read from names and shapes."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from math import ceil, floor
from typing import Any

import torch
from torch import Tensor

from datasetgan.checkpoints.layouts.settings import read_settings
from datasetgan.errors import CheckpointError, ConfigError, UsageError, listed
from datasetgan.generators.stylegan3 import StyleGAN3Config
from datasetgan.generators.stylegan3_schedule import FilterPlan, plan_layers, signal_cutoff
from datasetgan.serialization import from_plain

__all__ = [
    "FAMILY",
    "SCHEDULE",
    "SOURCE",
    "completed",
    "filter_plans",
    "infer_config",
    "stylegan3_config",
]

FAMILY = "StyleGAN3"
SOURCE = "the nvidia-stylegan3 state dict"
_NAMES = {
    "img_resolution": "resolution",
    "img_channels": "image_channels",
    "z_dim": "z_dim",
    "w_dim": "w_dim",
    "c_dim": "label_dim",
    "margin_size": "margin",
    "lrelu_upsampling": "activation_upsampling",
    "use_radial_filters": "down_filter",
} | {
    word: word
    for word in (
        "channel_base",
        "channel_max",
        "num_layers",
        "num_critical",
        "first_cutoff",
        "first_stopband",
        "last_stopband_rel",
        "output_scale",
        "conv_kernel",
        "filter_size",
        "conv_clamp",
    )
}
_IGNORED = {"num_fp16_res", "magnitude_ema_beta"}
# Settings that leave no trace in shapes; the stored filters tell whether they are right.
SCHEDULE = "num_critical, first_cutoff, first_stopband, last_stopband_rel, lrelu_upsampling"
# No network comes near; beyond it, settings are a mistake or an attack.
_LARGEST = {
    "resolution": 2**14,
    "num_layers": 256,
    "mapping_layers": 256,
    "margin": 1024,
    "filter_size": 32,
    "activation_upsampling": 16,
    "conv_kernel": 63,
}
_LARGEST_FILTER = 256


def infer_config(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read settings from names, shapes and the kind of the filters.

    `conv_clamp` and `output_scale` leave no trace: NVIDIA's defaults, 256 and 0.25. What
    lies behind the filters is taken as NVIDIA's default; building the network holds the
    filters against it.

    Raises:
        CheckpointError: a tensor is missing, or the layers follow no usual schedule.
    """
    # 1. Sizes and channels stand in the layers' names; counts in the shapes.
    layers = _layers(tensors)
    mapping = [n for n in tensors if re.fullmatch(r"mapping\.fc\d+\.weight", n)]
    w_dim = _shape(tensors, f"{layers[0]}.affine.weight", 2)[1]
    embed = (
        _shape(tensors, "mapping.embed.weight", 2) if "mapping.embed.weight" in tensors else None
    )
    sizes, channels = zip(*(map(int, name.split("_")[1:]) for name in layers), strict=True)
    first = _shape(tensors, f"{layers[0]}.weight", 4)
    radial, taps = _filter_shapes(tensors, layers)
    # 2. The margin and the channels follow rules; find the numbers behind them.
    try:
        blank = StyleGAN3Config(
            resolution=sizes[-1],
            num_layers=len(layers) - 1,
            channel_base=2**30,
            channel_max=max(channels[:-1]),
        )
        margin = (sizes[0] - plan_layers(blank)[0].sampling_rate) / 2
        cutoffs = [signal_cutoff(blank, index) for index in range(len(layers) - 1)]
        settings = replace(
            blank,
            margin=floor(margin),
            image_channels=channels[-1],
            channel_base=_channel_base(cutoffs, channels[:-1], resolution=sizes[-1]),
        )
        planned = [f"synthesis.{plan.name}" for plan in plan_layers(settings)]
    except UsageError as error:
        raise CheckpointError(f"{SOURCE}: {error}") from error
    if margin % 1 or planned != layers:
        raise CheckpointError(
            f"{SOURCE}: the settings cannot be read from its layers {listed(layers)}; the usual "
            f"schedule would give {listed(planned)}. Give NVIDIA's init_kwargs in full, with "
            f"{SCHEDULE}, margin_size, channel_base and channel_max."
        )
    return {
        "z_dim": _shape(tensors, "mapping.fc0.weight", 2)[1] - (embed[0] if embed else 0),
        "c_dim": embed[1] if embed else 0,
        "w_dim": w_dim,
        "img_resolution": settings.resolution,
        "img_channels": settings.image_channels,
        "mapping_kwargs": {"num_layers": len(mapping)},
        "channel_base": settings.channel_base,
        "channel_max": settings.channel_max,
        "num_layers": settings.num_layers,
        "margin_size": settings.margin,
        "conv_kernel": first[2],
        "use_radial_filters": radial,
        # The first layer's grid is as fine as its input's, so `up` is the activation's own.
        "filter_size": taps // settings.activation_upsampling,
    }


def _layers(names: Collection[str]) -> list[str]:
    """Return the layers' names in order; every index must be there once."""
    found = {
        int(match[1]): match[0].removesuffix(".weight")
        for name in names
        if (match := re.fullmatch(r"synthesis\.L(\d{1,3})_\d{1,5}_\d{1,5}\.weight", name))
    }
    if len(found) < 3 or sorted(found) != list(range(len(found))):
        raise CheckpointError(
            f"{SOURCE}: expected layers synthesis.L0_... to the RGB layer without a gap, "
            f"got {listed([found[i] for i in sorted(found)]) or 'none'}."
        )
    return [found[index] for index in range(len(found))]


def _filter_shapes(tensors: Mapping[str, Tensor], layers: list[str]) -> tuple[bool, int]:
    missing = [
        n for n in (f"{layers[0]}.up_filter", f"{layers[0]}.down_filter") if n not in tensors
    ]
    if missing:
        raise CheckpointError(
            f"{SOURCE} lacks {listed(missing)}, from which the filters' settings are read. "
            "Give NVIDIA's init_kwargs in full, with use_radial_filters (true for StyleGAN3-R) "
            "and filter_size."
        )
    radial = tensors[f"{layers[0]}.down_filter"].ndim == 2
    return radial, _shape(tensors, f"{layers[0]}.up_filter", 1)[0]


def _channel_base(cutoffs: list[float], channels: tuple[int, ...], *, resolution: int) -> int:
    """Return a `channel_base` that gives these channels, as round as one can be had."""
    # channels = round(base / 2 / cutoff) bounds the base from both sides; the cap from below.
    least = max(2 * f * (c - 0.5) for f, c in zip(cutoffs, channels, strict=True))
    uncapped = [
        2 * f * (c + 0.5) for f, c in zip(cutoffs, channels, strict=True) if c < max(channels)
    ]
    most = min(uncapped, default=float("inf"))
    exact = channels[-1] * resolution
    return exact if least <= exact <= most else ceil(least)


def _shape(tensors: Mapping[str, Tensor], name: str, ndim: int) -> torch.Size:
    if name not in tensors or tensors[name].ndim != ndim or 0 in tensors[name].shape:
        came = list(tensors[name].shape) if name in tensors else "nothing"
        raise CheckpointError(
            f"{SOURCE}: settings cannot be read from the shapes: {name} must have {ndim} axes, "
            f"none empty, got {came}."
        )
    return tensors[name].shape


def completed(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Any]:
    """Add what the tensors tell to settings that leave the image's size out.

    Complete `init_kwargs` always state it, and mean NVIDIA's defaults by what they leave
    out; without it, settings are amendments, for instance an `output_scale` alone.
    """
    nested = config.get("synthesis_kwargs", {})
    if "img_resolution" in config or (isinstance(nested, Mapping) and "img_resolution" in nested):
        return dict(config)
    inferred = infer_config(tensors)
    mapping = {**inferred["mapping_kwargs"], **config.get("mapping_kwargs", {})}
    return {**inferred, **config, "mapping_kwargs": mapping}


def stylegan3_config(kwargs: Mapping[str, Any]) -> StyleGAN3Config:
    """Translate the `init_kwargs` of NVIDIA's generator.

    Raises:
        CheckpointError: a setting is missing, unknown, not supported or out of range.
    """
    # 1. `num_layers` means another thing inside mapping_kwargs than outside.
    synthesis = {k: v for k, v in kwargs.items() if k != "mapping_kwargs"}
    settings = read_settings(synthesis, names=_NAMES, fixed={}, ignored=_IGNORED, family=FAMILY)
    settings |= read_settings(
        {"mapping_kwargs": kwargs.get("mapping_kwargs", {})},
        names={"num_layers": "mapping_layers"},
        fixed={"lr_multiplier": [0.01]},
        ignored={"w_avg_beta"},
        family=f"{FAMILY}'s mapping",
    )
    radial = settings.pop("down_filter", False)
    if not isinstance(radial, bool):
        raise CheckpointError(f"{FAMILY}'s use_radial_filters must be true or false: {radial!r}.")
    settings["down_filter"] = "radial" if radial else "separable"
    if "resolution" not in settings:
        raise CheckpointError(f"{FAMILY} settings lack img_resolution.")
    # 2. Types and ranges.
    for name in ("channel_base", "channel_max"):
        if isinstance(settings.get(name), float) and settings[name].is_integer():
            settings[name] = int(settings[name])
    try:
        config = from_plain(StyleGAN3Config, settings, source=f"{FAMILY} settings")
    except (ConfigError, UsageError) as error:
        raise CheckpointError(str(error)) from error
    too_large = [
        f"{n} {getattr(config, n)}" for n, most in _LARGEST.items() if getattr(config, n) > most
    ]
    if not too_large:
        too_large = [
            f"a filter of {plan.num_taps} taps"
            for _, plan in filter_plans(config)
            if plan.num_taps > _LARGEST_FILTER
        ]
    if too_large:
        raise CheckpointError(f"{FAMILY} settings beyond any such network: {listed(too_large)}.")
    return config


def filter_plans(config: StyleGAN3Config) -> Iterator[tuple[str, FilterPlan]]:
    """Yield every filter of the network under the name that NVIDIA stores it by."""
    for layer in plan_layers(config):
        if layer.up_filter is not None and layer.down_filter is not None:
            yield f"synthesis.{layer.name}.up_filter", layer.up_filter
            yield f"synthesis.{layer.name}.down_filter", layer.down_filter
