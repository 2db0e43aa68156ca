"""The layout of DatasetGAN's `karras2019stylegan-*.for_g_all.pt`: `g_mapping.*`, `g_synthesis.*`.

The names are those of a well-known PyTorch port of StyleGAN1. The mean latent is not
among them: DatasetGAN keeps it in `avg_latent_stylegan1.npy`. It is read from the name
`avg_latent`, where the caller puts it; without one it is estimated as DatasetGAN did,
from 8000 mapped latents. The port stores no noise either; the constant maps come from
a fixed seed.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from datasetgan.checkpoints.layouts.base import LayoutSpec, TensorAccount
from datasetgan.checkpoints.layouts.stylegan1_settings import (
    build_stylegan1,
    stylegan1_config,
    stylegan1_settings,
)
from datasetgan.checkpoints.layouts.stylegan2_settings import size_of
from datasetgan.errors import CheckpointError, listed
from datasetgan.generators import NoiseSeed
from datasetgan.generators.ops_stylegan1 import BLUR_TAPS
from datasetgan.generators.stylegan1 import StyleGAN1, StyleGAN1Config
from datasetgan.runtime import Stream, random_state

__all__ = ["LAYOUT", "MEAN_LATENT"]

MEAN_LATENT = "avg_latent"
"""The name under which a caller adds the mean latent, [w_dim] or [18, w_dim]."""

_NAME = "datasetgan-stylegan1"
_SOURCE = f"the {_NAME} state dict"
_BLOCK = re.compile(r"g_synthesis\.blocks\.(\d{1,9})x\1\.epi1\.top_epi\.noise\.weight")
_DENSE = re.compile(r"g_mapping\.dense\d+\.weight")
_BLUR = ".intermediate.kernel"
# The epsilon of PyTorch's instance norm, which the port uses.
_EPSILON = 1e-5
_LATENTS_OF_MEAN = 8000
# Names the random numbers of the estimate; see `random_state`.


def _recognizes(names: Collection[str]) -> bool:
    return "g_mapping.dense0.weight" in names and any(_BLOCK.fullmatch(name) for name in names)


def _infer_config(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    layers = sum(_DENSE.fullmatch(name) is not None for name in tensors)
    blocks = {int(found[1]): name for name in tensors if (found := _BLOCK.fullmatch(name))}
    if not layers or not blocks:
        raise CheckpointError(
            f"{_SOURCE} lacks g_mapping.dense* or g_synthesis.blocks.*. "
            f"It holds: {listed(sorted(tensors))}."
        )
    return stylegan1_settings(
        z_dim=size_of(tensors, "g_mapping.dense0.weight", ndim=2)[1],
        w_dim=size_of(tensors, f"g_mapping.dense{layers - 1}.weight", ndim=2)[0],
        mapping_layers=layers,
        block_channels={r: size_of(tensors, name, ndim=1)[0] for r, name in blocks.items()},
        image_channels=size_of(tensors, "g_synthesis.torgb.weight", ndim=4)[0],
    )


def _build(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> StyleGAN1:
    settings, fused = stylegan1_config(_infer_config(tensors), config, norm_epsilon=_EPSILON)
    _check_blurs(tensors)
    account = TensorAccount(tensors, source=_SOURCE)
    account.leave(_BLUR)
    mean_latent = account.take(MEAN_LATENT) if MEAN_LATENT in account else None
    state = {"mapping.w_avg": _mean_latent_rows(mean_latent, settings)}
    for ours, theirs in _names(settings):
        tensor = account.take(theirs)
        if tensor is not None:
            state[ours] = tensor.float()
    account.close()
    state["synthesis.b4.const"] = state["synthesis.b4.const"].squeeze(0)  # [1CHW] to [CHW]
    for layer, resolution in enumerate(r for r in settings.block_resolutions for _ in range(2)):
        name = f"synthesis.b{resolution}.adain{layer % 2}.noise_const"
        state[name] = NoiseSeed((0,)).draw(layer, resolution, resolution)[0, 0]
    generator = build_stylegan1(settings, state, fused=fused, source=_SOURCE)
    if mean_latent is None:
        with torch.no_grad():
            random = random_state(0, Stream.MEAN_LATENT)
            z = torch.from_numpy(random.standard_normal((_LATENTS_OF_MEAN, generator.z_dim)))
            generator.mapping.w_avg.copy_(generator.mapping(z.float()).mean(dim=0))
    return generator


def _names(config: StyleGAN1Config) -> Iterator[tuple[str, str]]:
    """Yield every name of ours that the layout has, with its name there."""
    for i in range(config.mapping_layers):
        yield from _both(f"mapping.fc{i}", f"g_mapping.dense{i}")
    for resolution in config.block_resolutions:
        ours, theirs = f"synthesis.b{resolution}", f"g_synthesis.blocks.{resolution}x{resolution}"
        if resolution == 4:
            yield f"{ours}.const", f"{theirs}.const"
            yield f"{ours}.bias", f"{theirs}.bias"
            yield from _both(f"{ours}.conv1", f"{theirs}.conv")
        else:
            yield from _both(f"{ours}.conv0", f"{theirs}.conv0_up")
            yield from _both(f"{ours}.conv1", f"{theirs}.conv1")
        for adain, epilogue in (("adain0", "epi1"), ("adain1", "epi2")):
            yield f"{ours}.{adain}.noise_strength", f"{theirs}.{epilogue}.top_epi.noise.weight"
            yield from _both(f"{ours}.{adain}.affine", f"{theirs}.{epilogue}.style_mod.lin")
    yield from _both("synthesis.torgb", "g_synthesis.torgb")


def _both(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    for part in ("weight", "bias"):
        yield f"{ours}.{part}", f"{theirs}.{part}"


def _mean_latent_rows(latent: Tensor | None, config: StyleGAN1Config) -> Tensor:
    """Return [num_ws, w_dim]; DatasetGAN's files hold 18 rows whatever the network needs."""
    num_ws, w_dim = config.num_ws, config.w_dim
    if latent is None:
        return torch.zeros(num_ws, w_dim)  # estimated when the mapping is there
    if latent.shape == (w_dim,) or latent.shape == (1, w_dim):
        return latent.float().expand(num_ws, w_dim)
    if latent.ndim == 2 and latent.shape[1] == w_dim and latent.shape[0] >= num_ws:
        return latent[:num_ws].float()
    raise CheckpointError(
        f"the mean latent is {list(latent.shape)}; expected [{w_dim}] or [{num_ws} or more, "
        f"{w_dim}]. Is it that of this generator?"
    )


def _check_blurs(tensors: Mapping[str, Tensor]) -> None:
    taps = torch.tensor(BLUR_TAPS) / sum(BLUR_TAPS)
    wanted = torch.outer(taps, taps)[None, None]
    for name, kernel in tensors.items():
        if name.endswith(_BLUR) and not (
            kernel.shape == wanted.shape and torch.allclose(kernel.float(), wanted, atol=1e-3)
        ):
            raise CheckpointError(
                f"{_SOURCE}: {name} is not the filter [1, 2, 1] that StyleGAN1 blurs with. "
                "Weights trained with another filter are not supported."
            )


LAYOUT = LayoutSpec(
    name=_NAME,
    mean_latent="avg_latent",
    mean_latent_rows="own",
    recognizes=_recognizes,
    infer_config=_infer_config,
    build=_build,
    licence_note=(
        "NVIDIA's published StyleGAN weights, of which DatasetGAN's are copies, are CC BY-NC 4.0: "
        "not for commercial use."
    ),
)
