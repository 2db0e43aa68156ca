"""How good are the points? Scores of held-out images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from datasetgan.interpreter.fitting.folds import Fold, split_folds
from datasetgan.interpreter.keypoints.annotated import AnnotatedImages
from datasetgan.interpreter.keypoints.fit import KeypointFolds
from datasetgan.interpreter.keypoints.settings import KeypointSettings
from datasetgan.keypoints import Keypoints, KeypointSchema
from datasetgan.metrics.keypoints import (
    KeypointErrors,
    KeypointScores,
    PointScore,
    keypoint_errors,
    score_keypoints,
)
from datasetgan.runtime import Runtime

__all__ = ["HeldOutPoints", "KeypointValidation", "PointSpread", "validate_keypoints"]


@dataclass(frozen=True, kw_only=True)
class PointSpread:
    """Standard deviation over folds of the scores of all points; None below two folds.

    Attributes:
        l2_pixels: of the mean distance in pixels.
        l2_sides: of the same as a share of the picture's longer side.
        pck: of the share of correct points, for each of the evaluation's shares.
    """

    l2_pixels: float | None
    l2_sides: float | None
    pck: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class HeldOutPoints:
    """One image's own scores, for a reader's eye.

    Attributes:
        key: of the sample.
        fold: that held it out, from 0.
        points: visible ones in truth.
        l2_pixels: their mean distance in pixels; None without any.
    """

    key: str
    fold: int
    points: int
    l2_pixels: float | None


@dataclass(frozen=True, kw_only=True)
class KeypointValidation:
    """What held-out images say about a fit of keypoints.

    Attributes:
        protocol: ``"none"`` where no point can be held out: there are no scores then.
        folds: the images of each fold, numbered in the order they came.
        scores: mean distance, PCK and visibility over all held-out images together;
            None without folds.
        spread: of these scores over the folds.
        images: in the order they came.
        unvalidated: names that no fold's fit could know while that fold shows them. Their
            points are left out of all scores.
        seconds: wall-clock time, the folds' fits included.
    """

    protocol: Literal["k-fold", "leave-one-out", "none"]
    folds: tuple[Fold, ...]
    scores: KeypointScores | None
    spread: PointSpread
    images: tuple[HeldOutPoints, ...]
    unvalidated: tuple[str, ...]
    seconds: float


def validate_keypoints(
    annotated: AnnotatedImages,
    schema: KeypointSchema,
    *,
    settings: KeypointSettings | None = None,
    folds: int = 5,
    runtime: Runtime | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> KeypointValidation:
    """Score a fit on images that it did not see; every image is held out once.

    Folds are of whole images, dealt out so that the images of a rare point lie apart. With
    no more images than folds, every image is a fold of its own.

    Args:
        annotated: the images.
        schema: the names of the points.
        settings: of the fit; its seed splits the folds, too.
        folds: how many, at least 2.
        runtime: where the folds' interpreters lie; the CPU by default.
        on_step: called with (steps made, steps to make), over all folds.

    Raises:
        UsageError: fewer than two folds.
        TrainingError: a fold's training diverged.
    """
    start = perf_counter()
    settings = settings or KeypointSettings()
    visible = annotated.visible  # [N, J]
    shown = [np.flatnonzero(row).tolist() for row in visible]
    split = split_folds(len(shown), folds=folds, seed=settings.seed, classes=shown)
    known = _known(visible, split)  # [K] places in the schema
    unvalidated = tuple(name for j, name in enumerate(schema.names) if j not in known)
    if not known:
        return KeypointValidation(
            protocol="none",
            folds=(),
            scores=None,
            spread=PointSpread(l2_pixels=None, l2_sides=None, pck=()),
            images=(),
            unvalidated=unvalidated,
            seconds=perf_counter() - start,
        )
    scored = KeypointSchema(tuple(schema.names[j] for j in known))
    images: dict[int, HeldOutPoints] = {}
    in_folds: list[list[KeypointErrors]] = []
    fitter = KeypointFolds(annotated, schema, settings, runtime, on_step)
    for number, (fold, interpreter) in enumerate(zip(split, fitter(split), strict=True)):
        in_folds.append([])
        for image in fold:
            size = annotated.sizes[image]
            found = interpreter.predict(annotated.cache.pyramid(image), size=size).keypoints(0)
            errors = keypoint_errors(
                _part(found, known), _part(annotated.keypoints[image], known), size=size
            )
            in_folds[-1].append(errors)
            score = score_keypoints([errors], scored).overall
            images[image] = HeldOutPoints(
                key=annotated.keys[image],
                fold=number,
                points=score.points,
                l2_pixels=score.l2_pixels,
            )
    folds_scores = [score_keypoints(errors, scored).overall for errors in in_folds]
    return KeypointValidation(
        protocol="leave-one-out" if len(split) == len(shown) else "k-fold",
        folds=split,
        scores=score_keypoints([one for errors in in_folds for one in errors], scored),
        spread=_spread([score for score in folds_scores if score.points]),
        images=tuple(images[image] for image in sorted(images)),
        unvalidated=unvalidated,
        seconds=perf_counter() - start,
    )


def _known(visible: NDArray[np.bool_], folds: Sequence[Fold]) -> list[int]:
    """Return the points that every fold's fit has seen, where that fold shows them."""
    seen = [set(np.flatnonzero(column).tolist()) for column in visible.T]
    return [
        j
        for j, images in enumerate(seen)
        if images and folds and not any(images <= set(fold) for fold in folds)
    ]


def _part(keypoints: Keypoints, places: list[int]) -> Keypoints:
    return Keypoints(keypoints.points[places], keypoints.visible[places])


def _spread(scores: Sequence[PointScore]) -> PointSpread:
    """Return the deviations over folds that have points to score."""
    if len(scores) < 2:
        return PointSpread(l2_pixels=None, l2_sides=None, pck=())
    return PointSpread(
        l2_pixels=float(np.std([score.l2_pixels or 0.0 for score in scores])),
        l2_sides=float(np.std([score.l2_sides or 0.0 for score in scores])),
        pck=tuple(np.std([score.pck for score in scores], axis=0).tolist()),
    )
