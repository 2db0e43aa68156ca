"""The layout of NVIDIA's TensorFlow StyleGAN1: `mapping/*`, `synthesis/*`, `dlatent_avg`.

Variables go by their network and their name in it. Weights of convolutions lie as
[k, k, I, O], those of dense layers as [I, O].
"""

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Any

from torch import Tensor

from datasetgan.checkpoints.layouts.base import LayoutSpec, TensorAccount
from datasetgan.checkpoints.layouts.stylegan1_settings import (
    build_stylegan1,
    stylegan1_config,
    stylegan1_settings,
)
from datasetgan.checkpoints.layouts.stylegan2_settings import size_of
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
from datasetgan.generators.stylegan1 import StyleGAN1, StyleGAN1Config

__all__ = ["LAYOUT"]

_NAME = "nvidia-tf-stylegan1"
_SOURCE = f"the {_NAME} state dict"
_LABELS = "mapping/LabelConcat/weight"
_EPSILON = 1e-8  # of the official code's instance norm


def _recognizes(names: Collection[str]) -> bool:
    plain = {plain_name(name) for name in names}
    return {"mapping/Dense0/weight", "synthesis/4x4/Const/StyleMod/weight"} <= plain


def _infer_config(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    plain = plain_names(tensors, source=_SOURCE)
    check_generator(plain, source=_SOURCE)
    layers = dense_layers(plain)
    fan_in = size_of(plain, "mapping/Dense0/weight", ndim=2)[0]
    label_dim = size_of(plain, _LABELS, ndim=2)[0] if _LABELS in plain else 0
    blocks = {
        resolution: "Conv" if resolution == 4 else "Conv1"
        for resolution in block_resolutions(plain)
    }
    return stylegan1_settings(
        # The label's vector, as long as z, is joined to it.
        z_dim=fan_in // 2 if label_dim else fan_in,
        w_dim=size_of(plain, f"mapping/Dense{layers - 1}/weight", ndim=2)[1],
        label_dim=label_dim,
        mapping_layers=layers,
        block_channels={
            r: size_of(plain, f"synthesis/{r}x{r}/{conv}/bias", ndim=1)[0]
            for r, conv in blocks.items()
        },
        image_channels=size_of(plain, "synthesis/ToRGB_lod0/bias", ndim=1)[0],
    )


def _build(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> StyleGAN1:
    settings, fused = stylegan1_config(_infer_config(tensors), config, norm_epsilon=_EPSILON)
    plain = plain_names(tensors, source=_SOURCE)
    account = TensorAccount(plain, source=_SOURCE)
    # Images of smaller sizes, which growing needed.
    coarser = range(1, len(settings.block_resolutions))
    account.leave(
        "lod",  # of the whole network and of synthesis
        *(f"synthesis/ToRGB_lod{lod}/{part}" for lod in coarser for part in ("weight", "bias")),
    )
    state: dict[str, Tensor] = {}
    for ours, theirs, change in _names(settings):
        tensor = account.take(theirs)
        if tensor is not None:
            state[ours] = change(tensor.float())
    account.close()
    return build_stylegan1(settings, state, fused=fused, source=_SOURCE)


def _names(config: StyleGAN1Config) -> Iterator[tuple[str, str, Change]]:
    """Yield every name of ours with its name there and the change of axes between them."""
    yield "mapping.w_avg", "dlatent_avg", partial(_rows, count=config.num_ws)
    if config.label_dim:
        yield "mapping.embed", _LABELS, as_it_is
    for i in range(config.mapping_layers):
        yield f"mapping.fc{i}.weight", f"mapping/Dense{i}/weight", transposed
        yield f"mapping.fc{i}.bias", f"mapping/Dense{i}/bias", as_it_is
    for i, resolution in enumerate(config.block_resolutions):
        ours, theirs = f"synthesis.b{resolution}", f"synthesis/{resolution}x{resolution}"
        if resolution == 4:
            layers = (f"{theirs}/Const", f"{theirs}/Conv")
            yield f"{ours}.const", f"{layers[0]}/const", without_ones
            yield f"{ours}.bias", f"{layers[0]}/bias", as_it_is
        else:
            layers = (f"{theirs}/Conv0_up", f"{theirs}/Conv1")
            yield f"{ours}.conv0.weight", f"{layers[0]}/weight", oihw
            yield f"{ours}.conv0.bias", f"{layers[0]}/bias", as_it_is
        yield f"{ours}.conv1.weight", f"{layers[1]}/weight", oihw
        yield f"{ours}.conv1.bias", f"{layers[1]}/bias", as_it_is
        for j, layer in enumerate(layers):
            adain = f"{ours}.adain{j}"
            yield f"{adain}.noise_strength", f"{layer}/Noise/weight", as_it_is
            yield f"{adain}.noise_const", f"synthesis/noise{2 * i + j}", without_ones
            yield f"{adain}.affine.weight", f"{layer}/StyleMod/weight", transposed
            yield f"{adain}.affine.bias", f"{layer}/StyleMod/bias", as_it_is
    yield "synthesis.torgb.weight", "synthesis/ToRGB_lod0/weight", oihw
    yield "synthesis.torgb.bias", "synthesis/ToRGB_lod0/bias", as_it_is


def _rows(latent: Tensor, *, count: int) -> Tensor:
    return latent.expand(count, -1) if latent.ndim == 1 else latent


LAYOUT = LayoutSpec(
    name=_NAME,
    mean_latent="dlatent_avg",
    recognizes=_recognizes,
    infer_config=_infer_config,
    build=_build,
    licence_note="NVIDIA's published StyleGAN weights are CC BY-NC 4.0: not for commercial use.",
)
