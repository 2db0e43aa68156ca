"""StyleGAN2 (Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN").

Parameters carry the names of NVIDIA's PyTorch networks, so that a state dict of
that layout is one of ours but for its constant filters.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Literal

import torch
from torch import Tensor, nn

from datasetgan.errors import check_literals
from datasetgan.features import FeatureLevel
from datasetgan.generators.base import Generator
from datasetgan.generators.layers import DoublingBlocks, FullyConnected, MappingNetwork
from datasetgan.generators.ops import SQRT2, leaky_relu, modulated_conv2d, upsample_2d

__all__ = ["Architecture", "StyleGAN2", "StyleGAN2Config"]

Architecture = Literal["skip", "resnet", "orig"]


@dataclass(frozen=True)
class StyleGAN2Config(DoublingBlocks):
    """Everything that fixes the network's shape.

    Attributes:
        resolution: height and width of the image, a power of two from 4 on.
        z_dim: length of z.
        w_dim: length of w.
        label_dim: classes the mapping is conditioned on, 0 for none.
        image_channels: 3 for RGB.
        mapping_layers: fully connected layers of the mapping network.
        channel_base: channels times resolution, before the cap.
        channel_max: cap on the channels of a level.
        architecture: how blocks add up to the image (Karras et al. 2020, fig. 7).
        conv_clamp: bound on activations, which keeps float16 finite; none by default.
    """

    resolution: int
    z_dim: int = 512
    w_dim: int = 512
    label_dim: int = 0
    image_channels: int = 3
    mapping_layers: int = 8
    channel_base: int = 32768
    channel_max: int = 512
    architecture: Architecture = "skip"
    conv_clamp: float | None = None

    def __post_init__(self) -> None:
        self.check_resolution()
        check_literals(self)


class StyledConvolution(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU."""

    noise_const: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, *, w_dim: int, resolution: int, upsample: bool
    ) -> None:
        super().__init__()
        self.resolution = resolution
        self.upsample = upsample
        self.affine = FullyConnected(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))

    def forward(
        self, x: Tensor, w: Tensor, noise: Tensor | None, *, gain: float, clamp: float | None
    ) -> Tensor:
        """Return [N, O, R, R] from x, w [N, w_dim] and noise [N or 1, 1, R, R]."""
        gain_before = SQRT2 * gain
        bias = (self.bias * gain_before)[:, None, None]
        styles = self.affine(w)
        x = modulated_conv2d(
            x, self.weight, styles, bias=bias, upsample=self.upsample, gain=gain_before
        )
        if noise is not None:
            x = x + (noise * (self.noise_strength * gain_before)).to(x.dtype)
        return leaky_relu(x, clamp=None if clamp is None else clamp * gain)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to image channels, without demodulation."""

    def __init__(self, in_channels: int, image_channels: int, *, w_dim: int) -> None:
        super().__init__()
        self.affine = FullyConnected(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(image_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(image_channels))
        self.weight_gain = 1 / sqrt(in_channels)

    def forward(self, x: Tensor, w: Tensor, *, clamp: float | None) -> Tensor:
        """Return the image [N, image_channels, H, W], float32."""
        styles = self.affine(w) * self.weight_gain
        bias = self.bias[:, None, None]
        y = modulated_conv2d(x, self.weight, styles, bias=bias, demodulate=False).float()
        return y if clamp is None else y.clamp(-clamp, clamp)


class ResidualProjection(nn.Module):
    """The plain 1x1 convolution, up-sampled, beside a block of the residual architecture."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 1, 1))
        self.weight_gain = 1 / sqrt(in_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, O, 2H, 2W], scaled by sqrt(1/2)."""
        weight = (self.weight * (self.weight_gain * sqrt(0.5))).to(x.dtype)
        return upsample_2d(nn.functional.conv2d(x, weight))


class SynthesisBlock(nn.Module):
    """All layers of one resolution."""

    def __init__(self, config: StyleGAN2Config, resolution: int) -> None:
        super().__init__()
        out_channels = config.channels_at(resolution)
        first = resolution == 4
        last = resolution == config.resolution
        self.conv0: StyledConvolution | None = None
        self.skip: ResidualProjection | None = None
        self.torgb: ToRGB | None = None
        if first:
            self.const = nn.Parameter(torch.randn(out_channels, 4, 4))
        else:
            in_channels = config.channels_at(resolution // 2)
            self.conv0 = StyledConvolution(
                in_channels, out_channels, w_dim=config.w_dim, resolution=resolution, upsample=True
            )
            if config.architecture == "resnet":
                self.skip = ResidualProjection(in_channels, out_channels)
        self.conv1 = StyledConvolution(
            out_channels, out_channels, w_dim=config.w_dim, resolution=resolution, upsample=False
        )
        if last or config.architecture == "skip":
            self.torgb = ToRGB(out_channels, config.image_channels, w_dim=config.w_dim)

    @property
    def convolutions(self) -> list[tuple[str, StyledConvolution]]:
        """The styled convolutions in order, by name."""
        named = [("conv0", self.conv0), ("conv1", self.conv1)]
        return [(name, conv) for name, conv in named if conv is not None]


class SynthesisNetwork(nn.Module):
    """Blocks `b4`, `b8`, ... from the constant to the image."""

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        self.config = config
        for resolution in config.block_resolutions:
            self.add_module(f"b{resolution}", SynthesisBlock(config, resolution))

    @property
    def blocks(self) -> list[tuple[str, SynthesisBlock]]:
        """The blocks by name, coarse to fine."""
        return [(name, b) for name, b in self.named_children() if isinstance(b, SynthesisBlock)]

    def forward(
        self, ws: Tensor, noise: list[Tensor | None], dtype: torch.dtype
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the image, float32, and the output of every styled convolution, in `dtype`."""
        clamp = self.config.conv_clamp
        residual = self.config.architecture == "resnet"
        features: list[Tensor] = []
        image: Tensor | None = None
        row = 0
        _, first = self.blocks[0]
        x = first.const.to(dtype).expand(ws.shape[0], -1, -1, -1)
        x = x.contiguous(memory_format=torch.channels_last)
        for _, block in self.blocks:
            shortcut = None if block.skip is None else block.skip(x)
            for name, conv in block.convolutions:
                gain = sqrt(0.5) if residual and name == "conv1" and shortcut is not None else 1.0
                x = conv(x, ws[:, row], noise[len(features)], gain=gain, clamp=clamp)
                features.append(x)
                row += 1
            if shortcut is not None:
                x = x + shortcut
            if image is not None:
                image = upsample_2d(image)
            if block.torgb is not None:
                # The image layer reads the row that the next block's first layer reads too.
                rgb = block.torgb(x, ws[:, row], clamp=clamp)
                image = rgb if image is None else image + rgb
        assert image is not None  # the last block always has a torgb
        return image, features


class StyleGAN2(Generator):
    """The StyleGAN2 generator.

    Features are the outputs of every styled convolution (noise, bias and
    activation included), as EditGAN taps them.
    """

    config: StyleGAN2Config
    mapping: MappingNetwork
    synthesis: SynthesisNetwork

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__(config)
        self.synthesis = SynthesisNetwork(config)
        self.feature_levels = tuple(
            FeatureLevel(
                f"{block_name}.{name}", conv.weight.shape[0], conv.resolution, conv.resolution
            )
            for block_name, block in self.synthesis.blocks
            for name, conv in block.convolutions
        )
        self.num_ws = len(self.feature_levels) + 1
        self.mapping = MappingNetwork(
            z_dim=config.z_dim,
            w_dim=config.w_dim,
            label_dim=config.label_dim,
            num_layers=config.mapping_layers,
        )

    @property
    def noise_layers(self) -> list[StyledConvolution]:
        """Every styled convolution."""
        return [conv for _, block in self.synthesis.blocks for _, conv in block.convolutions]
