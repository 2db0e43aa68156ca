"""Reading feature levels at pixels of the picture.

Every level covers the whole picture on a grid of its own. Its value at a pixel
of the label grid is the bilinear one of `torch.nn.functional.interpolate` with
``align_corners=False`` straight to that grid, for coarser and finer levels alike.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from datasetgan.errors import UsageError
from datasetgan.features.pyramid import FeaturePyramid

__all__ = ["bilinear_taps", "read_tables", "sample_pixel_features"]


def bilinear_taps(length: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the two source pixels of every target pixel along one axis, and their mix.

    Args:
        length: source pixels.
        size: target pixels.

    Returns:
        Indices of the lower and the upper source pixel [size], int64, and the
        weight of the upper one [size], float64 in [0, 1).
    """
    centers = torch.arange(size, dtype=torch.float64) + 0.5
    position = (centers * (length / size) - 0.5).clamp(min=0.0, max=length - 1.0)
    lower = position.floor()
    # `ceil`, not `lower + 1`: a target on a source pixel reads that one alone.
    return lower.long(), position.ceil().long(), position - lower


def sample_pixel_features(
    features: FeaturePyramid, points: Tensor, *, size: tuple[int, int]
) -> Tensor:
    """Read the feature vectors of some pixels of one image.

    Each level is read at its native resolution through four taps per pixel. The
    result is that of upsampling all levels to `size`, concatenating them and
    indexing, but nothing of the size of that stack is ever built.

    Args:
        features: of one image; margins are cropped.
        points: [P, 2] integer rows and columns on the label grid.
        size: (height, width) of the label grid, which covers the whole picture.

    Returns:
        [P, C] float32 on the device of the features, levels coarse to fine.

    Raises:
        UsageError: more than one image, or points that are not [P, 2] within `size`.
    """
    if features.batch_size != 1:
        raise UsageError(
            f"pixel features are read from one image at a time, got {features.batch_size}."
        )
    tables = [tensor[0].permute(1, 2, 0) for tensor in features.cropped]
    return read_tables(tables, points, size=size)


def read_tables(tables: Sequence[Tensor], points: Tensor, *, size: tuple[int, int]) -> Tensor:
    """Read some pixels of one image; see `sample_pixel_features`.

    Args:
        tables: the levels, [h, w, C_l] each, without margins.
        points: [P, 2] integer rows and columns on the label grid.
        size: (height, width) of the label grid.

    Returns:
        [P, C] float32 on the device of the tables.

    Raises:
        UsageError: points that are not [P, 2] within `size`.
    """
    _check_points(points, size)
    device = tables[0].device
    rows, columns = points.cpu().unbind(dim=1)
    sampled = torch.empty(len(points), sum(t.shape[2] for t in tables), device=device)
    first = 0
    for level in tables:
        height, width, channels = level.shape
        table = level.reshape(height * width, channels)  # [hw, C]
        out = sampled[:, first : first + channels]
        top, bottom, down = (tap[rows] for tap in bilinear_taps(height, size[0]))
        left, right, across = (tap[columns] for tap in bilinear_taps(width, size[1]))
        taps = [
            ((row * width + column).to(device), (row_weight * column_weight).float().to(device))
            for row, row_weight in ((top, 1 - down), (bottom, down))
            for column, column_weight in ((left, 1 - across), (right, across))
        ]
        if (height, width) == size:  # every pixel is its own single tap
            taps = taps[:1]
        out.zero_()
        for index, weight in taps:
            out += table[index].float() * weight[:, None]  # [P, C]
        first += channels
    return sampled


def _check_points(points: Tensor, size: tuple[int, int]) -> None:
    if points.ndim != 2 or points.shape[1] != 2 or points.is_floating_point():
        raise UsageError(
            f"points must be [P, 2] integers (row, column), got {list(points.shape)} "
            f"of {points.dtype}."
        )
    limit = torch.tensor(size, device=points.device)
    if len(points) and bool(((points < 0) | (points >= limit)).any()):
        raise UsageError(f"points must lie within {size[0]} rows and {size[1]} columns.")
