"""StyleGAN1's settings in NVIDIA's words, read from shapes or given; its construction in bounds.

What the layouts of StyleGAN1 weights share, whatever their names are.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from datasetgan.checkpoints.layouts.construction import check_extent, described_weights
from datasetgan.checkpoints.layouts.settings import check_agreement, read_settings
from datasetgan.checkpoints.layouts.stylegan2_settings import channel_settings
from datasetgan.checkpoints.native import check_fit, load_into
from datasetgan.errors import CheckpointError, ConfigError, UsageError
from datasetgan.generators.stylegan1 import StyleGAN1, StyleGAN1Config
from datasetgan.serialization import from_plain

__all__ = ["build_stylegan1", "stylegan1_config", "stylegan1_settings"]

_FAMILY = "StyleGAN1"
# From this size on the published weights are those of the fused up-sampling layer.
_FUSED_FROM = 128
# No network comes near; beyond it, the file is a mistake or an attack.
_LARGEST_RESOLUTION = 4096

# The words of the official TensorFlow code, and those of its PyTorch successors.
_NAMES = {
    "resolution": "resolution",
    "img_resolution": "resolution",
    "latent_size": "z_dim",
    "z_dim": "z_dim",
    "dlatent_size": "w_dim",
    "w_dim": "w_dim",
    "mapping_fmaps": "mapping_fmaps",
    "label_size": "label_dim",
    "c_dim": "label_dim",
    "num_channels": "image_channels",
    "img_channels": "image_channels",
    "mapping_layers": "mapping_layers",
    "num_layers": "mapping_layers",
    "fmap_base": "fmap_base",
    "fmap_max": "channel_max",
    "truncation_cutoff": "truncation_cutoff",
    "fused_scale": "fused_scale",
    "tap": "tap",
}
_FIXED: dict[str, list[Any]] = {
    "fmap_decay": [1.0],
    "const_input_layer": [True],
    "use_wscale": [True],
    "use_styles": [True],
    "use_noise": [True],
    "use_instance_norm": [True],
    "use_pixel_norm": [False],
    "normalize_latents": [True],
    "nonlinearity": ["lrelu"],
    "mapping_nonlinearity": ["lrelu"],
    "mapping_use_wscale": [True],
    "mapping_lrmul": [0.01],
    "blur_filter": [[1, 2, 1]],
    "fused_scale": ["auto", True, False],
}


def stylegan1_settings(
    *,
    z_dim: int,
    w_dim: int,
    mapping_layers: int,
    block_channels: Mapping[int, int],
    image_channels: int,
    label_dim: int = 0,
) -> dict[str, Any]:
    """Return what shapes tell, in NVIDIA's words.

    Args:
        z_dim: length of z.
        w_dim: length of w.
        mapping_layers: fully connected layers of the mapping.
        block_channels: channels by block resolution.
        image_channels: of the image.
        label_dim: classes that the mapping is conditioned on.

    Raises:
        CheckpointError: a block is missing, or the channels follow no rule.
    """
    resolution = max(block_channels)
    expected = [2**i for i in range(2, resolution.bit_length())]
    if sorted(block_channels) != expected or resolution > _LARGEST_RESOLUTION:
        raise CheckpointError(
            f"StyleGAN1's blocks must double from 4 px on, to {_LARGEST_RESOLUTION} px at most; "
            f"these tensors have blocks of {', '.join(map(str, sorted(block_channels)))} px."
        )
    channels = channel_settings(block_channels)
    return {
        "resolution": resolution,
        "latent_size": z_dim,
        "dlatent_size": w_dim,
        "label_size": label_dim,
        "num_channels": image_channels,
        "mapping_layers": mapping_layers,
        "fmap_base": channels["channel_base"] // 2,
        "fmap_max": channels["channel_max"],
    }


def stylegan1_config(
    inferred: Mapping[str, Any], config: Mapping[str, Any], *, norm_epsilon: float
) -> tuple[StyleGAN1Config, str | bool]:
    """Return the configuration, and `fused_scale`: which up-sampling layers are fused.

    Args:
        inferred: what `stylegan1_settings` tells.
        config: what the checkpoint or the user states, in NVIDIA's words, with `tap` and
            `truncation_cutoff`; what it leaves out is taken from the shapes.
        norm_epsilon: of the implementation that wrote the weights.

    Raises:
        CheckpointError: a setting is not known, not supported or not that of the shapes.
    """
    # Growth, truncation and averages of w in training leave the network's function alone.
    ignored = [word for word in config if word not in _NAMES and word in _WITHOUT_EFFECT]
    known = read_settings(inferred, names=_NAMES, fixed={}, ignored=(), family=_FAMILY)
    stated = read_settings(config, names=_NAMES, fixed=_FIXED, ignored=ignored, family=_FAMILY)
    fused = stated.pop("fused_scale", "auto")
    known["mapping_fmaps"] = known["w_dim"]
    shapes = {k: v for k, v in known.items() if k not in ("fmap_base", "channel_max")}
    check_agreement(stated, shapes, family=_FAMILY)
    settings = known | stated
    del settings["mapping_fmaps"]
    base = settings.pop("fmap_base")
    if not isinstance(base, int):
        raise CheckpointError(f"StyleGAN1's fmap_base must be a whole number, got {base!r}.")
    settings |= {"channel_base": 2 * base, "norm_epsilon": norm_epsilon}
    try:
        built = from_plain(StyleGAN1Config, settings, source="StyleGAN1 settings")
    except (ConfigError, UsageError) as error:
        raise CheckpointError(str(error)) from error
    _check_channels(built, known)
    return built, fused


def _check_channels(config: StyleGAN1Config, known: Mapping[str, Any]) -> None:
    for resolution in config.block_resolutions:
        shown = min(2 * known["fmap_base"] // resolution, known["channel_max"])
        if config.channels_at(resolution) != shown:
            raise CheckpointError(
                f"StyleGAN1's fmap_base {config.channel_base // 2} and fmap_max "
                f"{config.channel_max} give {config.channels_at(resolution)} channels at "
                f"{resolution} px, the tensors have {shown}. Correct them, or leave them out."
            )


_WITHOUT_EFFECT = {
    "dlatent_avg_beta",
    "dlatent_broadcast",
    "dtype",
    "force_clean_graph",
    "func_name",
    "is_template_graph",
    "is_training",
    "is_validation",
    "randomize_noise",
    "structure",
    "style_mixing_prob",
    "truncation_cutoff_val",
    "truncation_psi",
    "truncation_psi_val",
}


def build_stylegan1(
    config: StyleGAN1Config, tensors: Mapping[str, Tensor], *, fused: str | bool, source: str
) -> StyleGAN1:
    """Return the generator, built only if the tensors could fill it.

    Args:
        config: of the network.
        tensors: under our names, the up-sampling weights as published.
        fused: NVIDIA's `fused_scale`. Weights of layers that are not fused are rotated
            by half a turn, see `ops_stylegan1.upsampling_conv2d`.
        source: names the state dict in messages.

    Raises:
        CheckpointError: lists every missing, unexpected and misshapen tensor.
    """
    described = described_weights(config, embed_dim=config.z_dim)
    check_extent(described, tensors, source=source)
    generator = StyleGAN1(config)
    check_fit(generator, tensors, source=source)
    own = dict(tensors)
    for resolution in config.block_resolutions[1:]:
        if not (resolution >= _FUSED_FROM if fused == "auto" else fused):
            name = f"synthesis.b{resolution}.conv0.weight"
            own[name] = own[name].flip(2, 3)
    load_into(generator, own, source=source)
    return generator
