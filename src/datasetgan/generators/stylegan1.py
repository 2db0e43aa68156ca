"""StyleGAN1 (Karras et al. 2019, "A style-based generator architecture for GANs")."""

from dataclasses import dataclass
from math import sqrt
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datasetgan.errors import UsageError, check_literals
from datasetgan.features import FeatureLevel
from datasetgan.generators.base import Generator
from datasetgan.generators.layers import DoublingBlocks, FullyConnected
from datasetgan.generators.ops import SQRT2, leaky_relu, normalize_second_moment
from datasetgan.generators.ops_stylegan1 import adaptive_instance_norm, blur_3x3, upsampling_conv2d

__all__ = ["StyleGAN1", "StyleGAN1Config", "Tap"]

Tap = Literal["official", "adain"]


@dataclass(frozen=True)
class StyleGAN1Config(DoublingBlocks):
    """Everything that fixes the network's shape and function.

    Attributes:
        resolution: height and width of the image, a power of two from 4 on.
        z_dim: length of z.
        w_dim: length of w.
        label_dim: classes the mapping is conditioned on, 0 for none.
        image_channels: 3 for RGB.
        mapping_layers: fully connected layers of the mapping network.
        channel_base: channels times resolution, before the cap (twice the official
            code's `fmap_base`).
        channel_max: cap on the channels of a level.
        norm_epsilon: added to the variance of an instance norm: 1e-8 in the official
            TensorFlow code, 1e-5 in the PyTorch port that DatasetGAN uses.
        truncation_cutoff: rows of W+ that truncation reaches unless `map` is told
            otherwise; None for all. The official code says 8.
        tap: what a block shows of itself. ``"official"``, as DatasetGAN's code does:
            its second AdaIN output, then the bare output of its second convolution.
            ``"adain"``, as DatasetGAN's paper says: both AdaIN outputs.
    """

    resolution: int
    z_dim: int = 512
    w_dim: int = 512
    label_dim: int = 0
    image_channels: int = 3
    mapping_layers: int = 8
    channel_base: int = 16384
    channel_max: int = 512
    norm_epsilon: float = 1e-8
    truncation_cutoff: int | None = 8
    tap: Tap = "official"

    def __post_init__(self) -> None:
        self.check_resolution()
        check_literals(self)
        if self.truncation_cutoff is not None and self.truncation_cutoff < 0:
            raise UsageError(
                f"truncation_cutoff must be a number of rows from 0 on, or none for all; "
                f"got {self.truncation_cutoff}."
            )

    @property
    def num_ws(self) -> int:
        """Rows of W+: two per block."""
        return 2 * len(self.block_resolutions)


class MappingNetwork(nn.Module):
    """z, and a class label where there is one, to w.

    `w_avg` [num_ws, w_dim] is the mean latent, one row per style input.
    """

    w_avg: Tensor

    def __init__(self, config: StyleGAN1Config) -> None:
        super().__init__()
        self.num_layers = config.mapping_layers
        # Unlike later families, the label's vector is neither scaled nor normalised alone.
        self.embed = (
            nn.Parameter(torch.randn(config.label_dim, config.z_dim)) if config.label_dim else None
        )
        fan_in = config.z_dim * (2 if config.label_dim else 1)
        for i in range(config.mapping_layers):
            self.add_module(f"fc{i}", FullyConnected(fan_in, config.w_dim, lr_multiplier=0.01))
            fan_in = config.w_dim
        self.register_buffer("w_avg", torch.zeros(config.num_ws, config.w_dim))

    def forward(self, z: Tensor, class_labels: Tensor | None = None) -> Tensor:
        """Return w [N, w_dim] from z [N, z_dim] and one-hot class labels [N, label_dim]."""
        x = z
        if self.embed is not None:
            assert class_labels is not None  # Generator.check_latents saw to it
            x = torch.cat([x, class_labels.float() @ self.embed], dim=1)
        x = normalize_second_moment(x)
        for i in range(self.num_layers):
            # He's gain belongs to the weight, not to the bias: it goes in with the input.
            x = leaky_relu(self.get_submodule(f"fc{i}")(x * SQRT2))
        return x


class Convolution(nn.Module):
    """A 3x3 or 1x1 convolution with bias; its weight is scaled by `gain / sqrt(fan in)`."""

    def __init__(self, in_channels: int, out_channels: int, *, kernel: int, gain: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.weight_gain = gain / (kernel * sqrt(in_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, O, H, W] from x [N, I, H, W]."""
        weight = (self.weight * self.weight_gain).to(x.dtype)
        return F.conv2d(x, weight, self.bias.to(x.dtype), padding=weight.shape[2] // 2)


class UpsamplingConvolution(nn.Module):
    """Twice the size, 3x3 convolution, blur, bias; see `ops_stylegan1.upsampling_conv2d`."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.weight_gain = SQRT2 / (3 * sqrt(in_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, O, 2H, 2W] from x [N, I, H, W]."""
        return blur_3x3(upsampling_conv2d(x, self.weight * self.weight_gain), bias=self.bias)


class AdaIN(nn.Module):
    """What follows every convolution: noise, leaky ReLU, instance norm, style."""

    noise_const: Tensor

    def __init__(self, channels: int, *, resolution: int, config: StyleGAN1Config) -> None:
        super().__init__()
        self.epsilon = config.norm_epsilon
        self.noise_strength = nn.Parameter(torch.zeros(channels))
        self.affine = FullyConnected(config.w_dim, 2 * channels)
        self.register_buffer("noise_const", torch.randn(resolution, resolution))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """Return [N, C, R, R] from x of that shape, w [N, w_dim] and noise [N or 1, 1, R, R]."""
        if noise is not None:
            x = x + noise.to(x.dtype) * self.noise_strength.to(x.dtype)[:, None, None]
        return adaptive_instance_norm(leaky_relu(x), self.affine(w), epsilon=self.epsilon)


class SynthesisBlock(nn.Module):
    """The two layers of one resolution."""

    def __init__(self, config: StyleGAN1Config, resolution: int) -> None:
        super().__init__()
        channels = config.channels_at(resolution)
        self.tap = config.tap
        self.conv0: UpsamplingConvolution | None = None
        if resolution == 4:
            self.const = nn.Parameter(torch.ones(channels, 4, 4))
            self.bias = nn.Parameter(torch.zeros(channels))
        else:
            self.conv0 = UpsamplingConvolution(config.channels_at(resolution // 2), channels)
        self.adain0 = AdaIN(channels, resolution=resolution, config=config)
        self.conv1 = Convolution(channels, channels, kernel=3, gain=SQRT2)
        self.adain1 = AdaIN(channels, resolution=resolution, config=config)

    def start(self, batch: int, dtype: torch.dtype) -> Tensor:
        """Return the constant input [N, C, 4, 4] of the first block."""
        x = (self.const + self.bias[:, None, None]).to(dtype).expand(batch, -1, -1, -1)
        return x.contiguous(memory_format=torch.channels_last)

    def forward(
        self, x: Tensor, ws: Tensor, noise: list[Tensor | None]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the block's output and the two features it shows.

        Args:
            x: the block before's output, or the constant input.
            ws: [N, 2, w_dim].
            noise: of both layers.
        """
        if self.conv0 is not None:
            x = self.conv0(x)
        first = self.adain0(x, ws[:, 0], noise[0])
        bare = self.conv1(first)
        second: Tensor = self.adain1(bare, ws[:, 1], noise[1])
        return second, ((second, bare) if self.tap == "official" else (first, second))


class SynthesisNetwork(nn.Module):
    """Blocks `b4`, `b8`, ... from the constant to the last features, then `torgb`."""

    def __init__(self, config: StyleGAN1Config) -> None:
        super().__init__()
        for resolution in config.block_resolutions:
            self.add_module(f"b{resolution}", SynthesisBlock(config, resolution))
        channels = config.channels_at(config.resolution)
        self.torgb = Convolution(channels, config.image_channels, kernel=1, gain=1.0)

    @property
    def blocks(self) -> list[SynthesisBlock]:
        """The blocks, coarse to fine."""
        return [child for child in self.children() if isinstance(child, SynthesisBlock)]

    @property
    def layers(self) -> list[AdaIN]:
        """The AdaIN layers in order."""
        return [layer for block in self.blocks for layer in (block.adain0, block.adain1)]

    def forward(
        self, ws: Tensor, noise: list[Tensor | None], dtype: torch.dtype
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the image, float32, and every block's features, in `dtype`."""
        blocks = self.blocks
        features: list[Tensor] = []
        x = blocks[0].start(ws.shape[0], dtype)
        for i, block in enumerate(blocks):
            rows = slice(2 * i, 2 * i + 2)
            x, shown = block(x, ws[:, rows], noise[rows])
            features.extend(shown)
        return self.torgb(x).float(), features


class StyleGAN1(Generator):
    """The StyleGAN1 generator.

    Features are two per block; which two, the configuration's `tap` says. The up-sampling
    weights are kept in the orientation of the transposed convolution at every size;
    published ones are rotated below 128 px when they are read in.
    """

    config: StyleGAN1Config
    mapping: MappingNetwork
    synthesis: SynthesisNetwork

    def __init__(self, config: StyleGAN1Config) -> None:
        super().__init__(config)
        self.num_ws, self.truncation_cutoff = config.num_ws, config.truncation_cutoff
        shown = ("adain1", "conv1") if config.tap == "official" else ("adain0", "adain1")
        self.feature_levels = tuple(
            FeatureLevel(f"b{resolution}.{name}", config.channels_at(resolution), *2 * [resolution])
            for resolution in config.block_resolutions
            for name in shown
        )
        self.mapping = MappingNetwork(config)
        self.synthesis = SynthesisNetwork(config)

    @property
    def noise_layers(self) -> list[AdaIN]:
        """Every AdaIN layer."""
        return self.synthesis.layers
