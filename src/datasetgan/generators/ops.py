"""Operators of the StyleGAN family in plain PyTorch: no compiled extension.

Each has a slow, literal twin in `ops_reference.py`; tests hold them together.
"""

from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "SQRT2",
    "blur_2d",
    "demodulation",
    "downsample_2d",
    "leaky_relu",
    "modulated_conv2d",
    "normalize_second_moment",
    "upsample_2d",
]

SQRT2 = sqrt(2.0)

# The binomial low-pass filter of StyleGAN2 (Karras et al. 2020, app. B).
FILTER_TAPS = (1.0, 3.0, 3.0, 1.0)


def normalize_second_moment(x: Tensor, *, epsilon: float = 1e-8) -> Tensor:
    """Scale every row of x [N, C] to unit mean square."""
    return x * (x.square().mean(dim=1, keepdim=True) + epsilon).rsqrt()


def leaky_relu(x: Tensor, *, clamp: float | None = None) -> Tensor:
    """Leaky ReLU with slope 0.2, then an optional symmetric clamp.

    StyleGAN multiplies by sqrt(2) behind it. The function is positively
    homogeneous, so callers fold that gain into what comes before: one pass over
    the activations less.
    """
    x = F.leaky_relu(x, 0.2)
    return x if clamp is None else x.clamp(-clamp, clamp)


def blur_2d(x: Tensor, *, gain: float, padding: int) -> Tensor:
    """Filter each channel of x [N, C, H, W] with the outer product of [1, 3, 3, 1].

    Args:
        gain: factor on the filter, whose taps sum to one.
        padding: zeros added on every side.

    Returns:
        [N, C, H + 2 padding - 3, W + 2 padding - 3].
    """
    channels = x.shape[1]
    taps = x.new_tensor(FILTER_TAPS) * (sqrt(gain) / sum(FILTER_TAPS))
    row = taps.view(1, 1, 1, 4).expand(channels, 1, 1, 4)
    column = taps.view(1, 1, 4, 1).expand(channels, 1, 4, 1)
    # Two passes of four taps cost half of one pass of sixteen.
    x = F.conv2d(x, row, padding=(0, padding), groups=channels)
    return F.conv2d(x, column, padding=(padding, 0), groups=channels)


def upsample_2d(x: Tensor) -> Tensor:
    """Double the size of x [N, C, H, W]: zero insertion, then [1, 3, 3, 1] with gain 4.

    Inside the picture that is bilinear interpolation; beyond its edge lie zeros.
    """
    padded = F.pad(x, (1, 1, 1, 1))
    doubled = F.interpolate(padded, scale_factor=2, mode="bilinear", align_corners=False)
    return doubled[:, :, 2:-2, 2:-2]


def downsample_2d(x: Tensor) -> Tensor:
    """Halve the size of x [N, C, H, W]: [1, 3, 3, 1], then every second pixel."""
    # Not with a stride: its gradient takes PyTorch's slow way on CPUs.
    return blur_2d(x, gain=1.0, padding=1)[:, :, ::2, ::2]


def demodulation(weight: Tensor, styles: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what restores unit variance per output channel (Karras et al. 2020, eq. 3).

    Only ratios matter here, so both factors are brought near one first: products then
    stay inside float16's range.

    Args:
        weight: [O, I, k, k], float32.
        styles: [N, I], float32.

    Returns:
        Both, scaled to unit mean square, and the factors [N, O] on the outputs.
    """
    weight = weight * _inverse_rms(weight, dim=(1, 2, 3))
    styles = styles * _inverse_rms(styles, dim=(1,))
    energy = weight.square().sum(dim=(2, 3))  # [OI]
    return weight, styles, (styles.square() @ energy.t() + 1e-8).rsqrt()


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    bias: Tensor,
    demodulate: bool = True,
    upsample: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Convolve each image with weights scaled by its own style (Karras et al. 2020, eq. 1-3).

    Scaling the input channels by the style and the output channels by the
    demodulation factor equals scaling the weights, and lets the whole batch
    share one convolution.

    Up-sampling convolves with stride 2 transposed and then filters, a quarter of
    the products of up-sampling first.

    Args:
        x: [N, I, H, W], in any float type; all products run in it.
        weight: [O, I, k, k], float32.
        styles: [N, I], float32.
        bias: added at the end, broadcastable to the result.
        demodulate: restore unit variance per output channel.
        upsample: double the size on the way.
        gain: factor on the result before the bias.

    Returns:
        [N, O, H, W], or [N, O, 2H, 2W] when up-sampling.
    """
    kernel = weight.shape[2]
    scale = styles.new_full((1, 1), gain)
    if demodulate:
        weight, styles, factors = demodulation(weight, styles)
        scale = factors * gain
    x = x * styles.to(x.dtype)[:, :, None, None]
    kernel_weight = weight.to(x.dtype)
    if upsample:
        x = F.conv_transpose2d(x, kernel_weight.transpose(0, 1), stride=2)  # [N,O,2H+1,2W+1]
        x = blur_2d(x, gain=4.0, padding=1)
    else:
        x = F.conv2d(x, kernel_weight, padding=kernel // 2)
    return torch.addcmul(bias.to(x.dtype), x, scale.to(x.dtype)[:, :, None, None])


def _inverse_rms(x: Tensor, *, dim: tuple[int, ...]) -> Tensor:
    # The floor keeps a row of zeros (a dead channel) finite.
    return x.square().mean(dim=dim, keepdim=True).clamp_min(1e-24).rsqrt()
