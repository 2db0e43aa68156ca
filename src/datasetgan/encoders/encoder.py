"""A network that reads photos: features of every pixel of a photo of any size."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from datasetgan.encoders.pictures import to_float
from datasetgan.encoders.timm_networks import (
    build_network,
    describe_network,
    intermediate_tensors,
)
from datasetgan.errors import UsageError
from datasetgan.features import FeatureLevel, FeaturePyramid
from datasetgan.runtime import Runtime

__all__ = ["Encoder", "EncoderConfig"]

_PHOTO = "photo"


@dataclass(frozen=True)
class EncoderConfig:
    """What an encoder's checkpoint says about it beside the weights.

    Attributes:
        network: of timm, by name.
        side: the short side that photos are brought to, in pixels.
        stride: `side` is a multiple of it.
        outputs: numbers of the intermediate outputs that are read.
        mean: of red, green and blue in [0, 1], subtracted from a photo.
        std: what it is divided by then.
        levels: of a square photo, coarse to fine.

    Raises:
        UsageError: a side that is not a positive multiple of the stride.
    """

    network: str
    side: int
    stride: int
    outputs: tuple[int, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    levels: tuple[FeatureLevel, ...]

    def __post_init__(self) -> None:
        if self.stride < 1 or self.side < self.stride or self.side % self.stride:
            raise UsageError(
                f"{self.network} takes photos whose short side is a multiple of {self.stride}, "
                f"got {self.side}."
            )

    @classmethod
    def of(cls, name: str, network: nn.Module, *, side: int | None = None) -> Self:
        """Describe a network of timm.

        Args:
            side: rounded up to a multiple of the stride; what the network was made for by
                default. More gives a finer grid of features, and takes longer.

        Raises:
            UsageError: see `describe_network`; a side below 1.
        """
        facts = describe_network(name, network)
        if side is not None and side < 1:
            raise UsageError(f"the side of photos must be at least 1 pixel, got {side}.")
        wanted = facts.side if side is None else -(-side // facts.stride) * facts.stride
        grids = [
            FeatureLevel(
                level.name,
                level.channels,
                level.height * wanted // facts.side,
                level.width * wanted // facts.side,
            )
            for level in facts.levels
        ]
        photo = FeatureLevel(_PHOTO, 3, wanted, wanted)
        return cls(
            network=name,
            side=wanted,
            stride=facts.stride,
            outputs=facts.outputs,
            mean=facts.mean,
            std=facts.std,
            levels=(*grids, photo),
        )


class Encoder(nn.Module):
    """A network of timm and what has to be done to photos before it.

    A photo's short side is brought to `config.side`; the long one follows, rounded up to
    a multiple of the stride, so that no border is made up and every level covers the
    photo. The last level is the photo itself at that size: the network's own levels are
    too coarse for sharp borders.

    Attributes:
        config: everything but the weights.
        network: random until weights are loaded.
        digest: SHA-256 of the checkpoint it was loaded from; empty if built in memory.
    """

    def __init__(self, config: EncoderConfig, network: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        self.network = build_network(config.network) if network is None else network
        self.digest = ""

    @property
    def feature_levels(self) -> tuple[FeatureLevel, ...]:
        """The levels of a square photo, coarse to fine."""
        return self.config.levels

    def place(self, runtime: Runtime) -> Self:
        """Move the weights to a device, freeze; return self. Its arithmetic is float32."""
        return self.to(runtime.torch_device).eval().requires_grad_(False)

    def sizes(self, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the (height, width) of the photo level, and of what the network sees."""
        side, stride = self.config.side, self.config.stride
        short, long = min(height, width), max(height, width)
        level = max(side, round(side * long / short))
        seen = -(-level // stride) * stride
        if height <= width:
            return (side, level), (side, seen)
        return (level, side), (seen, side)

    @torch.no_grad()
    def features(self, photo: NDArray[np.uint8]) -> FeaturePyramid:
        """Return the features of one photo.

        Args:
            photo: [H, W, 3] uint8 RGB of any size.

        Raises:
            UsageError: the photo is not [H, W, 3] uint8.
        """
        if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8 or not photo.size:
            raise UsageError(
                f"a photo must be [H, W, 3] uint8, got {list(photo.shape)} {photo.dtype}."
            )
        device = next(self.network.parameters()).device
        own_size, seen_size = self.sizes(photo.shape[0], photo.shape[1])
        pixels = to_float(photo[None]).to(device)
        tensors = intermediate_tensors(
            self.network, self.normalise(_resized(pixels, seen_size)), list(self.config.outputs)
        )
        tensors = [*reversed(tensors), _resized(pixels, own_size)]
        levels = tuple(
            FeatureLevel(level.name, level.channels, tensor.shape[2], tensor.shape[3])
            for level, tensor in zip(self.feature_levels, tensors, strict=True)
        )
        return FeaturePyramid(levels, tuple(tensors))

    def normalise(self, pictures: Tensor) -> Tensor:
        """Bring pictures [N, 3, H, W] in [-1, 1] to the mean and deviation the network wants."""
        mean = pictures.new_tensor(self.config.mean)[:, None, None]
        std = pictures.new_tensor(self.config.std)[:, None, None]
        return ((pictures + 1) / 2 - mean) / std


def _resized(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(pixels.shape[2:]) == size:
        return pixels
    # Averaged when it shrinks: pixels that are skipped would shimmer.
    resized = F.interpolate(pixels, size=size, mode="bicubic", antialias=True)
    return resized.clamp(-1, 1)
