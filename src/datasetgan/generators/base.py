"""The contract that every backbone fulfils: latents in, an image and its features out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from datasetgan.errors import UsageError
from datasetgan.features.pyramid import FeatureLevel, FeaturePyramid
from datasetgan.generators.layers import rows_of_w
from datasetgan.generators.noise import Noise, NoiseLayer, noise_maps
from datasetgan.runtime import Runtime

__all__ = ["Generator", "GeneratorConfig", "Synthesis"]


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


class GeneratorConfig(Protocol):
    """What the configuration of every architecture states: a frozen dataclass of plain values."""

    @property
    def resolution(self) -> int:
        """Height and width of the square image in pixels."""

    @property
    def z_dim(self) -> int:
        """Length of a latent z."""

    @property
    def w_dim(self) -> int:
        """Length of a mapped latent w."""

    @property
    def label_dim(self) -> int:
        """Number of class labels it is conditioned on, 0 if none."""

    @property
    def image_channels(self) -> int:
        """Channels of its image."""

    @property
    def channel_base(self) -> int:
        """Channels of a level times its resolution, before the cap."""

    @property
    def channel_max(self) -> int:
        """Cap on the channels of a level."""


class _Mapping(Protocol):
    w_avg: Tensor  # the mean latent [w_dim], or [num_ws, w_dim] with a row per style input

    def __call__(self, z: Tensor, class_labels: Tensor | None, /) -> Tensor: ...


class _SynthesisNetwork(Protocol):
    def __call__(
        self, ws: Tensor, noise: list[Tensor | None], dtype: torch.dtype, /
    ) -> tuple[Tensor, list[Tensor]]: ...


class Generator(nn.Module, ABC):
    """A pretrained image generator that shows its features.

    Concrete backbones derive from this class and are never derived from. Each builds the
    two networks `mapping` and `synthesis`, and says what they take and show.

    Attributes:
        config: everything that fixes the networks' shape and function.
        z_dim: length of a latent z.
        w_dim: length of a mapped latent w.
        num_ws: rows of a latent in W+, one per style input.
        label_dim: number of class labels it is conditioned on, 0 if none.
        resolution: height and width of its square image in pixels.
        image_channels: channels of its image.
        feature_levels: the levels that `synthesize` returns, coarse to fine.
        truncation_cutoff: rows of W+ that truncation reaches unless `map` is told
            otherwise; None for all.
        digest: SHA-256 of the checkpoint it was loaded from; empty if built in memory.
    """

    config: GeneratorConfig
    mapping: _Mapping
    synthesis: _SynthesisNetwork
    num_ws: int
    feature_levels: tuple[FeatureLevel, ...]
    truncation_cutoff: int | None = None
    compute_dtype: torch.dtype = torch.float32
    digest: str = ""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.z_dim, self.w_dim = config.z_dim, config.w_dim
        self.label_dim = config.label_dim
        self.resolution, self.image_channels = config.resolution, config.image_channels

    @property
    @abstractmethod
    def noise_layers(self) -> Sequence[NoiseLayer]:
        """The layers with a noise input, coarse to fine; none for some architectures."""

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
            truncation_cutoff: truncate only the first so many rows; the generator's own
                `truncation_cutoff` by default, `num_ws` for all.

        Returns:
            ws [N, num_ws, w_dim], float32.

        Raises:
            UsageError: a shape does not fit, or class labels are missing or unexpected.
        """
        self.check_latents(z, class_labels)
        return rows_of_w(
            self.mapping(z.float(), class_labels),
            num_ws=self.num_ws,
            w_avg=self.mapping.w_avg,
            truncation_psi=truncation_psi,
            truncation_cutoff=(
                self.truncation_cutoff if truncation_cutoff is None else truncation_cutoff
            ),
        )

    def synthesize(self, ws: Tensor, *, noise: Noise = "const") -> Synthesis:
        """Synthesize images and features from latents in W+.

        Args:
            ws: [N, num_ws, w_dim].
            noise: the network's constants, none, a `NoiseSeed` with one seed per
                image, or one tensor [N or 1, 1, h, w] per layer of `noise_layers`.

        Returns:
            The image, float32, and the features in the compute type.

        Raises:
            UsageError: a shape does not fit.
        """
        self.check_ws(ws)
        maps = noise_maps(noise, layers=self.noise_layers, batch=ws.shape[0], device=ws.device)
        image, features = self.synthesis(ws.float(), maps, self.compute_dtype)
        return Synthesis(image, FeaturePyramid(self.feature_levels, tuple(features)))

    @torch.no_grad()
    def move_mean_latent(self, w: Tensor, *, rate: float) -> None:
        """Move the running mean of w a share `rate` of the way to w [w_dim], in place."""
        # One row, or the same one for every style input.
        self.mapping.w_avg.lerp_(w, rate)

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
