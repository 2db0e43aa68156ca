"""The members' first layers on a tile of the picture, without the upsampled stack.

Bilinear upsampling and concatenation are linear per channel, so they commute with
the first linear layer: ``W up(S) = sum_l up(W_l S_l)``. Each level is
multiplied at its own resolution; only hidden units are upsampled, and only within
one tile at a time, so memory does not grow with the picture.

Both axes of the upsampling are products with small matrices: on a CPU several times
faster than `torch.nn.functional.interpolate` is on a thousand channels.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from datasetgan.features.reading import bilinear_taps
from datasetgan.interpreter.labelling.base import Tile

__all__ = ["project_tile", "tiles"]

# 64 x 64 pixels of 1,280 hidden units are 21 MB.
_TILE_SIDE = 64


def tiles(size: tuple[int, int], *, side: int = _TILE_SIDE) -> Iterator[Tile]:
    """Yield tiles of at most `side` x `side` pixels that cover a grid, in reading order."""
    height, width = size
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield Tile(slice(top, min(top + side, height)), slice(left, min(left + side, width)))


def project_tile(
    levels: Sequence[Tensor], weights: Sequence[Tensor], *, size: tuple[int, int], tile: Tile
) -> Tensor:
    """Return what the first layers make of one tile of one image, bias excluded.

    Args:
        levels: [C_l, h_l, w_l] each, margins cropped.
        weights: [H, C_l] each, the columns of the first layers that read the level.
        size: (height, width) of the label grid.
        tile: the part of it to compute.

    Returns:
        [tile rows, tile columns, H] float32.
    """
    # Levels of one size share their upsampling.
    projected: dict[tuple[int, int], Tensor] = {}
    for tensor, weight in zip(levels, weights, strict=True):
        grid = (tensor.shape[1], tensor.shape[2])
        rows = _window(grid[0], size[0], tile.rows)
        columns = _window(grid[1], size[1], tile.columns)
        patch = tensor[:, rows, columns].permute(1, 2, 0).flatten(0, 1)  # [hw, C]
        patch = patch.to(weight.device, torch.float32)
        if grid in projected:
            projected[grid].addmm_(patch, weight.T)
        else:
            projected[grid] = patch @ weight.T  # [hw, H]
    total: Tensor | None = None
    coarse = []
    mixes = []
    for grid, values in projected.items():
        if grid == size:
            total = values
            continue
        down = _mixing_matrix(grid[0], size[0], tile.rows).to(values.device)  # [T, h]
        across = _mixing_matrix(grid[1], size[1], tile.columns).to(values.device)  # [S, w]
        hidden = values.shape[1]
        upsampled = down @ values.view(down.shape[1], -1)  # [T, w * H]
        coarse.append(upsampled.view(down.shape[0], -1, hidden))  # [T, w, H]
        mixes.append(across)
    shape = (tile.rows.stop - tile.rows.start, tile.columns.stop - tile.columns.start)
    if total is None:
        total = weights[0].new_zeros(shape[0] * shape[1], weights[0].shape[0])
    total = total.view(*shape, -1)
    if coarse:
        # One product upsamples the columns of all levels and adds them up.
        across = torch.cat(mixes, dim=1).expand(shape[0], -1, -1)  # [T, S, sum w]
        total.baddbmm_(across, torch.cat(coarse, dim=1))
    return total


def _window(length: int, size: int, target: slice) -> slice:
    """Return the source pixels of one axis that a stretch of target pixels reads."""
    lower, upper, _ = bilinear_taps(length, size)
    return slice(int(lower[target.start]), int(upper[target.stop - 1]) + 1)


def _mixing_matrix(length: int, size: int, target: slice) -> Tensor:
    """Return the bilinear weights [target pixels, pixels of `_window`] of one axis."""
    lower, upper, mix = (tap[target] for tap in bilinear_taps(length, size))
    source = _window(length, size, target)
    matrix = torch.zeros(len(mix), source.stop - source.start, dtype=torch.float64)
    row = torch.arange(len(mix))
    matrix[row, lower - source.start] = 1 - mix
    # Added: both taps may be the same pixel, whose weight is then one.
    matrix[row, upper - source.start] += mix
    return matrix.float()
