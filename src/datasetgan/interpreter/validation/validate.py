"""Validation by held-out images: how good are the labels, and when should a fit stop?

An interpreter is fitted once per fold without that fold's images and labels them; every
score comes from images that the scored members never saw. Folds are of whole images:
neighbouring pixels are nearly copies of each other, and a split by pixel would call
memory skill.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from time import perf_counter
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasetgan.errors import LabelError, UsageError
from datasetgan.features import FeaturePyramid
from datasetgan.features.painted import count_classes
from datasetgan.interpreter.fitting.folds import Fold, split_folds
from datasetgan.interpreter.predict import Interpreter
from datasetgan.interpreter.validation.held_out import (
    HeldOutPrediction,
    ScoredCheckpoint,
    score_checkpoint,
)
from datasetgan.interpreter.validation.report import (
    UnvalidatedClass,
    ValidationReport,
    report_held_out,
    report_without_folds,
)
from datasetgan.runtime import Runtime
from datasetgan.taxonomy import IGNORE_INDEX, ClassTaxonomy

__all__ = ["FitFolds", "HeldOutPyramids", "ValidationSettings", "validate_fit"]


@dataclass(frozen=True)
class ValidationSettings:
    """How a fit is validated.

    Attributes:
        folds: fits, each without its share of the images. With no more images than
            folds, every image is a fold of its own (leave-one-out).
        checkpoints: how often along the step budget the held-out images are scored, at
            equal distances, the last at its end; 1 turns early stopping off.
        seed: of the split into folds.

    Raises:
        UsageError: a value out of range.
    """

    folds: int = 5
    checkpoints: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        for name, limit in {"folds": 2, "checkpoints": 1, "seed": 0}.items():
            value = getattr(self, name)
            if value < limit:
                raise UsageError(
                    f"validation setting {name} must be at least {limit}, got {value}."
                )


class HeldOutPyramids(Protocol):
    """Where held-out images' features come from; a `FeatureCache` is one."""

    def __len__(self) -> int:
        """Return the number of images."""

    def pyramid(self, image: int) -> FeaturePyramid:
        """Return the features of one image, batch size 1."""


class FitFolds(Protocol):
    """Fits one interpreter per fold, all in one run, and shows them on the way.

    ``fit_folds(folds, checkpoints)`` yields, for every number in `checkpoints`
    (ascending, the last is the whole budget), that number and one interpreter per fold,
    fitted for so many steps without the fold's images. An interpreter need not outlive
    the next checkpoint. Learning rates follow the whole budget's schedule: a final fit
    that stops at a checkpoint walks the same way.
    """

    def __call__(
        self, folds: tuple[Fold, ...], checkpoints: tuple[int, ...]
    ) -> Iterator[tuple[int, Sequence[Interpreter]]]:
        """Yield (steps made, one interpreter per fold) for each checkpoint."""


def validate_fit(
    cache: HeldOutPyramids,
    label_maps: Sequence[Tensor],
    taxonomy: ClassTaxonomy,
    *,
    steps: int,
    fit_folds: FitFolds,
    settings: ValidationSettings | None = None,
    keys: Sequence[str] | None = None,
    runtime: Runtime | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> ValidationReport:
    """Score a fit on images that it did not see, and choose its number of steps.

    Every painted image is held out once. Each fold is scored after the number of steps
    that the *other* folds like best: no score takes part in the choice that it is
    reported for. The report's `steps` is what all folds together like best, the
    earliest of equals.

    One image's prediction is alive at a time; what stays of it is counts.

    Args:
        cache: the images' features.
        label_maps: [H, W] class ids of each image in `cache`, 255 where unpainted; an
            image with nothing painted takes no part.
        taxonomy: the classes.
        steps: the whole budget of the fit, at least 1.
        fit_folds: see `FitFolds`; not called where fewer than two images are painted.
        settings: `ValidationSettings()` by default.
        keys: names of the images; ``"image 0"`` and so on by default.
        runtime: where the folds' interpreters lie; the CPU by default.
        on_progress: called with (checkpoints scored, checkpoints in all) after each.

    Raises:
        UsageError: another number of label maps or keys than images, or `steps` < 1.
        LabelError: nothing is painted, or a class id that the taxonomy does not know.
    """
    start = perf_counter()
    settings = settings or ValidationSettings()
    names = tuple(keys) if keys is not None else tuple(f"image {i}" for i in range(len(cache)))
    if not len(cache) == len(label_maps) == len(names):
        raise UsageError(
            f"{len(cache)} images came with {len(label_maps)} label maps and {len(names)} keys."
        )
    if steps < 1:
        raise UsageError(f"a fit needs at least 1 step, got {steps}.")
    class_pixels = _count_classes(label_maps, taxonomy, keys=names)  # [N, K]
    painted = np.flatnonzero(class_pixels.sum(axis=1)).tolist()
    if not painted:
        raise LabelError(
            f"nothing is painted in {len(names)} images: every pixel is {IGNORE_INDEX}. "
            "Paint at least one region of every class and import the masks."
        )
    shown = [np.flatnonzero(class_pixels[i]).tolist() for i in painted]
    split = split_folds(len(painted), folds=settings.folds, seed=settings.seed, classes=shown)
    folds = tuple(tuple(painted[i] for i in fold) for fold in split)
    unvalidated = _find_unvalidated(class_pixels, folds, taxonomy, keys=names)
    if not folds:
        return report_without_folds(
            class_pixels,
            taxonomy,
            unvalidated=unvalidated,
            steps=steps,
            seconds=perf_counter() - start,
        )
    checkpoints = _spread_checkpoints(steps, settings.checkpoints)
    scored: list[ScoredCheckpoint] = []
    for step, interpreters in fit_folds(folds, checkpoints):
        predictions = _predict_held_out(
            interpreters,
            folds,
            cache=cache,
            label_maps=label_maps,
            unvalidated=tuple(unvalidated),
            device=(runtime or Runtime()).torch_device,
        )
        found = score_checkpoint(step, predictions, num_folds=len(folds), num_classes=len(taxonomy))
        scored.append(found)
        if on_progress is not None:
            on_progress(len(scored), len(checkpoints))
    return report_held_out(
        scored,
        class_pixels,
        taxonomy,
        folds=folds,
        unvalidated=unvalidated,
        keys=names,
        seconds=perf_counter() - start,
    )


def _spread_checkpoints(steps: int, count: int) -> tuple[int, ...]:
    """Place checkpoints at equal distances up to the end; fewer where steps are few."""
    return tuple(sorted({ceil(steps * (i + 1) / count) for i in range(count)}))


def _count_classes(
    label_maps: Sequence[Tensor], taxonomy: ClassTaxonomy, *, keys: Sequence[str]
) -> NDArray[np.int64]:
    """Count the painted pixels [N, K] of each image and class."""
    counts = np.zeros((len(label_maps), len(taxonomy)), dtype=np.int64)
    for row, label_map, key in zip(counts, label_maps, keys, strict=True):
        row[:] = count_classes(label_map, taxonomy, source=f"the label map of {key}")
    return counts


def _find_unvalidated(
    class_pixels: NDArray[np.int64],
    folds: Sequence[Fold],
    taxonomy: ClassTaxonomy,
    *,
    keys: Sequence[str],
) -> dict[int, UnvalidatedClass]:
    """Find the classes that no fold's fit knows while that fold shows them, with reasons."""
    found: dict[int, UnvalidatedClass] = {}
    for k, name in enumerate(taxonomy.names):
        images = np.flatnonzero(class_pixels[:, k]).tolist()
        if not images:
            reason = "painted in no image"
        elif not folds:
            reason = f"one image alone is painted ({keys[images[0]]})"
        elif len(images) == 1:
            reason = f"painted in one image alone ({keys[images[0]]})"
        elif any(set(images) <= set(fold) for fold in folds):
            listed = ", ".join(keys[i] for i in images)
            reason = f"the images that show it are held out together ({listed})"
        else:
            continue
        found[k] = UnvalidatedClass(name=name, reason=reason)
    return found


def _predict_held_out(
    interpreters: Sequence[Interpreter],
    folds: Sequence[Fold],
    *,
    cache: HeldOutPyramids,
    label_maps: Sequence[Tensor],
    unvalidated: Sequence[int],
    device: torch.device,
) -> Iterator[HeldOutPrediction]:
    """Label every held-out image with its fold's interpreter, one when it is asked for."""
    for number, (fold, interpreter) in enumerate(zip(folds, interpreters, strict=True)):
        for image in fold:
            truth = label_maps[image].cpu().numpy()
            # What no fit could learn says nothing about the fits.
            truth = np.where(np.isin(truth, unvalidated), IGNORE_INDEX, truth)
            yield HeldOutPrediction(
                image=image,
                fold=number,
                # In one expression: no name keeps the features until the next image's come.
                prediction=interpreter.predict(
                    _placed(cache.pyramid(image), device),
                    size=(truth.shape[0], truth.shape[1]),
                    return_probabilities="mean",
                ),
                truth=truth,
            )


def _placed(features: FeaturePyramid, device: torch.device) -> FeaturePyramid:
    return FeaturePyramid(features.levels, tuple(t.to(device) for t in features.tensors))
