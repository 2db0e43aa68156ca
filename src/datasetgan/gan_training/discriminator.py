"""StyleGAN2's residual discriminator (Karras et al. 2020, sec. 4 and app. B).

Class-conditional by projection, as Karras et al. 2020b train on labelled sets: the picture's
features are multiplied with a mapped class label (after Miyato and Koyama 2018).
"""

from itertools import pairwise
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datasetgan.errors import UsageError
from datasetgan.generators.layers import FullyConnected
from datasetgan.generators.ops import (
    SQRT2,
    blur_2d,
    downsample_2d,
    leaky_relu,
    normalize_second_moment,
)

__all__ = ["Discriminator", "append_minibatch_deviation"]

_LABEL_LAYERS = 8


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
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    grouped = wide.reshape(-1, size, *x.shape[1:])  # [N/G, G, C, H, W]
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
            x = F.conv2d(blur_2d(x, gain=1.0, padding=2), weight, bias, stride=2)
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


class _LabelMapping(nn.Module):
    """One-hot class labels to vectors of unit mean square before the layers, as G maps z."""

    def __init__(self, label_dim: int, features: int) -> None:
        super().__init__()
        self.embed = FullyConnected(label_dim, features)
        sizes = pairwise([features] * (_LABEL_LAYERS + 1))
        self.layers = nn.ModuleList(FullyConnected(i, o, lr_multiplier=0.01) for i, o in sizes)

    def forward(self, class_labels: Tensor) -> Tensor:
        """Return [N, features] from class labels [N, label_dim]."""
        x = normalize_second_moment(self.embed(class_labels))
        for layer in self.layers:
            x = leaky_relu(layer(x)) * SQRT2
        return x


class Discriminator(nn.Module):
    """Images to one logit each: high for real.

    Args:
        resolution: height and width, a power of two from 4 on.
        image_channels: 3 for RGB.
        channel_base: channels times resolution, before the cap.
        channel_max: cap on the channels of a level.
        label_dim: classes it is conditioned on, 0 for none.
        group: images of a group of the minibatch deviation.

    Raises:
        UsageError: the resolution is no power of two from 4 on, or too few channels.
    """

    def __init__(
        self,
        resolution: int,
        *,
        image_channels: int,
        channel_base: int,
        channel_max: int,
        label_dim: int = 0,
        group: int = 4,
    ) -> None:
        super().__init__()
        if resolution < 4 or resolution & (resolution - 1):
            raise UsageError(
                f"a discriminator's resolution must be a power of two from 4 on, got {resolution}."
            )
        if min(channel_base // resolution, channel_max, group) < 1:
            raise UsageError(
                f"a discriminator of {resolution} pixels needs a channel_base of at least "
                f"{resolution}, and channel_max and group of at least 1; got {channel_base}, "
                f"{channel_max} and {group}."
            )
        self.resolution, self.label_dim, self.group = resolution, label_dim, group
        self.image_channels = image_channels

        def channels(r: int) -> int:
            return min(channel_base // r, channel_max)

        last = channels(4)
        self.from_rgb = _Convolution(image_channels, channels(resolution), kernel=1)
        sizes = [resolution >> i for i in range(resolution.bit_length() - 3)]  # R ... 8
        self.blocks = nn.ModuleList(_Block(channels(r), channels(r // 2)) for r in sizes)
        self.last_convolution = _Convolution(last + 1, last, kernel=3)
        self.hidden = FullyConnected(last * 16, last)
        self.out = FullyConnected(last, last if label_dim else 1)
        self.labels = _LabelMapping(label_dim, last) if label_dim else None

    def forward(
        self,
        images: Tensor,
        class_labels: Tensor | None = None,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Return logits [N], float32, from images [N, C, R, R] in [-1, 1].

        Args:
            class_labels: one-hot [N, label_dim] of a class-conditional one, else None.
            dtype: type of the activations.

        Raises:
            UsageError: images or class labels of another shape.
        """
        self._check(images, class_labels)
        x = images.to(dtype).contiguous(memory_format=torch.channels_last)
        x = self.from_rgb(x)
        for block in self.blocks:
            x = block(x)
        x = self.last_convolution(append_minibatch_deviation(x, group=self.group))
        x = leaky_relu(self.hidden(x.to(self.hidden.weight.dtype).flatten(1))) * SQRT2
        out: Tensor = self.out(x)  # [N, 1], or [N, F] to compare with the label's features
        if self.labels is None or class_labels is None:
            return out[:, 0]
        mapped: Tensor = self.labels(class_labels.to(out.dtype))
        return (out * mapped).sum(dim=1) / sqrt(out.shape[1])

    def _check(self, images: Tensor, class_labels: Tensor | None) -> None:
        expected = (self.image_channels, self.resolution, self.resolution)
        if images.ndim != 4 or images.shape[1:] != expected:
            raise UsageError(
                f"this discriminator takes images [N, {', '.join(map(str, expected))}], "
                f"got {list(images.shape)}."
            )
        wanted = [len(images), self.label_dim]
        if self.label_dim and (class_labels is None or list(class_labels.shape) != wanted):
            came = "none" if class_labels is None else list(class_labels.shape)
            raise UsageError(
                f"this discriminator is class-conditional: class_labels must be {wanted}, "
                f"got {came}."
            )
        if not self.label_dim and class_labels is not None:
            raise UsageError("this discriminator is not class-conditional: leave class_labels out.")
