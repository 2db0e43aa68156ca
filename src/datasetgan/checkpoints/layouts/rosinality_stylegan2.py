"""The names of rosinality's StyleGAN2 in PyTorch, which EditGAN's checkpoints carry too.

The network is the same as NVIDIA's: convolutions are stored unscaled and unflipped,
with axes of length one before and behind. A checkpoint holds the state dict as
``g_ema`` and, where it was converted from TensorFlow, the mean latent as ``latent_avg``.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from datasetgan.checkpoints.layouts.base import LayoutSpec, TensorAccount
from datasetgan.checkpoints.layouts.stylegan2_settings import (
    build_stylegan2,
    channel_settings,
    check_filters,
    completed,
    size_of,
    stylegan2_config,
)
from datasetgan.checkpoints.native import load_into
from datasetgan.errors import CheckpointError
from datasetgan.generators import NoiseSeed, StyleGAN2, StyleGAN2Config, draw_z

__all__ = ["LAYOUT"]

_NAME = "rosinality-stylegan2"
_SOURCE = f"the {_NAME} state dict"
# Up-sampling by two multiplies the filter by four.
_FILTERS, _FILTER_GAIN = (".blur.kernel", ".upsample.kernel"), 4.0

_MEAN_LATENT_DRAWS = 4096
"""Latents that the mean latent is taken over where a checkpoint holds none (as upstream does)."""


def _recognizes(names: Collection[str]) -> bool:
    return {"input.input", "conv1.conv.modulation.weight", "to_rgb1.conv.weight"} <= set(names)


def _infer_config(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read every setting from names and shapes; rosinality's network knows no clamp."""
    layers = sum(bool(re.fullmatch(r"style\.\d+\.weight", name)) for name in tensors)
    doublings = sum(bool(re.fullmatch(r"to_rgbs\.\d+\.conv\.weight", name)) for name in tensors)
    w_dim, z_dim = size_of(tensors, "style.1.weight", ndim=2)
    channels = {4: size_of(tensors, "conv1.conv.weight", ndim=5)[1]}
    for i in range(doublings):
        name = f"convs.{2 * i + 1}.conv.weight"
        channels[8 << i] = size_of(tensors, name, ndim=5)[1]
    return {
        "z_dim": z_dim,
        "c_dim": 0,
        "w_dim": w_dim,
        "img_resolution": 4 << doublings,
        "img_channels": size_of(tensors, "to_rgb1.conv.weight", ndim=5)[1],
        "mapping_kwargs": {"num_layers": layers},
        **channel_settings(channels),
        "architecture": "skip",
    }


def _build(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> StyleGAN2:
    """Rename and reshape the weights.

    Noise maps that a checkpoint of before 2020 lacks are drawn from a fixed seed; a
    mean latent that it lacks is the mean over `_MEAN_LATENT_DRAWS` mapped latents.
    """
    settings = stylegan2_config(completed(config, lambda: _infer_config(tensors)))
    _check_same_network(settings)
    filters = {k: v for k, v in tensors.items() if k.endswith(_FILTERS)}
    check_filters(filters, gain=_FILTER_GAIN, source=_SOURCE)
    generator = build_stylegan2(settings, tensors, source=_SOURCE)
    account = TensorAccount(tensors, source=_SOURCE)
    account.leave(*_FILTERS)
    own_noise = not any(name.startswith("noises.") for name in tensors)
    weights: dict[str, Tensor] = {}
    for ours, wanted in generator.state_dict().items():
        theirs = _their_name(ours)
        if theirs == "latent_avg" and theirs not in account:
            weights[ours] = torch.zeros(wanted.shape)  # filled below
        elif own_noise and ours.endswith("noise_const"):
            weights[ours] = _drawn_noise(theirs, wanted)
        elif (tensor := account.take(theirs)) is not None:
            weights[ours] = _shaped(tensor, wanted)
    account.close()
    load_into(generator, weights, source=_SOURCE)
    if "latent_avg" not in tensors:
        z = draw_z(range(_MEAN_LATENT_DRAWS), generator.z_dim)
        with torch.no_grad():
            generator.mapping.w_avg.copy_(generator.map(z)[:, 0].mean(dim=0))
    return generator


def _check_same_network(config: StyleGAN2Config) -> None:
    if config.architecture != "skip" or config.label_dim or config.conv_clamp is not None:
        raise CheckpointError(
            f"{_SOURCE}: rosinality's network has the architecture 'skip', no class labels and "
            f"no clamp; got {config.architecture!r}, c_dim {config.label_dim}, "
            f"conv_clamp {config.conv_clamp}."
        )


def _their_name(ours: str) -> str:
    """Translate one of our names, for instance ``synthesis.b8.conv0.noise_strength``."""
    if ours == "mapping.w_avg":
        return "latent_avg"
    if found := re.fullmatch(r"mapping\.fc(\d+)\.(weight|bias)", ours):
        return f"style.{int(found[1]) + 1}.{found[2]}"  # style.0 is the normalisation of z
    if ours == "synthesis.b4.const":
        return "input.input"
    _, block, layer, rest = ours.split(".", 3)
    doublings = int(block[1:]).bit_length() - 3  # b4: 0, b8: 1, ...
    if layer == "torgb":
        prefix = "to_rgb1" if doublings == 0 else f"to_rgbs.{doublings - 1}"
        return f"{prefix}.{_RGB_PARTS[rest]}"
    # conv0 and conv1 of b8 are convs.0 and convs.1; conv1 of b4 stands before them.
    index = 2 * doublings - (2 if layer == "conv0" else 1)
    if rest == "noise_const":
        return f"noises.noise_{index + 1}"
    prefix = "conv1" if doublings == 0 else f"convs.{index}"
    return f"{prefix}.{_STYLED_PARTS[rest]}"


_STYLED_PARTS = {
    "weight": "conv.weight",
    "affine.weight": "conv.modulation.weight",
    "affine.bias": "conv.modulation.bias",
    "noise_strength": "noise.weight",
    "bias": "activate.bias",
}
_RGB_PARTS = {
    "weight": "conv.weight",
    "affine.weight": "conv.modulation.weight",
    "affine.bias": "conv.modulation.bias",
    "bias": "bias",
}


def _drawn_noise(name: str, wanted: Tensor) -> Tensor:
    height, width = wanted.shape
    return NoiseSeed((0,)).draw(int(name.rsplit("_", 1)[1]), height, width)[0, 0]


def _shaped(tensor: Tensor, wanted: Tensor) -> Tensor:
    """Drop axes of length one; any other difference is left for the check to name."""
    if [n for n in tensor.shape if n != 1] != [n for n in wanted.shape if n != 1]:
        return tensor
    return tensor.reshape(wanted.shape)


LAYOUT = LayoutSpec(
    name=_NAME,
    mean_latent="latent_avg",
    mean_latent_draws=_MEAN_LATENT_DRAWS,
    recognizes=_recognizes,
    infer_config=_infer_config,
    build=_build,
    licence_note=(
        "weights converted from NVIDIA's or published with EditGAN are for non-commercial use "
        "only; those trained from scratch with rosinality's code (MIT) are their trainer's."
    ),
)
