"""Scores of a segmentation, all of them functions of one summed confusion matrix.

Matrices of several images add up: scores of a whole set come from the sum, never
from a mean over images.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from datasetgan.errors import UsageError
from datasetgan.taxonomy import IGNORE_INDEX

__all__ = ["Absent", "Confusion", "confusion_matrix", "f1", "iou", "mean_iou", "pixel_accuracy"]

Confusion = NDArray[np.int64]
Scores = NDArray[np.float64]
# A weighted sum of matrices holds fractions.
_Sums = NDArray[np.int64] | NDArray[np.float64]

Absent = Literal["skip", "zero"]
"""What a class that is in neither truth nor prediction adds to a mean: nothing, or a 0."""


def confusion_matrix(
    prediction: NDArray[np.integer], truth: NDArray[np.integer], *, num_classes: int
) -> Confusion:
    """Count pixels by true and predicted class.

    Args:
        prediction: class ids, any shape.
        truth: class ids of the same shape; `IGNORE_INDEX` is not scored.
        num_classes: ids are 0 to ``num_classes - 1``.

    Returns:
        [num_classes, num_classes], rows by truth, columns by prediction.

    Raises:
        UsageError: the shapes differ, or an id is out of range at a scored pixel.
    """
    if prediction.shape != truth.shape:
        raise UsageError(
            f"prediction and truth must have one shape, "
            f"got {list(prediction.shape)} and {list(truth.shape)}."
        )
    scored = truth != IGNORE_INDEX
    rows, columns = truth[scored].astype(np.int64), prediction[scored].astype(np.int64)
    for what, ids in (("truth", rows), ("prediction", columns)):
        unknown = ids[(ids < 0) | (ids >= num_classes)]
        if unknown.size:
            raise UsageError(
                f"the {what} holds class id {unknown[0]}, expected 0 to {num_classes - 1}."
            )
    pairs = np.bincount(rows * num_classes + columns, minlength=num_classes**2)
    return pairs.reshape(num_classes, num_classes).astype(np.int64)


def iou(confusion: _Sums) -> Scores:
    """Intersection over union per class [K], 0 to 1; NaN for a class that occurs nowhere."""
    hits = np.diag(confusion)
    return _ratio(hits, confusion.sum(axis=0) + confusion.sum(axis=1) - hits)


def f1(confusion: _Sums) -> Scores:
    """F1 (Dice) score per class [K], 0 to 1; NaN for a class that occurs nowhere."""
    return _ratio(2 * np.diag(confusion), confusion.sum(axis=0) + confusion.sum(axis=1))


def mean_iou(
    confusion: _Sums, *, absent: Absent = "skip", classes: Sequence[int] | None = None
) -> float:
    """Mean intersection over union of all classes, the background included.

    A class that is predicted but never true, or true but never predicted, counts
    as 0 either way.

    Args:
        absent: ``"zero"`` also counts a class that occurs nowhere as 0, as the
            official code does; ``"skip"`` leaves it out.
        classes: ids that the mean is taken over; all by default.

    Returns:
        0 to 1, NaN where nothing was scored and `absent` is ``"skip"``.
    """
    scores = iou(confusion)
    if classes is not None:
        scores = scores[list(classes)]
    if absent == "zero":
        return float(np.nan_to_num(scores).mean())
    defined = scores[~np.isnan(scores)]
    return float(defined.mean()) if defined.size else float("nan")


def pixel_accuracy(confusion: _Sums) -> float:
    """Share of scored pixels whose class is right, 0 to 1; NaN where nothing was scored."""
    return float(_ratio(np.trace(confusion)[None], confusion.sum()[None])[0])


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Scores:
    ratio = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio
