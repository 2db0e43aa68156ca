"""The filtered activation of `filters.py` written as its definition, for tests.

Zeros are really inserted, every sample of the fine grid is filtered, and most of the
result is thrown away.
"""

import torch.nn.functional as F
from torch import Tensor

from datasetgan.generators.ops import SQRT2

__all__ = ["filter_planes", "filtered_leaky_relu", "insert_zeros"]


def insert_zeros(x: Tensor, up: int) -> Tensor:
    """Put `up - 1` zeros behind every sample of x [N, C, H, W]: [N, C, up H, up W]."""
    n, c, h, w = x.shape
    grid = x.new_zeros(n, c, h, up, w, up)
    grid[:, :, :, 0, :, 0] = x
    return grid.reshape(n, c, h * up, w * up)


def filter_planes(x: Tensor, taps: Tensor) -> Tensor:
    """Filter each channel of x [N, C, H, W] with taps [K] (both axes) or [K, K]; no padding.

    StyleGAN3's filters are symmetric: they need no flip to convolve.
    """
    channels = x.shape[1]
    if taps.ndim == 2:
        kernel = taps.to(x.dtype).expand(channels, 1, -1, -1)
        return F.conv2d(x, kernel, groups=channels)
    row = taps.to(x.dtype).view(1, 1, 1, -1).expand(channels, -1, -1, -1)
    x = F.conv2d(x, row, groups=channels)
    return F.conv2d(x, row.transpose(2, 3), groups=channels)


def filtered_leaky_relu(
    x: Tensor,
    *,
    up_filter: Tensor,
    down_filter: Tensor,
    up: int,
    down: int,
    padding: int,
    out_size: int,
    clamp: float | None,
) -> Tensor:
    """Return what `filters.filtered_leaky_relu` returns, step by step."""
    # 1. Zeros between the samples, in front and behind.
    grid = insert_zeros(x, up)
    fine = (out_size - 1) * down + 1 + (down_filter.shape[0] - 1) + (up_filter.shape[0] - 1)
    behind = fine - grid.shape[2] - padding
    grid = F.pad(grid, (padding, behind, padding, behind))
    # 2. The zeros took energy: the gain is `up` per axis.
    y = filter_planes(grid, up_filter) * up**2
    # 3. Activation, gain, clamp.
    y = F.leaky_relu(y, 0.2) * SQRT2
    if clamp is not None:
        y = y.clamp(-clamp, clamp)
    # 4. Filter and keep every `down`-th sample.
    return filter_planes(y, down_filter)[:, :, ::down, ::down].contiguous()
