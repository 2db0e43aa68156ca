"""StyleGAN2's residual discriminator (Karras et al. 2020, sec. 4 and app. B)."""

from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datasetgan.generators.layers import FullyConnected
from datasetgan.generators.ops import SQRT2, blur_2d, downsample_2d, leaky_relu

__all__ = ["Discriminator", "append_minibatch_deviation"]


def append_minibatch_deviation(x: Tensor, *, group: int = 4) -> Tensor:
    """Append one channel with the mean standard deviation over a group of images.

    It lets the discriminator see variety (Karras et al. 2018, sec. 3).

    Args:
        x: [N, C, H, W].
        group: images that are compared; the largest divisor of N up to it is taken.

    Returns:
        [N, C + 1, H, W].
    """
    n, _, h, w = x.shape
    size = next(g for g in range(min(group, n), 0, -1) if n % g == 0)
    # Neighbours form a group, so photographs and pictures that share a batch one
    # after the other do not mix.
    grouped = x.float().reshape(-1, size, *x.shape[1:])  # [N/G, G, C, H, W]
    deviation = (grouped.var(dim=1, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))  # [N/G]
    channel = deviation.repeat_interleave(size)[:, None, None, None].expand(n, 1, h, w)
    return torch.cat([x, channel.to(x.dtype)], dim=1)


class _Convolution(nn.Module):
    """Equalised convolution, bias, leaky ReLU; halves the size on demand."""

    def __init__(self, fan_in: int, fan_out: int, *, kernel: int, down: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(fan_out, fan_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(fan_out))
        self.down = down
        self.weight_gain = 1 / sqrt(fan_in * kernel * kernel)

    def forward(self, x: Tensor, *, gain: float = 1.0) -> Tensor:
        # The activation's gain goes before it, see `leaky_relu`.
        gain = SQRT2 * gain
        weight = (self.weight * (self.weight_gain * gain)).to(x.dtype)
        bias = (self.bias * gain).to(x.dtype)
        if self.down:
            x = F.conv2d(blur_2d(x, gain=1.0, padding=(2, 2)), weight, bias, stride=2)
        else:
            x = F.conv2d(x, weight, bias, padding=weight.shape[2] // 2)
        return leaky_relu(x)


class _Block(nn.Module):
    """Two 3x3 convolutions to half the size, with a 1x1 shortcut beside them."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.conv0 = _Convolution(fan_in, fan_in, kernel=3)
        self.conv1 = _Convolution(fan_in, fan_out, kernel=3, down=True)
        self.skip_weight = nn.Parameter(torch.randn(fan_out, fan_in, 1, 1))
        self.skip_gain = sqrt(0.5) / sqrt(fan_in)

    def forward(self, x: Tensor) -> Tensor:
        # Halving first leaves a quarter of the products to the 1x1 convolution.
        shortcut = F.conv2d(downsample_2d(x), (self.skip_weight * self.skip_gain).to(x.dtype))
        out: Tensor = self.conv1(self.conv0(x), gain=sqrt(0.5))
        return out + shortcut


class Discriminator(nn.Module):
    """Images to one logit each: high for real.

    Args:
        resolution: height and width, a power of two from 8 on.
        image_channels: 3 for RGB.
        channel_base: channels times resolution, before the cap.
        channel_max: cap on the channels of a level.
    """

    def __init__(
        self, resolution: int, *, image_channels: int, channel_base: int, channel_max: int
    ) -> None:
        super().__init__()

        def channels(r: int) -> int:
            return min(channel_base // r, channel_max)

        self.from_rgb = _Convolution(image_channels, channels(resolution), kernel=1)
        sizes = [resolution >> i for i in range(resolution.bit_length() - 3)]  # R ... 8
        self.blocks = nn.ModuleList(_Block(channels(r), channels(r // 2)) for r in sizes)
        self.last_convolution = _Convolution(channels(4) + 1, channels(4), kernel=3)
        self.hidden = FullyConnected(channels(4) * 16, channels(4))
        self.out = FullyConnected(channels(4), 1)

    def forward(self, images: Tensor, *, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return logits [N], float32, from images [N, C, R, R] in [-1, 1].

        Args:
            dtype: type of the activations.
        """
        x = images.to(dtype).contiguous(memory_format=torch.channels_last)
        x = self.from_rgb(x)
        for block in self.blocks:
            x = block(x)
        x = self.last_convolution(append_minibatch_deviation(x))
        x = leaky_relu(self.hidden(x.to(self.hidden.weight.dtype).flatten(1))) * SQRT2
        logits: Tensor = self.out(x)
        return logits[:, 0]
