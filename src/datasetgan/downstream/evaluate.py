"""Scoring a segmenter on real photos with painted masks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np
from numpy.typing import NDArray

from datasetgan.dataset import PhotoPair, read_label_png, read_photo
from datasetgan.downstream.segmenter import Segmenter
from datasetgan.errors import UsageError
from datasetgan.metrics import segmentation as metrics

__all__ = ["Evaluation", "PhotoScore", "evaluate_segmenter", "score"]


@dataclass(frozen=True, kw_only=True)
class PhotoScore:
    """The scores of one photo, for a reader's eye; they are not what a set is scored by.

    Attributes:
        name: of the photo.
        pixel_accuracy: share of painted pixels that are right.
        mean_iou: over the classes that occur in this photo's mask or prediction.
    """

    name: str
    pixel_accuracy: float
    mean_iou: float


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The scores of a set of photos, each 0 to 1, from one summed confusion matrix.

    None stands for undefined: the class is in no mask and in no prediction.

    Attributes:
        classes: names, in the order of ids.
        confusion: pixel counts, rows by truth, columns by prediction.
        iou: intersection over union of each class.
        f1: F1 (Dice) score of each class.
        mean_iou: mean over the defined classes.
        mean_iou_absent_zero: mean over all classes, undefined ones as 0, as the
            official code has it.
        pixel_accuracy: share of painted pixels that are right.
        num_photos: how many photos were scored.
        photos: each photo's own scores, in the order they came.
    """

    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    iou: tuple[float | None, ...]
    f1: tuple[float | None, ...]
    mean_iou: float
    mean_iou_absent_zero: float
    pixel_accuracy: float
    num_photos: int
    photos: tuple[PhotoScore, ...]


def evaluate_segmenter(
    segmenter: Segmenter,
    pairs: Sequence[PhotoPair],
    *,
    merges: Mapping[str, Sequence[str]] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Predict every photo at its own size and compare it with its mask.

    Args:
        pairs: photos with masks in the segmenter's classes; unpainted pixels are not scored.
        merges: new class name to the old names it unites; both sides are merged before
            they are compared. See `ClassTaxonomy.merged`.
        on_progress: called with (photos done, photos in all) after each.

    Raises:
        UsageError: there are no pairs, or a merge names an unknown class.
        DatasetError: a photo cannot be read.
        LabelError: a mask does not fit its photo or the classes.
    """
    if not pairs:
        raise UsageError("there are no photos to evaluate on; at least one pair is needed.")
    taxonomy, table = segmenter.taxonomy, None
    if merges is not None:
        taxonomy, table = segmenter.taxonomy.merged(merges)
    confusions = []
    for done, pair in enumerate(pairs, start=1):
        photo = read_photo(pair.photo)
        truth = read_label_png(pair.mask, segmenter.taxonomy, size=photo.shape[:2])
        prediction = segmenter.predict(photo)
        if table is not None:
            truth, prediction = table[truth], table[prediction]
        confusions.append(metrics.confusion_matrix(prediction, truth, num_classes=len(taxonomy)))
        if on_progress is not None:
            on_progress(done, len(pairs))
    return score(confusions, classes=taxonomy.names, names=[pair.name for pair in pairs])


def score(
    confusions: Sequence[NDArray[np.int64]], *, classes: Sequence[str], names: Sequence[str]
) -> Evaluation:
    """Score a set of photos by their confusion matrices [K, K].

    Any subset of one evaluation's photos can be scored so without predicting again,
    for instance the folds of a protocol.

    Args:
        confusions: one per photo, at least one; each counts at least one pixel.
        classes: names of the K classes.
        names: of the photos.
    """
    total = np.sum(confusions, axis=0)
    photos = tuple(
        PhotoScore(
            name=name,
            pixel_accuracy=metrics.pixel_accuracy(confusion),
            mean_iou=metrics.mean_iou(confusion),
        )
        for name, confusion in zip(names, confusions, strict=True)
    )
    return Evaluation(
        classes=tuple(classes),
        confusion=tuple(tuple(row) for row in total.tolist()),
        iou=_defined(metrics.iou(total)),
        f1=_defined(metrics.f1(total)),
        mean_iou=metrics.mean_iou(total),
        mean_iou_absent_zero=metrics.mean_iou(total, absent="zero"),
        pixel_accuracy=metrics.pixel_accuracy(total),
        num_photos=len(photos),
        photos=photos,
    )


def _defined(scores: Iterable[float]) -> tuple[float | None, ...]:
    """Replace NaN, which JSON does not know, by None."""
    return tuple(None if isnan(value) else float(value) for value in scores)
