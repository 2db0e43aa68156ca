"""The names of NVIDIA's PyTorch StyleGAN2: stylegan2-ada-pytorch, stylegan3's twin, forks.

Parameters of ours carry the same names; only the fixed filters lie beside them.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor

from datasetgan.checkpoints.layouts.base import LayoutSpec
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
from datasetgan.generators import StyleGAN2

__all__ = ["LAYOUT"]

_NAME = "nvidia-stylegan2"
_SOURCE = f"the {_NAME} state dict"
_FILTER = "resample_filter"


def _recognizes(names: Collection[str]) -> bool:
    return "synthesis.b4.const" in names


def _infer_config(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read everything but `conv_clamp` from names and shapes.

    A clamp leaves no trace. None is assumed: trained activations stay far below the
    256 that NVIDIA clamps at, so that float32 results are the same.
    """
    blocks = {int(m[1]) for n in tensors if (m := re.fullmatch(r"synthesis\.b(\d+)\..+", n))}
    layers = sum(bool(re.fullmatch(r"mapping\.fc\d+\.weight", name)) for name in tensors)
    resolution = max(blocks, default=0)
    last = f"mapping.fc{max(layers - 1, 0)}.weight"
    w_dim = size_of(tensors, last, ndim=2)[0]
    z_dim = size_of(tensors, "mapping.fc0.weight", ndim=2)[1]
    label_dim = 0
    if "mapping.embed.weight" in tensors:
        embedded, label_dim = size_of(tensors, "mapping.embed.weight", ndim=2)
        z_dim -= embedded
    if z_dim < 1:
        raise CheckpointError(
            f"{_SOURCE}: mapping.fc0.weight leaves no room for a latent z beside the class label."
        )
    channels = {
        r: size_of(tensors, f"synthesis.b{r}.conv1.weight", ndim=4)[0] for r in sorted(blocks)
    }
    return {
        "z_dim": z_dim,
        "c_dim": label_dim,
        "w_dim": w_dim,
        "img_resolution": resolution,
        "img_channels": size_of(tensors, f"synthesis.b{resolution}.torgb.weight", ndim=4)[0],
        "mapping_kwargs": {"num_layers": layers},
        **channel_settings(channels),
        "architecture": _architecture(tensors, resolution),
    }


def _architecture(names: Collection[str], resolution: int) -> str:
    if f"synthesis.b{resolution}.skip.weight" in names:
        return "resnet"
    return "skip" if "synthesis.b4.torgb.weight" in names else "orig"


def _build(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> StyleGAN2:
    settings = stylegan2_config(completed(config, lambda: _infer_config(tensors)))
    filters = {k: v for k, v in tensors.items() if k.split(".")[-1] == _FILTER}
    check_filters(filters, gain=1.0, source=_SOURCE)
    weights = {k: v for k, v in tensors.items() if k not in filters}
    generator = build_stylegan2(settings, weights, source=_SOURCE)
    load_into(generator, weights, source=_SOURCE)
    return generator


LAYOUT = LayoutSpec(
    name=_NAME,
    mean_latent="mapping.w_avg",
    recognizes=_recognizes,
    infer_config=_infer_config,
    build=_build,
    licence_note=(
        "NVIDIA publishes its StyleGAN2 weights for non-commercial use only "
        "(NVIDIA Source Code License), and so are weights that were trained from them."
    ),
)
