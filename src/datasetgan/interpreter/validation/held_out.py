"""Scoring held-out images at several checkpoints of a fit, and choosing among these."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from datasetgan.interpreter.predict import Prediction
from datasetgan.interpreter.validation.scores import HeldOutStatistics, measure_image
from datasetgan.metrics.segmentation import Confusion, mean_iou

__all__ = [
    "HeldOutPrediction",
    "ScoredCheckpoint",
    "ScoredImage",
    "best_checkpoint",
    "pick_out_of_fold",
    "score_checkpoint",
]


@dataclass(frozen=True, eq=False)
class HeldOutPrediction:
    """One image as the members that never saw it label it.

    Attributes:
        image: its number.
        fold: that held it out.
        prediction: of this image, with its mean probabilities.
        truth: [H, W] class ids, 255 where it is not scored.
    """

    image: int
    fold: int
    prediction: Prediction
    truth: NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class ScoredImage:
    """What stays of one held-out image.

    Attributes:
        image: its number.
        fold: that held it out.
        confusion: [K, K] pixels, rows by truth, columns by prediction.
        uncertainty_score: nats.
    """

    image: int
    fold: int
    confusion: Confusion
    uncertainty_score: float


@dataclass(frozen=True, eq=False)
class ScoredCheckpoint:
    """All held-out images, labelled after a number of optimizer steps.

    Attributes:
        step: that number.
        images: fold by fold.
        folds: each fold's sums.
    """

    step: int
    images: tuple[ScoredImage, ...]
    folds: tuple[HeldOutStatistics, ...]

    @property
    def confusion(self) -> Confusion:
        """The sum over all folds."""
        return reduce(add, (fold.confusion for fold in self.folds))


def score_checkpoint(
    step: int, predictions: Iterable[HeldOutPrediction], *, num_folds: int, num_classes: int
) -> ScoredCheckpoint:
    """Count over held-out predictions as they come; none is kept.

    Args:
        step: optimizer steps made.
        predictions: of every held-out image, at least one of each fold.
        num_folds: of the split.
        num_classes: ids are 0 to ``num_classes - 1``.
    """
    images: list[ScoredImage] = []
    sums: dict[int, HeldOutStatistics] = {}
    for held in predictions:
        found = measure_image(held.prediction, held.truth, num_classes=num_classes)
        score = float(held.prediction.uncertainty_score)
        images.append(ScoredImage(held.image, held.fold, found.confusion, score))
        sums[held.fold] = sums[held.fold] + found if held.fold in sums else found
        del held  # before the next prediction is made
    return ScoredCheckpoint(step, tuple(images), tuple(sums[fold] for fold in range(num_folds)))


def best_checkpoint(
    checkpoints: Sequence[ScoredCheckpoint],
    *,
    classes: Sequence[int],
    without_fold: int | None = None,
) -> ScoredCheckpoint:
    """Return the checkpoint of the highest mean IoU.

    Args:
        checkpoints: in the order of steps, at least one.
        classes: ids that the mean is taken over.
        without_fold: a fold that has no say.

    Returns:
        The first of equals; the last checkpoint where no mean is defined.
    """
    scores = []
    for checkpoint in checkpoints:
        confusion = checkpoint.confusion
        if without_fold is not None:
            confusion = confusion - checkpoint.folds[without_fold].confusion
        scores.append(mean_iou(confusion, classes=classes))
    return checkpoints[-1 if np.isnan(scores).all() else int(np.nanargmax(scores))]


def pick_out_of_fold(
    checkpoints: Sequence[ScoredCheckpoint], *, classes: Sequence[int]
) -> tuple[tuple[ScoredImage, ...], tuple[HeldOutStatistics, ...]]:
    """Take each fold at the checkpoint that the other folds like best.

    So no score takes part in the choice of the checkpoint that it comes from.

    Args:
        checkpoints: in the order of steps, at least one.
        classes: ids that the choice is made by.

    Returns:
        The images in the order of their numbers, and each fold's sums.
    """
    images: list[ScoredImage] = []
    sums: list[HeldOutStatistics] = []
    for fold in range(len(checkpoints[0].folds)):
        chosen = best_checkpoint(checkpoints, classes=classes, without_fold=fold)
        images += [image for image in chosen.images if image.fold == fold]
        sums.append(chosen.folds[fold])
    return tuple(sorted(images, key=lambda image: image.image)), tuple(sums)
