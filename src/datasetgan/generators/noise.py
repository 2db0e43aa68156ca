"""Which noise map every synthesis layer receives."""

from collections.abc import Sequence

import torch
from torch import Tensor

from datasetgan.errors import UsageError
from datasetgan.generators.base import Noise, NoiseSeed

__all__ = ["noise_maps"]


def noise_maps(
    noise: Noise,
    *,
    constants: Sequence[Tensor],
    strengths: Sequence[Tensor],
    batch: int,
    device: torch.device,
) -> list[Tensor | None]:
    """Return one map per layer, [R, R] or [N or 1, 1, R, R], or None where noise has no part.

    Args:
        noise: as `Generator.synthesize` takes it.
        constants: the network's own map [R, R] of every layer.
        strengths: the learned strengths of every layer, of any shape. A frozen layer
            whose strengths are zero needs no numbers drawn.
        batch: number of images.
        device: where the maps shall lie.

    Raises:
        UsageError: not one seed per image, or not one tensor that fits per layer.
    """
    if noise == "const":
        return list(constants)
    if noise == "none":
        return [None] * len(constants)
    if isinstance(noise, NoiseSeed):
        if len(noise.seeds) != batch:
            raise UsageError(
                f"noise seeds: {batch} images need as many seeds, got {len(noise.seeds)}."
            )
        return [
            None
            if not strength.requires_grad and not strength.any()
            else noise.draw(layer, *constant.shape).to(device)
            for layer, (constant, strength) in enumerate(zip(constants, strengths, strict=True))
        ]
    if isinstance(noise, str) or len(noise) != len(constants):
        came = repr(noise) if isinstance(noise, str) else f"{len(noise)} tensors"
        raise UsageError(
            f"noise must be 'const', 'none', a NoiseSeed or {len(constants)} tensors, "
            f"one per synthesis layer; got {came}."
        )
    for layer, (tensor, constant) in enumerate(zip(noise, constants, strict=True)):
        wanted = [1, *constant.shape]
        if list(tensor.shape[1:]) != wanted or tensor.shape[0] not in (1, batch):
            raise UsageError(
                f"noise of layer {layer} must be [{batch} or 1, {', '.join(map(str, wanted))}], "
                f"got {list(tensor.shape)}."
            )
    return [tensor.to(device) for tensor in noise]
