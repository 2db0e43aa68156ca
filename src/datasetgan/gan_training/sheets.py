"""Pictures side by side in one PNG: sample grids, and samples beside their neighbours."""

from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasetgan.errors import UsageError
from datasetgan.gan_training.quality.picture_batches import check_pictures
from datasetgan.serialization import write_atomic

__all__ = ["write_neighbour_sheet", "write_sheet"]

_GAP = 2


def write_sheet(
    path: Path, pictures: NDArray[np.uint8], *, columns: int = 8, zoom: int = 1
) -> None:
    """Write pictures row by row as one PNG without gaps, atomically.

    Places that the last row leaves over are white.

    Args:
        pictures: uint8 [M, R, R, 3].
        columns: pictures in a row.
        zoom: pixels of the file per pixel and direction; every pixel stays a sharp square.

    Raises:
        UsageError: misshapen pictures, or `columns` or `zoom` below 1.
        StorageError: the file cannot be written.
    """
    check_pictures("pictures", pictures)
    _write(path, pictures, columns=columns, zoom=zoom)


def write_neighbour_sheet(
    path: Path,
    samples: NDArray[np.uint8],
    neighbours: NDArray[np.uint8],
    *,
    columns: int = 4,
    zoom: int = 1,
) -> None:
    """Write every sample with its nearest photograph at its right, as one PNG, atomically.

    Pairs stand apart by a white gap.

    Args:
        samples: uint8 [M, R, R, 3].
        neighbours: uint8 [M, R, R, 3], see `quality.aligned_photographs`.
        columns: pairs in a row.
        zoom: pixels of the file per pixel and direction.

    Raises:
        UsageError: misshapen or unequal pictures, or `columns` or `zoom` below 1.
        StorageError: the file cannot be written.
    """
    check_pictures("samples", samples)
    check_pictures("neighbours", neighbours)
    if samples.shape != neighbours.shape:
        raise UsageError(
            "a neighbour sheet needs one neighbour per sample, of one size, "
            f"got {list(samples.shape)} and {list(neighbours.shape)}."
        )
    pairs = np.concatenate([samples, neighbours], axis=2)  # [M, R, 2R, 3]
    framed = np.pad(pairs, ((0, 0), (0, _GAP), (0, _GAP), (0, 0)), constant_values=255)
    _write(path, framed, columns=columns, zoom=zoom)


def _write(path: Path, tiles: NDArray[np.uint8], *, columns: int, zoom: int) -> None:
    """Write tiles [M, H, W, 3] row by row."""
    if columns < 1 or zoom < 1:
        raise UsageError(f"a sheet needs columns and zoom of at least 1, got {columns} and {zoom}.")
    count, height, width = tiles.shape[:3]
    columns = min(columns, count)
    rows = -(-count // columns)
    white = np.full((rows * columns - count, height, width, 3), 255, dtype=np.uint8)
    grid = np.concatenate([tiles, white]).reshape(rows, columns, height, width, 3)
    sheet = grid.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)  # [HWC]
    sheet = sheet.repeat(zoom, axis=0).repeat(zoom, axis=1)
    buffer = BytesIO()
    Image.fromarray(sheet).save(buffer, "PNG")
    write_atomic(path, buffer.getvalue())
