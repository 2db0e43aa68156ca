"""StyleGAN2's settings in NVIDIA's words, read from shapes or given; its construction in bounds.

What the layouts of StyleGAN2 weights share, whatever their names are.
"""

from collections.abc import Callable, Iterable, Mapping
from math import sqrt
from typing import Any

import torch
from torch import Tensor

from datasetgan.checkpoints.layouts.construction import check_extent, described_weights
from datasetgan.errors import CheckpointError, ConfigError, UsageError
from datasetgan.generators import StyleGAN2, StyleGAN2Config
from datasetgan.generators.ops import FILTER_TAPS
from datasetgan.serialization import from_plain

__all__ = [
    "build_stylegan2",
    "channel_settings",
    "check_filters",
    "completed",
    "size_of",
    "stylegan2_config",
]

# Settings of NVIDIA's constructors, and ours for each.
_NAMES = {
    "img_resolution": "resolution",
    "img_channels": "image_channels",
    "c_dim": "label_dim",
    "z_dim": "z_dim",
    "w_dim": "w_dim",
    "channel_base": "channel_base",
    "channel_max": "channel_max",
    "architecture": "architecture",
    "conv_clamp": "conv_clamp",
}
# Settings that do not change the function computed here.
_WITHOUT_EFFECT = {"num_fp16_res", "fp16_channels_last", "fused_modconv_default"}
_WITHOUT_EFFECT_MAPPING = {"w_avg_beta"}
# Settings that are supported at NVIDIA's default alone.
_FIXED: dict[str, Any] = {
    "resample_filter": [1, 3, 3, 1],
    "activation": "lrelu",
    "use_noise": True,
}
_FIXED_MAPPING: dict[str, Any] = {
    "activation": "lrelu",
    "lr_multiplier": 0.01,
    "embed_features": None,
    "layer_features": None,
}
# The StyleGAN2 beside StyleGAN3's code, alone in stating the first word, clamps by default.
_CLAMPING, _DEFAULT_CLAMP = "fused_modconv_default", 256.0
# No network comes near; beyond it, a configuration is a mistake or an attack.
_LARGEST = 1 << 20
_LARGEST_RESOLUTION = 4096
_MOST_LAYERS = 64


def stylegan2_config(kwargs: Mapping[str, Any]) -> StyleGAN2Config:
    """Translate the `init_kwargs` of NVIDIA's PyTorch generators.

    Args:
        kwargs: as they stand, flat or with `mapping_kwargs` and `synthesis_kwargs`.

    Raises:
        CheckpointError: a setting is missing, unknown, not supported or out of range.
    """
    # 1. Flatten: mapping_kwargs and synthesis_kwargs hold settings of their own.
    flat = {k: v for k, v in kwargs.items() if k not in ("mapping_kwargs", "synthesis_kwargs")}
    flat |= _nested(kwargs, "synthesis_kwargs")
    mapping = _nested(kwargs, "mapping_kwargs")
    # 2. Anything unknown would change the network silently.
    unknown = _unsupported(flat, {*_NAMES, *_WITHOUT_EFFECT}, _FIXED)
    in_mapping = _unsupported(mapping, {"num_layers", *_WITHOUT_EFFECT_MAPPING}, _FIXED_MAPPING)
    unknown += [f"mapping_kwargs.{name}" for name in in_mapping]
    if unknown:
        raise CheckpointError(
            f"StyleGAN2 settings that are not supported: {', '.join(unknown)}. "
            f"Supported: {', '.join(_NAMES)}, mapping_kwargs.num_layers."
        )
    # 3. Translate; types and ranges are checked before anything is built.
    settings = {_NAMES[k]: v for k, v in flat.items() if k in _NAMES}
    if "num_layers" in mapping:
        settings["mapping_layers"] = mapping["num_layers"]
    if _CLAMPING in flat:
        settings.setdefault("conv_clamp", _DEFAULT_CLAMP)
    if "resolution" not in settings:
        raise CheckpointError("StyleGAN2 settings lack img_resolution.")
    try:
        config = from_plain(StyleGAN2Config, settings, source="StyleGAN2 settings")
    except (ConfigError, UsageError) as error:
        raise CheckpointError(str(error)) from error
    _check_range(config)
    return config


def completed(kwargs: Mapping[str, Any], infer: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Add what the shapes tell to settings that do not state the image's size.

    Complete `init_kwargs` always state it, and mean NVIDIA's defaults by what they leave
    out; without it, settings are amendments, for instance a `conv_clamp` alone.
    """
    if "img_resolution" in kwargs or "img_resolution" in _nested(kwargs, "synthesis_kwargs"):
        return dict(kwargs)
    inferred = infer()
    mapping = _nested(inferred, "mapping_kwargs") | _nested(kwargs, "mapping_kwargs")
    return {**inferred, **kwargs, "mapping_kwargs": mapping}


def _nested(kwargs: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = kwargs.get(name, {})
    if not isinstance(value, Mapping):
        raise CheckpointError(f"StyleGAN2 settings: {name} must hold settings, got {value!r}.")
    return dict(value)


def _unsupported(
    settings: Mapping[str, Any], known: Iterable[str], fixed: Mapping[str, Any]
) -> list[str]:
    return sorted(
        name
        for name, value in settings.items()
        if name not in known and not (name in fixed and _same(value, fixed[name]))
    )


def _same(value: Any, wanted: Any) -> bool:
    plain = list(value) if isinstance(value, (list, tuple)) else value
    return type(plain) in (type(wanted), int, float) and bool(plain == wanted)


def _check_range(config: StyleGAN2Config) -> None:
    sizes = {
        "img_resolution": (config.resolution, 4, _LARGEST_RESOLUTION),
        "z_dim": (config.z_dim, 1, _LARGEST),
        "w_dim": (config.w_dim, 1, _LARGEST),
        "c_dim": (config.label_dim, 0, _LARGEST),
        "img_channels": (config.image_channels, 1, _LARGEST),
        "channel_max": (config.channel_max, 1, _LARGEST),
        "mapping_kwargs.num_layers": (config.mapping_layers, 1, _MOST_LAYERS),
        "channel_base": (config.channel_base, config.resolution, _LARGEST * _LARGEST),
    }
    for name, (value, least, most) in sizes.items():
        if not least <= value <= most:
            raise CheckpointError(
                f"StyleGAN2 settings: {name} must be from {least} to {most}, got {value}."
            )


def channel_settings(channels: Mapping[int, int]) -> dict[str, int]:
    """Return `channel_base` and `channel_max` that give these channels by resolution.

    Several pairs may give the same network; this is the smallest.

    Raises:
        CheckpointError: no pair does, because channels grow with the resolution or do not
            halve as it doubles.
    """
    channel_max = max(channels.values())
    channel_base = max(size * count for size, count in channels.items())
    given = {size: min(channel_base // size, channel_max) for size in channels}
    if given != dict(channels):
        came = ", ".join(f"{count} at {size} px" for size, count in sorted(channels.items()))
        raise CheckpointError(
            f"these channels follow no StyleGAN rule min(channel_base / size, channel_max): "
            f"{came}. Networks of another shape are not supported."
        )
    return {"channel_base": channel_base, "channel_max": channel_max}


def size_of(tensors: Mapping[str, Tensor], name: str, *, ndim: int) -> torch.Size:
    """Return the shape of a tensor that settings are read from.

    Raises:
        CheckpointError: it is missing or has another number of axes.
    """
    if name not in tensors:
        raise CheckpointError(f"settings cannot be read from the shapes: {name} is missing.")
    shape = tensors[name].shape
    if len(shape) != ndim or 0 in shape:
        raise CheckpointError(
            f"settings cannot be read from the shapes: {name} is {list(shape)}, "
            f"expected {ndim} axes, none empty."
        )
    return shape


def check_filters(filters: Mapping[str, Tensor], *, gain: float, source: str) -> None:
    """Raise `CheckpointError` unless stored filters are [1, 3, 3, 1] x [1, 3, 3, 1].

    Args:
        gain: sum of a stored filter's taps.
    """
    taps = torch.tensor(FILTER_TAPS) * (sqrt(gain) / sum(FILTER_TAPS))
    wanted = torch.outer(taps, taps)
    for name, stored in filters.items():
        if stored.shape != wanted.shape or not torch.allclose(stored.float(), wanted, atol=1e-3):
            raise CheckpointError(
                f"{source}: {name} is not the filter [1, 3, 3, 1] that this StyleGAN2 resamples "
                "with. Weights trained with another filter are not supported."
            )


def build_stylegan2(
    config: StyleGAN2Config, tensors: Mapping[str, Tensor], *, source: str
) -> StyleGAN2:
    """Return a generator for tensors to be loaded into.

    A configuration that claims far more than the tensors hold therefore costs nothing.

    Raises:
        CheckpointError: it does.
    """
    described = described_weights(config, embed_dim=config.w_dim)
    check_extent(described, tensors, source=source)
    return StyleGAN2(config)
