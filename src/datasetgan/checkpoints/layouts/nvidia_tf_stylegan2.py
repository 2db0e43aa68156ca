"""The layout of NVIDIA's TensorFlow StyleGAN2: `mapping/*`, `synthesis/*`, `dlatent_avg`.

Variables go by their network and their name in it, axes as in StyleGAN1. Beside the
axes, the up-sampling weights are rotated by half a turn, for TensorFlow's network
rotates them before its transposed convolution, and the biases of the styles count
from one.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor

from datasetgan.checkpoints.layouts.base import LayoutSpec, TensorAccount
from datasetgan.checkpoints.layouts.settings import check_agreement, read_settings
from datasetgan.checkpoints.layouts.stylegan2_settings import (
    build_stylegan2,
    channel_settings,
    size_of,
    stylegan2_config,
)
from datasetgan.checkpoints.layouts.tf_names import (
    Change,
    as_it_is,
    block_resolutions,
    check_generator,
    dense_layers,
    oihw,
    plain_name,
    plain_names,
    transposed,
    without_ones,
)
from datasetgan.checkpoints.native import load_into
from datasetgan.errors import CheckpointError
from datasetgan.generators.stylegan2 import StyleGAN2, StyleGAN2Config

__all__ = ["LAYOUT"]

_NAME = "nvidia-tf-stylegan2"
_FAMILY = "StyleGAN2"
_SOURCE = f"the {_NAME} state dict"
_LABELS = "mapping/LabelEmbed/weight"
_RGB_OF_LOD = re.compile(r"synthesis/ToRGB_lod(\d{1,2})/(.*)")

_NAMES = {
    "resolution": "img_resolution",
    "img_resolution": "img_resolution",
    "latent_size": "z_dim",
    "z_dim": "z_dim",
    "dlatent_size": "w_dim",
    "w_dim": "w_dim",
    "mapping_fmaps": "mapping_fmaps",
    "label_size": "c_dim",
    "c_dim": "c_dim",
    "num_channels": "img_channels",
    "img_channels": "img_channels",
    "mapping_layers": "num_layers",
    "num_layers": "num_layers",
    "fmap_base": "fmap_base",
    "fmap_max": "channel_max",
    "channel_base": "channel_base",
    "channel_max": "channel_max",
    "architecture": "architecture",
    "conv_clamp": "conv_clamp",
}
_FIXED: dict[str, list[Any]] = {
    "fmap_decay": [1.0],
    "fmap_min": [1],
    "use_noise": [True],
    "normalize_latents": [True],
    "nonlinearity": ["lrelu"],
    "mapping_nonlinearity": ["lrelu"],
    "mapping_lrmul": [0.01],
    "resample_kernel": [[1, 3, 3, 1]],
    "resample_filter": [[1, 3, 3, 1]],
    "label_fmaps": [None],
    # The functions of the two networks; "revised" is the one of the early configurations.
    "mapping_func": ["G_mapping"],
    "synthesis_func": ["G_synthesis_stylegan2", "G_synthesis_stylegan_revised", "G_synthesis"],
}
# Truncation, averages, growth and number types leave the network's function alone.
_WITHOUT_EFFECT = {
    "dlatent_avg_beta",
    "dlatent_broadcast",
    "dtype",
    "force_clean_graph",
    "func_name",
    "fused_modconv",
    "is_template_graph",
    "is_training",
    "is_validation",
    "num_fp16_res",
    "randomize_noise",
    "structure",
    "style_mixing_prob",
    "truncation_cutoff",
    "truncation_cutoff_val",
    "truncation_psi",
    "truncation_psi_val",
}


def _recognizes(names: Collection[str]) -> bool:
    plain = {plain_name(name) for name in names}
    return {"mapping/Dense0/weight", "synthesis/4x4/Conv/mod_weight"} <= plain


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors by their names within the networks.

    Early configurations name the image layers by level of detail, the finest 0; the
    coarser ones served growing alone.
    """
    plain = plain_names(tensors, source=_SOURCE)
    finest = max(block_resolutions(plain), default=4)
    for name in list(plain):
        if found := _RGB_OF_LOD.fullmatch(name):
            tensor = plain.pop(name)
            if found[1] == "0":
                plain[f"synthesis/{finest}x{finest}/ToRGB/{found[2]}"] = tensor
    return plain


def _infer_config(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    plain = _plain(tensors)
    check_generator(plain, source=_SOURCE)
    if "mapping/LabelConcat/weight" in plain:
        raise CheckpointError(
            f"{_SOURCE} is conditioned on class labels in the way of the first StyleGAN2 "
            "(mapping/LabelConcat), which is not supported; that of StyleGAN2-ADA is."
        )
    resolutions = block_resolutions(plain)
    finest = resolutions[-1]
    if resolutions != [2**i for i in range(2, finest.bit_length())]:
        raise CheckpointError(
            f"{_SOURCE}: blocks must double from 4 px on; these tensors have blocks of "
            f"{', '.join(map(str, resolutions))} px."
        )
    channels = {
        r: size_of(plain, f"synthesis/{r}x{r}/{_layers(r)['conv1']}/bias", ndim=1)[0]
        for r in resolutions
    }
    fan_in = size_of(plain, "mapping/Dense0/weight", ndim=2)[0]
    layers = dense_layers(plain)
    label_dim, label_fmaps = size_of(plain, _LABELS, ndim=2) if _LABELS in plain else (0, 0)
    residual = any(name.endswith("/Skip/weight") for name in plain)
    skip = "synthesis/4x4/ToRGB/weight" in plain and not residual
    return {
        "z_dim": fan_in - label_fmaps,
        "c_dim": label_dim,
        "w_dim": size_of(plain, f"mapping/Dense{layers - 1}/weight", ndim=2)[1],
        "img_resolution": finest,
        "img_channels": size_of(plain, f"synthesis/{finest}x{finest}/ToRGB/bias", ndim=1)[0],
        "mapping_kwargs": {"num_layers": layers},
        **channel_settings(channels),
        "architecture": "resnet" if residual else "skip" if skip else "orig",
    }


def _config(inferred: Mapping[str, Any], config: Mapping[str, Any]) -> StyleGAN2Config:
    """Return the configuration: what is stated, and for the rest what the shapes tell."""
    ignored = [word for word in config if word in _WITHOUT_EFFECT]
    known = read_settings(inferred, names=_NAMES, fixed={}, ignored=(), family=_FAMILY)
    stated = read_settings(config, names=_NAMES, fixed=_FIXED, ignored=ignored, family=_FAMILY)
    if "fmap_base" in stated:
        base = stated.pop("fmap_base")
        if not isinstance(base, int):
            raise CheckpointError(f"StyleGAN2's fmap_base must be a whole number, got {base!r}.")
        stated["channel_base"] = 2 * base  # counted at half the resolution
    known["mapping_fmaps"] = known["w_dim"]
    shapes = {k: v for k, v in known.items() if k not in ("channel_base", "channel_max")}
    check_agreement(stated, shapes, family=_FAMILY)
    settings = known | stated
    del settings["mapping_fmaps"]
    settings["mapping_kwargs"] = {"num_layers": settings.pop("num_layers")}
    return stylegan2_config(settings)


def _build(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> StyleGAN2:
    settings = _config(_infer_config(tensors), config)
    account = TensorAccount(_plain(tensors), source=_SOURCE)
    account.leave("lod")  # of the whole network, and of synthesis in early ones
    state: dict[str, Tensor] = {}
    generator = build_stylegan2(settings, tensors, source=_SOURCE)
    for ours in generator.state_dict():
        theirs, change = _their_name(ours)
        tensor = account.take(theirs)
        if tensor is not None:
            state[ours] = change(tensor.float())
    account.close()
    load_into(generator, state, source=_SOURCE)
    return generator


def _layers(resolution: int) -> dict[str, str]:
    """Return what the styled convolutions of a block are called there."""
    return {"conv1": "Conv"} if resolution == 4 else {"conv0": "Conv0_up", "conv1": "Conv1"}


def _their_name(ours: str) -> tuple[str, Change]:
    """Translate one of our names, for instance ``synthesis.b8.conv0.affine.bias``."""
    if ours == "mapping.w_avg":
        return "dlatent_avg", as_it_is
    network, block, rest = ours.split(".", 2)
    if network == "mapping":
        dense = "LabelEmbed" if block == "embed" else f"Dense{block.removeprefix('fc')}"
        return f"mapping/{dense}/{rest}", transposed  # a bias has one axis and stays
    resolution = int(block.removeprefix("b"))
    prefix = f"synthesis/{resolution}x{resolution}"
    if rest == "const":
        return f"{prefix}/Const/const", without_ones
    layer, part = rest.split(".", 1)
    if part == "noise_const":
        number = 2 * (resolution.bit_length() - 3) - (1 if layer == "conv0" else 0)
        return f"synthesis/noise{number}", without_ones
    name, change = _PARTS[part]
    if part == "weight" and layer == "conv0":
        change = _rotated_oihw
    their_layer = {**_layers(resolution), "torgb": "ToRGB", "skip": "Skip"}[layer]
    return f"{prefix}/{their_layer}/{name}", change


def _rotated_oihw(weight: Tensor) -> Tensor:
    return oihw(weight.flip(0, 1)) if weight.ndim == 4 else weight


def _from_one(bias: Tensor) -> Tensor:
    return bias + 1


_PARTS: dict[str, tuple[str, Change]] = {
    "weight": ("weight", oihw),
    "bias": ("bias", as_it_is),
    "noise_strength": ("noise_strength", as_it_is),
    "affine.weight": ("mod_weight", transposed),
    "affine.bias": ("mod_bias", _from_one),
}


LAYOUT = LayoutSpec(
    name=_NAME,
    mean_latent="dlatent_avg",
    recognizes=_recognizes,
    infer_config=_infer_config,
    build=_build,
    licence_note=(
        "NVIDIA's published StyleGAN2 weights are under its Source Code License-NC: not for "
        "commercial use."
    ),
)
