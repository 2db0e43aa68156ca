"""Fit a keypoint interpreter to samples whose points a person has placed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from datasetgan.features import FeatureCache
from datasetgan.interpreter.ensemble.ensemble import Ensemble
from datasetgan.interpreter.fitting.losses import heat_loss
from datasetgan.interpreter.fitting.pixel_source import ChosenPixels, PixelSource
from datasetgan.interpreter.fitting.run import FitRun, InputChoice, drive_folds
from datasetgan.interpreter.fitting.trainer import Task
from datasetgan.interpreter.keypoints.annotated import (
    AnnotatedImages,
    AnnotatedSample,
    cache_annotated,
)
from datasetgan.interpreter.keypoints.predict import KeypointInterpreter
from datasetgan.interpreter.keypoints.settings import KeypointSettings
from datasetgan.interpreter.reports import FitProgress, KeypointReport
from datasetgan.keypoints import KeypointSchema
from datasetgan.keypoints.heat_maps import gaussian_heat_maps, sigma_in_pixels
from datasetgan.runtime import Runtime, Stream, random_state

__all__ = ["KeypointFolds", "fit_keypoint_interpreter", "select_heat_pixels"]

# Three standard deviations: the Gaussian is at one part in a hundred there.
_NEAR_HEAT = float(np.exp(-4.5))


def fit_keypoint_interpreter(
    samples: Iterable[AnnotatedSample] | AnnotatedImages,
    schema: KeypointSchema,
    *,
    settings: KeypointSettings | None = None,
    runtime: Runtime | None = None,
    generator_digest: str = "",
    on_progress: Callable[[FitProgress], None] | None = None,
) -> KeypointInterpreter:
    """Fit an ensemble that regresses heat maps of keypoints (Zhang et al. 2021, sec. 3).

    Every member regresses the heat of a pixel from its features by the mean squared
    error. Everything else is as `fit_interpreter` does it: samples are read once into a
    `FeatureCache`, what members read is chosen on held-out images, and all members take
    their steps together, on the same pixels, in batched products.

    The result is the same on every run on one machine.

    Args:
        samples: annotated samples of one generator, or what `cache_annotated` made of them.
        schema: the names of the points; one that no sample shows is allowed and reported.
        settings: `KeypointSettings()` by default.
        runtime: where it runs; float32 whatever its precision. The CPU by default.
        generator_digest: of the generator whose features these are; stays with the
            interpreter.
        on_progress: called after every sample and every few steps; the loss is the mean
            squared error of the heat.

    Returns:
        The interpreter on the runtime's device, with its `report`.

    Raises:
        LabelError: no point is visible in any sample, or points that do not fit the
            schema or the picture.
        UsageError: samples of different generators, features that are not finite or
            of more than one image.
        TrainingError: the training diverged.
        StorageError: the cache's folder is full or cannot be written.
    """
    settings = settings or KeypointSettings()
    start = perf_counter()
    report_progress = on_progress or (lambda progress: None)
    # A caller's inference mode would forbid the gradients needed here.
    with torch.inference_mode(mode=False), torch.enable_grad():
        if isinstance(samples, AnnotatedImages):
            annotated = samples
        else:
            annotated = cache_annotated(
                samples,
                schema,
                cache=FeatureCache(memory_mb=settings.cache_mb),
                on_sample=lambda done: report_progress(FitProgress("read", done)),
            )
        source = _read(annotated, settings, runtime)
        run = _begin(source, schema, settings)
        made, final_loss = run.training.drive(on_progress=report_progress)
    report = KeypointReport(
        images=len(annotated.keys),
        pixels=source.pixels,
        points=tuple(annotated.visible.sum(axis=0).tolist()),
        steps=made,
        final_loss=final_loss,
        seconds=perf_counter() - start,
    )
    return _interpreter(run.ensemble(generator_digest), schema, settings, report)


@dataclass(frozen=True, eq=False)
class KeypointFolds:
    """Fits one keypoint interpreter per fold, as a validation asks for them.

    Attributes:
        annotated: all images.
        schema: the names of the points.
        settings: of the fit that is validated.
        runtime: where it runs; the CPU by default.
        on_step: called with (steps made, steps to make), over all folds.
    """

    annotated: AnnotatedImages
    schema: KeypointSchema
    settings: KeypointSettings
    runtime: Runtime | None = None
    on_step: Callable[[int, int], None] | None = None

    def __call__(self, folds: Sequence[Sequence[int]]) -> Iterator[KeypointInterpreter]:
        """Yield one interpreter per fold, fitted without its images.

        Each fold chooses its inputs by its own images.
        """
        with torch.inference_mode(mode=False), torch.enable_grad():
            pool = _read(self.annotated, self.settings, self.runtime)
            runs = [
                _begin(
                    pool.without(fold),
                    self.schema,
                    self.settings,
                )
                for fold in folds
            ]
        for _, ensembles in drive_folds(runs, (self.settings.steps,), on_step=self.on_step):
            for ensemble in ensembles:
                yield _interpreter(ensemble, self.schema, self.settings)


def _choice(settings: KeypointSettings) -> InputChoice:
    return InputChoice(settings.level_falloff, settings.surroundings)


def _read(
    annotated: AnnotatedImages, settings: KeypointSettings, runtime: Runtime | None
) -> PixelSource:
    """Gather pixels of all images with the heat that they are to have."""
    chosen = []
    for image, (keypoints, size) in enumerate(
        zip(annotated.keypoints, annotated.sizes, strict=True)
    ):
        sigma = sigma_in_pixels(settings.sigma_share, size)
        heat = gaussian_heat_maps(keypoints, size=size, sigma=sigma)  # [J, H, W]
        seed = int(random_state(settings.seed, Stream.KEYPOINT_PIXELS, image).randint(2**31))
        points = select_heat_pixels(heat, count=settings.pixels_per_image, seed=seed)
        targets = heat[:, points[:, 0], points[:, 1]].mT[:, None].contiguous()  # [P, 1, J]
        shown = frozenset(np.flatnonzero(keypoints.visible).tolist())
        chosen.append(ChosenPixels(image, size, points, targets, shown))
    return PixelSource(
        annotated.cache,
        chosen,
        inputs=_choice(settings).to_read(annotated.cache.levels),
        window=None,
        device=(runtime or Runtime()).torch_device,
    )


def _begin(source: PixelSource, schema: KeypointSchema, settings: KeypointSettings) -> FitRun:
    task = Task(
        head=settings.head,
        num_members=settings.num_members,
        num_outputs=len(schema),
        loss=heat_loss,
        recipe=settings.recipe,
        seed=settings.seed,
        order_stream=Stream.KEYPOINT_ORDER,
    )
    return FitRun.begin(source, task, choice=_choice(settings), steps=settings.steps)


def _interpreter(
    ensemble: Ensemble,
    schema: KeypointSchema,
    settings: KeypointSettings,
    report: KeypointReport | None = None,
) -> KeypointInterpreter:
    return KeypointInterpreter(schema, ensemble, settings.sigma_share, settings.threshold, report)


def select_heat_pixels(heat: Tensor, *, count: int, seed: int) -> Tensor:
    """Choose pixels to fit on: those near points, and others from everywhere else.

    A picture is nearly all far from its points; pixels drawn evenly would show next to
    nothing but zeros.

    Args:
        heat: [J, H, W], 0 to 1.
        count: pixels wanted, at least 2. At most half of them are near, that is within
            three standard deviations of a point, an equal share near each; fewer
            come where the picture has fewer.
        seed: a non-negative integer; the same seed chooses the same pixels.

    Returns:
        [P, 2] int64 rows and columns on the CPU, distinct, in reading order.
    """
    random = random_state(seed, Stream.KEYPOINT_REGIONS)
    near = (heat.flatten(1) > _NEAR_HEAT).numpy()  # [J, HW]
    bumps = [random.permutation(np.flatnonzero(row)) for row in near if row.any()]
    chosen = [bump[: max(1, count // 2 // len(bumps))] for bump in bumps]
    kept = np.unique(np.concatenate(chosen)) if chosen else np.empty(0, dtype=np.int64)
    far = random.permutation(np.flatnonzero(~near.any(axis=0)))
    flat = np.sort(np.concatenate([kept, far[: max(0, count - len(kept))]]))
    rows, columns = np.divmod(flat, heat.shape[2])
    return torch.from_numpy(np.stack([rows, columns], axis=1).astype(np.int64))
