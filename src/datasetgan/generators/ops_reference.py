"""The operators of `ops.py` written as their definitions, for tests.

Slow on purpose: weights are scaled per image, zeros are really inserted, and
filters are one dense convolution.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from datasetgan.generators.ops import FILTER_TAPS

__all__ = ["filter_and_resample", "modulated_conv2d"]


def filter_and_resample(
    x: Tensor, *, up: int = 1, down: int = 1, padding: tuple[int, int] = (0, 0), gain: float = 1.0
) -> Tensor:
    """Insert zeros, pad, filter with [1, 3, 3, 1] x [1, 3, 3, 1], keep every `down`-th pixel.

    Args:
        x: [N, C, H, W].
        padding: zeros (before, after) along both axes, in pixels of the up-sampled grid.
        gain: factor on the filter, whose taps sum to one.
    """
    n, c, h, w = x.shape
    # 1. Insert up - 1 zeros behind every pixel.
    grid = x.new_zeros(n, c, h, up, w, up)
    grid[:, :, :, 0, :, 0] = x
    grid = grid.reshape(n, c, h * up, w * up)
    # 2. Pad.
    before, after = padding
    grid = F.pad(grid, (before, after, before, after))
    # 3. Filter each channel alone.
    taps = torch.tensor(FILTER_TAPS, dtype=x.dtype)
    kernel = torch.outer(taps, taps)
    kernel = kernel * (gain / kernel.sum())
    filtered = F.conv2d(grid.reshape(n * c, 1, *grid.shape[2:]), kernel[None, None])
    # 4. Keep every down-th pixel.
    return filtered.reshape(n, c, *filtered.shape[2:])[:, :, ::down, ::down]


def modulated_conv2d(
    x: Tensor, weight: Tensor, styles: Tensor, *, demodulate: bool = True, upsample: bool = False
) -> Tensor:
    """Convolve image by image with its own weights (Karras et al. 2020, eq. 1-3).

    Shapes as in `ops.modulated_conv2d`.
    """
    outputs = []
    for image, style in zip(x, styles, strict=True):
        # w'_ijk = s_i w_ijk, then w''_ijk = w'_ijk / sqrt(sum_ik w'_ijk^2 + eps)
        own = weight * style[None, :, None, None]  # [OIkk]
        if demodulate:
            own = own * (own.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).rsqrt()
        kernel = own.shape[2]
        if upsample:
            # Zero insertion, convolution, low-pass filter. The kernel of a
            # convolution (not a correlation) is flipped.
            n_zero = F.pad(_insert_zeros(image[None]), (kernel - 1,) * 4)
            y = F.conv2d(n_zero, own.flip(2, 3))
            before, after = (1, 0) if kernel == 3 else (2, 1)
            y = filter_and_resample(y, padding=(before, after), gain=4.0)
        else:
            y = F.conv2d(image[None], own, padding=kernel // 2)
        outputs.append(y)
    return torch.cat(outputs)


def _insert_zeros(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    grid = x.new_zeros(n, c, h, 2, w, 2)
    grid[:, :, :, 0, :, 0] = x
    return grid.reshape(n, c, 2 * h, 2 * w)
