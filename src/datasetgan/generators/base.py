"""The contract that every backbone fulfils: latents in, an image and its features out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from datasetgan.errors import UsageError
from datasetgan.features.pyramid import FeatureLevel, FeaturePyramid
from datasetgan.runtime import Runtime, Stream, random_state

__all__ = [
    "FeatureLevel",
    "FeaturePyramid",
    "Generator",
    "Noise",
    "NoiseSeed",
    "Synthesis",
]


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


@dataclass(frozen=True)
class Synthesis:
    """What the synthesis network returns.

    Attributes:
        image: [N, image_channels, H, W] float32, nominally in [-1, 1], not clamped.
        features: the output of every synthesis layer, coarse to fine.
    """

    image: Tensor
    features: FeaturePyramid

    def to_uint8(self) -> NDArray[np.uint8]:
        """Return the images as files hold them: [N, H, W, 3], 0 to 255; grey becomes RGB."""
        pixels = (self.image.float() * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)
        rgb = pixels.expand(-1, 3, -1, -1) if pixels.shape[1] == 1 else pixels
        return rgb.permute(0, 2, 3, 1).contiguous().cpu().numpy()  # [NHWC]


class Generator(nn.Module, ABC):
    """A pretrained image generator that shows its features.

    Concrete backbones derive from this class and are never derived from.

    Attributes:
        z_dim: length of a latent z.
        w_dim: length of a mapped latent w.
        num_ws: rows of a latent in W+, one per style input.
        label_dim: number of class labels it is conditioned on, 0 if none.
        resolution: height and width of its square image in pixels.
        image_channels: channels of its image.
        feature_levels: the levels that `synthesize` returns, coarse to fine.
        digest: SHA-256 of the checkpoint it was loaded from; empty if built in memory.
    """

    z_dim: int
    w_dim: int
    num_ws: int
    label_dim: int
    resolution: int
    image_channels: int
    feature_levels: tuple[FeatureLevel, ...]
    compute_dtype: torch.dtype = torch.float32
    digest: str = ""

    @abstractmethod
    def map(
        self,
        z: Tensor,
        class_labels: Tensor | None = None,
        *,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Tensor:
        """Map latents to W+ and truncate them towards the mean latent.

        Args:
            z: [N, z_dim], standard normal.
            class_labels: [N, label_dim] one-hot rows, for a class-conditional generator.
            truncation_psi: 1 leaves w alone, 0 gives the mean latent.
            truncation_cutoff: truncate only the first so many rows; all by default.

        Returns:
            ws [N, num_ws, w_dim], float32.

        Raises:
            UsageError: a shape does not fit, or class labels are missing or unexpected.
        """

    @abstractmethod
    def synthesize(self, ws: Tensor, *, noise: Noise = "const") -> Synthesis:
        """Synthesize images and features from latents in W+.

        Args:
            ws: [N, num_ws, w_dim].
            noise: the network's constants, none, a `NoiseSeed` with one seed per
                image, or one tensor [N or 1, 1, h, w] per synthesis layer.

        Returns:
            The image, float32, and the features in the compute type.

        Raises:
            UsageError: a shape does not fit.
        """

    def place(self, runtime: Runtime) -> Self:
        """Move the weights to a device, choose the type of activations, freeze; return self."""
        self.compute_dtype = runtime.dtype
        return self.to(runtime.torch_device).eval().requires_grad_(False)

    @property
    def device(self) -> torch.device:
        """The device that the weights lie on."""
        return next(self.parameters()).device

    def check_latents(self, z: Tensor, class_labels: Tensor | None) -> None:
        """Raise `UsageError` unless z and the class labels fit this generator."""
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise UsageError(f"z must be [N, {self.z_dim}], got {list(z.shape)}.")
        wanted = [z.shape[0], self.label_dim]
        if self.label_dim and (class_labels is None or list(class_labels.shape) != wanted):
            came = "none" if class_labels is None else list(class_labels.shape)
            raise UsageError(
                f"this generator is class-conditional: class_labels must be {wanted}, got {came}."
            )
        if not self.label_dim and class_labels is not None:
            raise UsageError("this generator is not class-conditional: leave class_labels out.")

    def check_ws(self, ws: Tensor) -> None:
        """Raise `UsageError` unless ws is [N, num_ws, w_dim]."""
        if ws.ndim != 3 or list(ws.shape[1:]) != [self.num_ws, self.w_dim]:
            raise UsageError(f"ws must be [N, {self.num_ws}, {self.w_dim}], got {list(ws.shape)}.")
