"""Moving pictures without loss of sharpness: whole pixels copied, or band-limited resampling.

Beyond its edge a picture goes on as its own mirror image, without end. Everything here is
linear in the picture and can be differentiated any number of times, which the discriminator's
gradient penalty needs.
"""

from functools import lru_cache
from math import sqrt

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx

__all__ = ["SYM6", "SYM6_CENTER", "move_pixels", "resample"]

# The low-pass filter of the orthogonal wavelet "sym6" (Daubechies 1992, table 6.3): twelve
# taps with sum sqrt(2), orthonormal to their own shifts by two, six vanishing moments.
SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
# Where the filter leaves a pixel: its centre of mass. The filter is not symmetric, so half its
# length would shift a mirrored picture by 0.4 pixels.
SYM6_CENTER = sum(i * tap for i, tap in enumerate(SYM6)) / sum(SYM6)

# Up-sampled values held at once: 16 MiB in float32, which a CPU's cache nearly holds.
_CHUNK_VALUES = 2**22


def move_pixels(images: Tensor, matrices: Tensor) -> Tensor:
    """Copy whole pixels: mirrored, turned by quarters and shifted pictures.

    Args:
        images: [N, C, S, S].
        matrices: [N, 3, 3] of `source_matrices`, whole numbers.
    """
    n, c, side, _ = images.shape
    half = (side - 1) / 2
    axis = torch.arange(side, dtype=torch.float64) - half
    source = _positions(matrices, axis) + half  # [N, S, S, 2], whole numbers
    period = 2 * (side - 1)
    source = source.round().long() % period
    source = torch.minimum(source, period - source)
    index = (source[..., 1] * side + source[..., 0]).view(n, 1, -1).to(images.device)
    return images.flatten(2).gather(2, index.expand(-1, c, -1)).view_as(images)


def resample(images: Tensor, matrices: Tensor) -> Tensor:
    """Carry out any affine map (Karras et al. 2020b, app. B).

    Pictures are doubled in size with the sym6 filter, read bilinearly on a grid of twice the
    density, and halved with the same filter. As the filter is orthogonal, the identity map
    gives the picture back.

    Args:
        images: [N, C, S, S], float32 or float64.
        matrices: [N, 3, 3] of `source_matrices`.
    """
    side = images.shape[2]
    up, down = _resampling_matrices(side, images.dtype, images.device)
    per_image = images.shape[1] * len(up) ** 2
    chunk = max(1, _CHUNK_VALUES // per_image)
    moved = []
    for start in range(0, len(images), chunk):
        pictures = images[start : start + chunk]
        grid = _sampling_grid(matrices[start : start + chunk].to(images), side)
        doubled = up @ pictures @ up.t()  # [N, C, P+1, P+1]
        sampled: Tensor = _Sample.apply(doubled, grid)
        moved.append(down @ sampled @ down.t())  # [N, C, S, S]
    return torch.cat(moved)


@lru_cache(maxsize=4)
def _resampling_matrices(
    side: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return doubling [P + 1, S] with its mirrored margins, and halving [S, 2S + 10].

    A mirrored row repeats after 2 (S - 1) pixels, P = 4 (S - 1) doubled ones. As dense matrix
    products these are several times faster on a CPU than convolutions with one channel.
    """
    taps = np.array(SYM6)
    length, period = len(taps), 2 * (side - 1)
    up = np.zeros((2 * period + 1, side))
    for row in range(2 * period + 1):
        # Doubled value n is the sum over pixels k of taps[n - 2 k] x[k].
        for tap in range(row % 2, length, 2):
            k = (row - tap) // 2 % period
            up[row, min(k, period - k)] += taps[tap] * sqrt(2)
    down = np.zeros((side, 2 * side + length - 2))
    for row in range(side):
        down[row, 2 * row : 2 * row + length] = taps / sqrt(2)
    # Kept for later calls, so no tensors of a caller's inference mode.
    with torch.inference_mode(False):
        matrices = [torch.from_numpy(x).to(dtype).to(device) for x in (up, down)]
    return matrices[0], matrices[1]


def _sampling_grid(matrices: Tensor, side: int) -> Tensor:
    """Return where to read the doubled picture, [N, 2S + 10, 2S + 10, 2] in [-1, 1]."""
    period = 4 * (side - 1)
    half = (side - 1) / 2
    count = 2 * side + len(SYM6) - 2
    points = torch.arange(count, device=matrices.device, dtype=matrices.dtype)
    source = _positions(matrices, (points - SYM6_CENTER) / 2 - half)
    # Read as 0 to 1 along the mirrored period, then as grid_sample counts.
    place = (source * 2 + (2 * half + SYM6_CENTER)) / period
    return (place - place.floor()) * 2 - 1


def _positions(matrices: Tensor, axis: Tensor) -> Tensor:
    """Return the sources [N, A, A, 2] (x, y) of the square grid over an axis [A]."""
    x = matrices[:, :2, 0, None] * axis  # [N, 2, A]
    y = matrices[:, :2, 1, None] * axis + matrices[:, :2, 2, None]
    return (x[:, :, None, :] + y[:, :, :, None]).permute(0, 2, 3, 1)


class _Context(FunctionCtx):
    saved_tensors: tuple[Tensor, ...]
    size: torch.Size


class _Sample(torch.autograd.Function):
    """Bilinear reading, differentiable without end in the picture but not in the grid.

    PyTorch's own can be differentiated once. Reading is linear, so its backward pass is the
    adjoint, whose backward pass is reading again.
    """

    @staticmethod
    def forward(ctx: _Context, pictures: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.size = pictures.shape
        return F.grid_sample(pictures, grid, padding_mode="border", align_corners=True)

    @staticmethod
    def backward(ctx: _Context, *gradients: Tensor) -> tuple[Tensor, None]:
        (grid,) = ctx.saved_tensors
        adjoint: Tensor = _SampleAdjoint.apply(gradients[0], grid, ctx.size)
        return adjoint, None


class _SampleAdjoint(torch.autograd.Function):
    """The adjoint of `_Sample`: every value goes back to the four pixels it was read from.

    CUDA adds them up in no fixed order: there, the last digits differ from run to run.
    """

    @staticmethod
    def forward(ctx: _Context, values: Tensor, grid: Tensor, size: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        # The operator wants the picture for the grid's gradient, which is not asked for.
        pictures = values.new_zeros(()).expand(size)
        bilinear, border, align_corners = 0, 1, True
        adjoint, _ = torch.ops.aten.grid_sampler_2d_backward(
            values, pictures, grid, bilinear, border, align_corners, [True, False]
        )
        assert isinstance(adjoint, Tensor)
        return adjoint

    @staticmethod
    def backward(ctx: _Context, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        sampled: Tensor = _Sample.apply(gradients[0], grid)
        return sampled, None, None
