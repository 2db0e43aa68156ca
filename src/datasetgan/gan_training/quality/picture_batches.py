"""Pictures as files hold them, in batches as networks take them."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from datasetgan.encoders.pictures import to_float
from datasetgan.errors import UsageError
from datasetgan.runtime import Stream, random_state

__all__ = ["check_pictures", "picture_batches", "seeded_rows"]


def check_pictures(what: str, pictures: NDArray[np.generic]) -> None:
    """Raise `UsageError` unless the array is uint8 [N, R, R, 3] with at least one picture.

    Args:
        what: how the message calls the array, for instance ``"samples"``.
    """
    shape = pictures.shape
    square = len(shape) == 4 and shape[1] == shape[2] and shape[3] == 3 and min(shape) > 0
    if not square or pictures.dtype != np.uint8:
        raise UsageError(
            f"{what} must be uint8 [N, R, R, 3] with N of at least 1, "
            f"got {pictures.dtype} {list(shape)}."
        )


def picture_batches(
    images: NDArray[np.uint8], *, batch: int, rows: NDArray[np.int64] | None = None
) -> Iterator[Tensor]:
    """Yield pictures as float32 [batch, 3, R, R] in [-1, 1]; one batch is read at a time.

    Args:
        images: [N, R, R, 3], may be memory-mapped.
        batch: pictures of a batch; the last one may be smaller.
        rows: the pictures to take, in this order; all by default.

    Raises:
        UsageError: `batch` < 1.
    """
    if batch < 1:
        raise UsageError(f"a batch must hold at least 1 picture, got {batch}.")
    total = len(images) if rows is None else len(rows)
    for start in range(0, total, batch):
        part = slice(start, start + batch)
        yield to_float(images[part] if rows is None else images[rows[part]])


def seeded_rows(total: int, count: int, *, seed: int, stream: Stream) -> NDArray[np.int64]:
    """Draw `count` different rows of `total`, ascending; all rows if there are no more.

    Args:
        stream: says what the rows are for; distinct streams draw independently.
    """
    if total <= count:
        return np.arange(total, dtype=np.int64)
    rows = random_state(seed, stream).permutation(total)[:count]
    return np.sort(rows).astype(np.int64)
