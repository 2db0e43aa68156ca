"""Operators of StyleGAN1 in plain PyTorch.

Their slow, literal twins stand in `stylegan1_reference.py`; tests hold them together.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["adaptive_instance_norm", "blur_3x3", "upsampling_conv2d"]

# The binomial low-pass filter of StyleGAN1 (Karras et al. 2019, sec. 2).
BLUR_TAPS = (1.0, 2.0, 1.0)

# Up to this height, making the 4x4 kernel costs more than the products that it saves.
_DOUBLED_FIRST = 8


def blur_3x3(x: Tensor, *, bias: Tensor) -> Tensor:
    """Filter each channel of x [N, C, H, W] with [1, 2, 1] x [1, 2, 1], zeros beyond the edge.

    Args:
        bias: [C], added to the result, whose size is that of x.
    """
    channels = x.shape[1]
    taps = x.new_tensor(BLUR_TAPS) / sum(BLUR_TAPS)
    # One pass of nine taps is faster than two of three: memory, not products, is the limit.
    kernel = torch.outer(taps, taps).expand(channels, 1, 3, 3)
    return F.conv2d(x, kernel, bias.to(x.dtype), padding=1, groups=channels)


def upsampling_conv2d(x: Tensor, weight: Tensor) -> Tensor:
    """Double the size of x [N, I, H, W] and convolve it with weight [O, I, 3, 3].

    The result is the transposed convolution of stride 2 whose 4x4 kernel is the sum
    of the four copies of the 3x3 one shifted by (0 or 1, 0 or 1) pixels: StyleGAN1's
    fused layer. The layer that is not fused, nearest-neighbour doubling with a
    correlation behind it, is the same map with its kernel rotated by half a turn,
    borders included, so a rotation when the weights are read in serves both, and
    16 products per input pixel stand for 36.

    Returns:
        [N, O, 2H, 2W].
    """
    if x.shape[2] <= _DOUBLED_FIRST:
        doubled = F.interpolate(x, scale_factor=2.0, mode="nearest")
        return F.conv2d(doubled, weight.flip(2, 3).to(x.dtype), padding=1)
    # A matrix with 0 and 1 adds the shifted copies: padding and slicing take three times as long.
    shifts = weight.new_tensor([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]])
    kernel = weight.flatten(2) @ torch.kron(shifts, shifts)  # [OI9] to [OI,16]
    kernel = kernel.reshape(*weight.shape[:2], 4, 4)  # [OI44]
    return F.conv_transpose2d(x, kernel.to(x.dtype).transpose(0, 1), stride=2, padding=1)


def adaptive_instance_norm(x: Tensor, styles: Tensor, *, epsilon: float) -> Tensor:
    """Bring each channel of each image to zero mean and unit variance, then style it.

    Karras et al. 2019, eq. 1; as in the official code the learned scale counts from one.

    Args:
        x: [N, C, H, W], in any float type; statistics are taken in float32 or finer.
        styles: [N, 2C], C scales minus one, then C shifts.
        epsilon: added to the variance.
    """
    scale, shift = styles[:, :, None, None].chunk(2, dim=1)  # [NC11] twice
    exact = x if x.dtype == torch.float64 else x.float()
    # Means of the values and of the squares: torch.var_mean takes three times as long.
    # Centred first, for a channel far from zero would lose its variance to rounding.
    centred = exact - exact.mean(dim=(2, 3), keepdim=True)
    variance = centred.square().mean(dim=(2, 3), keepdim=True)
    gain = (scale + 1) * (variance + epsilon).rsqrt()
    return torch.addcmul(shift, centred, gain).to(x.dtype)
