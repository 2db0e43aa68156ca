"""The noise inputs of a generator: what they may be, and the map that every layer receives."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from datasetgan.errors import UsageError
from datasetgan.runtime import Stream, random_state

__all__ = ["Noise", "NoiseLayer", "NoiseSeed", "noise_maps"]


@dataclass(frozen=True)
class NoiseSeed:
    """Seeds of the noise inputs, one per image of a batch.

    Layer `i` of the image with seed `s` always receives the same standard normal
    map, whatever the device, the batch size or the neighbours in the batch.
    """

    seeds: tuple[int, ...]

    def draw(self, layer: int, height: int, width: int) -> Tensor:
        """Return the noise [N, 1, height, width] of one layer, float32 on the CPU."""
        maps = [
            torch.from_numpy(
                random_state(seed, Stream.NOISE, layer).standard_normal((1, height, width))
            )
            for seed in self.seeds
        ]
        return torch.stack(maps).float()


Noise = Literal["const", "none"] | NoiseSeed | Sequence[Tensor]
"""Noise inputs: the network's constants, none, seeds, or one tensor per layer."""


class NoiseLayer(Protocol):
    """A layer with a noise input.

    Attributes:
        noise_const: its own map [R, R].
        noise_strength: learned, of any shape.
    """

    noise_const: Tensor
    noise_strength: nn.Parameter


def noise_maps(
    noise: Noise, *, layers: Sequence[NoiseLayer], batch: int, device: torch.device
) -> list[Tensor | None]:
    """Return one map per layer, [R, R] or [N or 1, 1, R, R], or None where noise has no part.

    Args:
        noise: as `Generator.synthesize` takes it.
        layers: those with a noise input. A frozen one whose strengths are zero needs no
            numbers drawn.
        batch: number of images.
        device: where the maps shall lie.

    Raises:
        UsageError: not one seed per image, or not one tensor that fits per layer.
    """
    if noise == "const":
        return [layer.noise_const for layer in layers]
    if noise == "none":
        return [None] * len(layers)
    if isinstance(noise, NoiseSeed):
        if len(noise.seeds) != batch:
            raise UsageError(
                f"noise seeds: {batch} images need as many seeds, got {len(noise.seeds)}."
            )
        return [
            None
            if not layer.noise_strength.requires_grad and not layer.noise_strength.any()
            else noise.draw(i, *layer.noise_const.shape).to(device)
            for i, layer in enumerate(layers)
        ]
    if isinstance(noise, str) or len(noise) != len(layers):
        came = repr(noise) if isinstance(noise, str) else f"{len(noise)} tensors"
        tensors = f"{len(layers)} tensors, one per synthesis layer"
        if not layers:
            tensors = "an empty list: this generator has no noise inputs"
        raise UsageError(f"noise must be 'const', 'none', a NoiseSeed or {tensors}; got {came}.")
    for i, (tensor, layer) in enumerate(zip(noise, layers, strict=True)):
        wanted = [1, *layer.noise_const.shape]
        if list(tensor.shape[1:]) != wanted or tensor.shape[0] not in (1, batch):
            raise UsageError(
                f"noise of layer {i} must be [{batch} or 1, {', '.join(map(str, wanted))}], "
                f"got {list(tensor.shape)}."
            )
    return [tensor.to(device) for tensor in noise]
