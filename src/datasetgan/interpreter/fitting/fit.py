"""Fit a style interpreter to painted samples."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from time import perf_counter

import torch

from datasetgan.errors import LabelError
from datasetgan.features import FeatureCache, PaintedImages, PaintedSample, cache_samples
from datasetgan.features.painted import count_classes
from datasetgan.interpreter.ensemble.ensemble import Ensemble
from datasetgan.interpreter.ensemble.heads import head_halo
from datasetgan.interpreter.fitting.losses import label_loss
from datasetgan.interpreter.fitting.painted_pixels import painted_pixels
from datasetgan.interpreter.fitting.pixel_source import PixelSource
from datasetgan.interpreter.fitting.run import FitRun, InputChoice, drive_folds
from datasetgan.interpreter.fitting.settings import FitSettings
from datasetgan.interpreter.fitting.trainer import Task
from datasetgan.interpreter.predict import Interpreter
from datasetgan.interpreter.reports import FitProgress, FitReport
from datasetgan.runtime import Runtime
from datasetgan.taxonomy import IGNORE_INDEX, ClassTaxonomy

__all__ = ["FoldFitter", "PaintedSample", "fit_interpreter", "step_budget"]


def fit_interpreter(
    samples: Iterable[PaintedSample] | PaintedImages,
    taxonomy: ClassTaxonomy,
    *,
    settings: FitSettings | None = None,
    runtime: Runtime | None = None,
    generator_digest: str = "",
    on_progress: Callable[[FitProgress], None] | None = None,
    start: Interpreter | None = None,
    steps: int | None = None,
) -> Interpreter:
    """Fit an ensemble of pixel classifiers to painted samples (Zhang et al. 2021, sec. 3).

    Samples are read once, one image's features alive at a time; what stays are the
    levels at their own resolutions, in a `FeatureCache`. All members take their steps
    together in batched products. Cross-entropy without class weights, Adam.

    The result is the same on every run on one machine.

    Args:
        samples: painted samples of one generator, or what `cache_samples` made of them.
        taxonomy: the classes; one that nobody painted is allowed and reported.
        settings: `FitSettings()` by default.
        runtime: where it runs; the CPU by default. Its precision is not asked: products
            are bfloat16 where the processor multiplies in it, weights float32.
        generator_digest: of the generator whose features these are; stays with the
            interpreter.
        on_progress: called after every sample and every few steps.
        start: an earlier fit to go on from, for `warm_steps` steps: a refit after
            a few more strokes. What its members read and heed is kept.
        steps: where to stop within the budget, as a validation chose; its end by default.

    Returns:
        The interpreter on the runtime's device, with its `report`.

    Raises:
        LabelError: nothing is painted, a class id that the taxonomy does not know, or a
            label map of another aspect ratio than its picture.
        UsageError: samples of different generators, features that are not finite or
            of more than one image, or a start that does not fit.
        TrainingError: the training diverged.
        StorageError: the cache's folder is full or cannot be written.
    """
    settings = settings or FitSettings()
    begun = perf_counter()
    report_progress = on_progress or (lambda progress: None)
    # A caller's inference mode would forbid the gradients needed here.
    with torch.inference_mode(mode=False), torch.enable_grad():
        if isinstance(samples, PaintedImages):
            painted = samples
        else:
            painted = cache_samples(
                samples,
                taxonomy,
                cache=FeatureCache(memory_mb=settings.cache_mb),
                on_sample=lambda done: report_progress(FitProgress("read", done)),
            )
        class_pixels = [0] * len(taxonomy)
        for label_map, key in zip(painted.label_maps, painted.keys, strict=True):
            own = count_classes(label_map, taxonomy, source=f"painted sample {key}")
            class_pixels = [a + b for a, b in zip(class_pixels, own.tolist(), strict=True)]
        from_ensemble = None if start is None else start.ensemble
        source = _read(painted, settings=settings, runtime=runtime, start=from_ensemble)
        run = _begin(source, taxonomy, settings=settings, start=from_ensemble)
        made, final_loss = run.training.drive(stop=steps, on_progress=report_progress)
    report = FitReport(
        images=len(painted.keys),
        pixels=source.pixels,
        class_pixels=tuple(class_pixels),
        steps=made,
        epochs=made * source.per_step(settings.batch) / source.pixels,
        final_loss=final_loss,
        seconds=perf_counter() - begun,
    )
    return Interpreter(taxonomy, run.ensemble(generator_digest), report)


def _nothing_painted(painted: PaintedImages) -> LabelError:
    return LabelError(
        f"nothing is painted in {len(painted.keys)} samples: every pixel is {IGNORE_INDEX}. "
        "Paint at least one region of every class and import the masks."
    )


def _choice(settings: FitSettings, start: Ensemble | None) -> InputChoice:
    return InputChoice(settings.level_falloff, settings.surroundings, start)


def _read(
    painted: PaintedImages,
    *,
    settings: FitSettings,
    runtime: Runtime | None,
    start: Ensemble | None = None,
) -> PixelSource:
    """Gather the pixels of all painted images."""
    images = painted.painted
    if not images:
        raise _nothing_painted(painted)
    wanted = settings.pixels_per_image
    if start is not None and wanted is not None:
        # A short training need not read more than it will see.
        wanted = min(wanted, ceil(settings.warm_steps * settings.batch / len(images)))
    return painted_pixels(
        painted,
        images,
        inputs=_choice(settings, start).to_read(painted.cache.levels),
        pixels_per_image=wanted,
        sampling=settings.sampling,
        halo=head_halo(settings.head),
        seed=settings.seed,
        device=(runtime or Runtime()).torch_device,
    )


def _begin(
    source: PixelSource,
    taxonomy: ClassTaxonomy,
    *,
    settings: FitSettings,
    start: Ensemble | None = None,
) -> FitRun:
    """Set up the training on a source's pixels."""
    task = Task(
        head=settings.head,
        num_members=settings.num_members,
        num_outputs=len(taxonomy),
        loss=label_loss,
        recipe=settings.recipe,
        seed=settings.seed,
    )
    steps = step_budget(source.pixels, settings)
    if start is not None:
        steps = min(steps, settings.warm_steps)
    return FitRun.begin(source, task, choice=_choice(settings, start), steps=steps)


def step_budget(pixels: int, settings: FitSettings) -> int:
    """Return the most optimizer steps of a fit on so many pixels."""
    by_epochs = settings.max_epochs * ceil(pixels / settings.batch)
    return by_epochs if settings.max_steps is None else min(by_epochs, settings.max_steps)


@dataclass(frozen=True, eq=False)
class FoldFitter:
    """Fits one interpreter per fold, as a validation asks for them.

    Attributes:
        painted: all images.
        taxonomy: the classes.
        settings: of the fit that is validated.
        runtime: where it runs; the CPU by default.
        on_step: called with (steps made, steps to make), over all folds.
    """

    painted: PaintedImages
    taxonomy: ClassTaxonomy
    settings: FitSettings
    runtime: Runtime | None = None
    on_step: Callable[[int, int], None] | None = None

    @property
    def steps(self) -> int:
        """The whole budget of the fit on all images."""
        painted = [self.painted.label_maps[i] != IGNORE_INDEX for i in self.painted.painted]
        limit = self.settings.pixels_per_image
        counts = [int(p.sum()) if limit is None else min(limit, int(p.sum())) for p in painted]
        return step_budget(sum(counts), self.settings)

    def __call__(
        self, folds: tuple[tuple[int, ...], ...], checkpoints: tuple[int, ...]
    ) -> Iterator[tuple[int, Sequence[Interpreter]]]:
        """Yield (steps, one interpreter per fold without its images) for each checkpoint.

        See `drive_folds`. Each fold chooses its inputs by its own images.
        """
        with torch.inference_mode(mode=False), torch.enable_grad():
            pool = _read(self.painted, settings=self.settings, runtime=self.runtime)
            runs = []
            for fold in folds:
                rest = [image for image in pool.images if image not in fold]
                if not rest:
                    raise _nothing_painted(self.painted)
                source = pool.restricted_to(rest)
                runs.append(_begin(source, self.taxonomy, settings=self.settings))
        for checkpoint, ensembles in drive_folds(runs, checkpoints, on_step=self.on_step):
            yield checkpoint, [Interpreter(self.taxonomy, ensemble) for ensemble in ensembles]
