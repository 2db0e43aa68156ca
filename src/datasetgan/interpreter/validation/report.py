"""What validation by held-out images says about a fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import isnan
from operator import add
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from datasetgan.interpreter.fitting.folds import Fold
from datasetgan.interpreter.validation.held_out import (
    ScoredCheckpoint,
    ScoredImage,
    best_checkpoint,
    pick_out_of_fold,
)
from datasetgan.interpreter.validation.scores import (
    ReliabilityCurve,
    RiskCurve,
    reliability_curve,
    risk_by_image,
    risk_by_image_iou,
    risk_by_pixel,
)
from datasetgan.metrics.segmentation import Confusion, iou, mean_iou, pixel_accuracy
from datasetgan.taxonomy import ClassTaxonomy

__all__ = [
    "CheckpointScore",
    "ClassScore",
    "HeldOutImage",
    "UnvalidatedClass",
    "ValidationReport",
    "report_held_out",
    "report_without_folds",
]


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """How well one class is labelled on held-out images. None stands for undefined.

    Attributes:
        name: of the class.
        pixels: painted, over all images.
        images: that show it.
        iou: intersection over union over all held-out images together, 0 to 1; None for
            a class that cannot be validated.
        fold_spread: standard deviation of the folds' own IoU; None below two such folds.
        image_spread: the same over images.
    """

    name: str
    pixels: int
    images: int
    iou: float | None = None
    fold_spread: float | None = None
    image_spread: float | None = None


@dataclass(frozen=True, kw_only=True)
class UnvalidatedClass:
    """A class that no score speaks of, and why: no fit without its images can know it."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class CheckpointScore:
    """Scores of all held-out images after some optimizer steps; None if undefined."""

    step: int
    mean_iou: float | None = None
    pixel_accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class HeldOutImage:
    """One image's own scores, for a reader's eye.

    Attributes:
        key: of the sample.
        fold: that held it out, from 0.
        uncertainty_score: of its held-out prediction, nats; see `score_uncertainty`.
        mean_iou: over the validated classes painted in it.
        pixel_accuracy: share of its scored pixels that are right.
    """

    key: str
    fold: int
    uncertainty_score: float
    mean_iou: float | None = None
    pixel_accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class ValidationReport:
    """What held-out images say about a fit. Shares are 0 to 1; None stands for undefined.

    Attributes:
        protocol: ``"none"`` where fewer than two images are painted: nothing can be held
            out, and everything optional here is None.
        folds: the images of each fold, numbered in the order they came.
        steps: where the final fit stops: the checkpoint of the best held-out mean IoU.
        checkpoints: the scores that this choice was made by. The scores below are a
            touch less: each fold's are taken at the checkpoint that the others like best.
        classes: in the order of ids.
        unvalidated: classes that are not scored. Their pixels are left out everywhere.
        images: painted images, in the order they came.
        confusion: scored pixels, rows by truth, columns by prediction.
        mean_iou: over the validated classes, from the summed confusion matrix.
        mean_iou_spread: standard deviation of the folds' own mean IoU, each over the
            classes painted in it.
        pixel_accuracy: share of scored pixels that are right.
        reliability: of the members' mean probability.
        risk_by_image: share of wrong pixels, mean over the images that the uncertainty
            filter keeps.
        risk_by_image_iou: 1 - mean IoU of the kept images together.
        risk_by_pixel: share of wrong pixels among those that a filter by pixel keeps.
        seconds: wall-clock time, the folds' fits included.
    """

    protocol: Literal["k-fold", "leave-one-out", "none"]
    folds: tuple[Fold, ...]
    steps: int
    checkpoints: tuple[CheckpointScore, ...]
    classes: tuple[ClassScore, ...]
    unvalidated: tuple[UnvalidatedClass, ...]
    images: tuple[HeldOutImage, ...]
    seconds: float
    confusion: tuple[tuple[int, ...], ...] = ()
    mean_iou: float | None = None
    mean_iou_spread: float | None = None
    pixel_accuracy: float | None = None
    reliability: ReliabilityCurve | None = None
    risk_by_image: RiskCurve | None = None
    risk_by_image_iou: RiskCurve | None = None
    risk_by_pixel: RiskCurve | None = None


def report_without_folds(
    class_pixels: NDArray[np.int64],
    taxonomy: ClassTaxonomy,
    *,
    unvalidated: Mapping[int, UnvalidatedClass],
    steps: int,
    seconds: float,
) -> ValidationReport:
    """Report that nothing could be held out; see `report_held_out`."""
    return ValidationReport(
        protocol="none",
        folds=(),
        steps=steps,
        checkpoints=(),
        classes=_score_classes(class_pixels, taxonomy),
        unvalidated=tuple(unvalidated.values()),
        images=(),
        seconds=seconds,
    )


def report_held_out(
    checkpoints: Sequence[ScoredCheckpoint],
    class_pixels: NDArray[np.int64],
    taxonomy: ClassTaxonomy,
    *,
    folds: tuple[Fold, ...],
    unvalidated: Mapping[int, UnvalidatedClass],
    keys: Sequence[str],
    seconds: float,
) -> ValidationReport:
    """Turn the counts of all checkpoints into scores.

    Args:
        checkpoints: in the order of steps, at least one.
        class_pixels: [N, K] painted pixels of each image and class.
        taxonomy: the K classes.
        folds: the split.
        unvalidated: by class id; these ids are in no truth that was scored.
        keys: names of the N images.
        seconds: that validation took.
    """
    classes = [k for k in range(len(taxonomy)) if k not in unvalidated]
    images, sums = pick_out_of_fold(checkpoints, classes=classes)
    statistics = reduce(add, sums)
    in_images = [image.confusion for image in images]
    in_folds = [fold.confusion for fold in sums]
    uncertainty = [image.uncertainty_score for image in images]
    return ValidationReport(
        protocol="leave-one-out" if len(folds) == len(images) else "k-fold",
        folds=folds,
        steps=best_checkpoint(checkpoints, classes=classes).step,
        checkpoints=tuple(
            CheckpointScore(
                step=checkpoint.step,
                mean_iou=_defined(mean_iou(checkpoint.confusion, classes=classes)),
                pixel_accuracy=_defined(pixel_accuracy(checkpoint.confusion)),
            )
            for checkpoint in checkpoints
        ),
        classes=_score_classes(
            class_pixels, taxonomy, validated=classes, in_folds=in_folds, in_images=in_images
        ),
        unvalidated=tuple(unvalidated.values()),
        images=tuple(_report_image(image, keys[image.image], classes) for image in images),
        seconds=seconds,
        confusion=tuple(tuple(row) for row in statistics.confusion.tolist()),
        mean_iou=_defined(mean_iou(statistics.confusion, classes=classes)),
        mean_iou_spread=_spread([_mean_of_painted(confusion, classes) for confusion in in_folds]),
        pixel_accuracy=_defined(pixel_accuracy(statistics.confusion)),
        reliability=reliability_curve(statistics),
        risk_by_image=risk_by_image(in_images, uncertainty),
        risk_by_image_iou=risk_by_image_iou(in_images, uncertainty, classes=classes),
        risk_by_pixel=risk_by_pixel(statistics),
    )


def _score_classes(
    class_pixels: NDArray[np.int64],
    taxonomy: ClassTaxonomy,
    *,
    validated: Sequence[int] = (),
    in_folds: Sequence[Confusion] = (),
    in_images: Sequence[Confusion] = (),
) -> tuple[ClassScore, ...]:
    scores = []
    for k, name in enumerate(taxonomy.names):
        column = class_pixels[:, k]
        score = ClassScore(name=name, pixels=int(column.sum()), images=int((column > 0).sum()))
        if k in validated:
            score = replace(
                score,
                iou=_defined(float(iou(np.sum(in_folds, axis=0))[k])),
                fold_spread=_spread([float(iou(c)[k]) for c in in_folds if c[k].any()]),
                image_spread=_spread([float(iou(c)[k]) for c in in_images if c[k].any()]),
            )
        scores.append(score)
    return tuple(scores)


def _report_image(image: ScoredImage, key: str, validated: Sequence[int]) -> HeldOutImage:
    return HeldOutImage(
        key=key,
        fold=image.fold,
        uncertainty_score=image.uncertainty_score,
        mean_iou=_defined(_mean_of_painted(image.confusion, validated)),
        pixel_accuracy=_defined(pixel_accuracy(image.confusion)),
    )


def _mean_of_painted(confusion: Confusion, validated: Sequence[int]) -> float:
    """Mean IoU over the classes painted here: one stray pixel of another is no 0 in the mean."""
    return mean_iou(confusion, classes=[k for k in validated if confusion[k].any()])


def _spread(values: Sequence[float]) -> float | None:
    """Standard deviation of the defined values; None below two of them."""
    found = [value for value in values if not isnan(value)]
    return float(np.std(found)) if len(found) > 1 else None


def _defined(value: float) -> float | None:
    """Replace NaN, which JSON does not know, by None."""
    return None if isnan(value) else float(value)
