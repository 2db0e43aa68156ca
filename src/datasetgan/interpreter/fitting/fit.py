"""Fit a style interpreter to painted samples."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from time import perf_counter

import torch
from torch import Tensor

from datasetgan.errors import LabelError, UsageError
from datasetgan.features.block_means import InputChoice, input_levels
from datasetgan.features.cache import FeatureCache
from datasetgan.features.painted import (
    PaintedImages,
    PaintedSample,
    cache_samples,
    count_classes,
)
from datasetgan.features.reading import check_levels
from datasetgan.interpreter.ensemble.heads import build_head
from datasetgan.interpreter.ensemble.stacked import StackedHead
from datasetgan.interpreter.fitting.choose_inputs import choose_inputs, spread_falloffs
from datasetgan.interpreter.fitting.pixel_source import PixelSource
from datasetgan.interpreter.fitting.settings import FitProgress, FitReport, FitSettings
from datasetgan.interpreter.fitting.trainer import (
    InputScaling,
    TrainingStep,
    exported,
    train_members,
)
from datasetgan.interpreter.predict import Interpreter
from datasetgan.runtime import Runtime
from datasetgan.taxonomy import IGNORE_INDEX, ClassTaxonomy

__all__ = ["FoldFitter", "PaintedSample", "fit_interpreter", "step_budget"]

_REPORT_EVERY = 10


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
            a few more strokes.
        steps: where to stop within the budget, as a validation chose; its end by default.

    Returns:
        The interpreter on the runtime's device, with its `report`.

    Raises:
        LabelError: nothing is painted, a class id that the taxonomy does not know, or a
            label map of another aspect ratio than its picture.
        UsageError: samples of different generators, features that are not finite or
            of more than one image, a start that does not fit, or a training that diverged.
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
        class_pixels = sum(
            torch.from_numpy(count_classes(label_map, taxonomy, source=f"painted sample {key}"))
            for label_map, key in zip(painted.label_maps, painted.keys, strict=True)
        )
        run = _Run.begin(painted, taxonomy, settings=settings, runtime=runtime, start=start)
        stop = run.steps if steps is None else min(steps, run.steps)
        losses: list[Tensor] = []
        for at in run.training:
            losses.append(at.losses.mean())
            ends = at.finished or at.step == stop
            if at.step % _REPORT_EVERY == 0 or ends:
                report_progress(FitProgress("fit", at.step, stop, float(losses[-1])))
            if ends:
                break
    assert isinstance(class_pixels, Tensor)
    per_step = run.pixels_per_step
    pixels = len(run.source) * run.source.pixels_per_item
    report = FitReport(
        images=len(painted.keys),
        pixels=pixels,
        class_pixels=tuple(class_pixels.tolist()),
        steps=len(losses),
        epochs=len(losses) * per_step / pixels,
        final_loss=float(torch.stack(losses[-ceil(len(losses) / 10) :]).mean()),
        seconds=perf_counter() - begun,
        inputs=run.inputs,
    )
    return Interpreter(
        taxonomy,
        painted.cache.levels,
        run.exported(),
        generator_digest=generator_digest,
        context=settings.resolved.context_read,
        report=report,
    )


@dataclass(frozen=True, eq=False)
class _Run:
    """One training that waits to be driven.

    Attributes:
        pool: pixels of all painted images.
        source: those that it trains on.
    """

    head: StackedHead
    pool: PixelSource
    source: PixelSource
    scaling: InputScaling | None
    inputs: InputChoice
    steps: int
    pixels_per_step: int
    training: Iterator[TrainingStep]

    @classmethod
    def begin(
        cls,
        painted: PaintedImages,
        taxonomy: ClassTaxonomy,
        *,
        settings: FitSettings,
        runtime: Runtime | None,
        held_out: Sequence[int] = (),
        pool: PixelSource | None = None,
        start: Interpreter | None = None,
    ) -> "_Run":
        """Set up a training; `pool` is that of an earlier run of the same settings."""
        images = [i for i in painted.painted if i not in held_out]
        if not images:
            raise LabelError(
                f"nothing is painted in {len(painted.keys)} samples: every pixel is "
                f"{IGNORE_INDEX}. Paint at least one region of every class and import the masks."
            )
        device = (runtime or Runtime()).torch_device
        values = settings.resolved
        levels = painted.cache.levels
        head = build_head(
            settings.head,
            num_members=settings.num_members,
            in_channels=sum(level.channels for level in input_levels(levels, values.context_read)),
            num_outputs=len(taxonomy),
            seed=settings.seed,
        ).to(device)
        if pool is None:
            wanted = values.pixels_per_image
            if start is not None and wanted is not None:
                # A short training need not read more than it will see.
                wanted = min(wanted, ceil(settings.warm_steps * values.batch / len(images)))
            pool = PixelSource(
                painted,
                painted.painted,
                pixels_per_image=wanted,
                halo=head.halo,
                seed=settings.seed,
                device=device,
                context=values.context_read,
            )
        source = pool.restricted_to(images) if held_out else pool
        if start is not None and start.report is not None:
            inputs = start.report.inputs
        else:
            inputs = choose_inputs(source, levels, num_outputs=len(taxonomy), settings=settings)
        scaling = InputScaling.measured(
            source,
            levels,
            normalization=values.normalization,
            falloffs=spread_falloffs(inputs.level_falloff, settings.num_members),
            contexts=[inputs.context] * settings.num_members,
        )
        steps = step_budget(len(source) * source.pixels_per_item, settings)
        if start is not None:
            _go_on_from(start, head, painted)
            if scaling is not None:
                scaling.unfold_from(head)
            steps = min(steps, settings.warm_steps)
        training = train_members(head, source, settings=settings, steps=steps, scaling=scaling)
        items = max(1, values.batch // source.pixels_per_item)
        per_step = items * source.pixels_per_item
        return cls(head, pool, source, scaling, inputs, steps, per_step, training)

    def exported(self) -> StackedHead:
        return exported(self.head, self.scaling)


def step_budget(pixels: int, settings: FitSettings) -> int:
    """Return the most optimizer steps of a fit on so many pixels."""
    values = settings.resolved
    by_epochs = settings.max_epochs * ceil(pixels / values.batch)
    return by_epochs if values.max_steps is None else min(by_epochs, values.max_steps)


def _go_on_from(start: Interpreter, head: StackedHead, painted: PaintedImages) -> None:
    check_levels(painted.cache.levels, start.levels, source="the painted samples' features")
    wanted = {name: tuple(tensor.shape) for name, tensor in head.state_dict().items()}
    came = {name: tuple(t.shape) for name, t in start.classifiers.state_dict().items()}
    if wanted != came:
        raise UsageError(
            f"this fit has {head.num_members} members for {head.num_outputs} classes, the "
            f"interpreter to start from has {start.classifiers.num_members} for "
            f"{start.classifiers.num_outputs}, or another head. Use its settings, or fit anew."
        )
    head.load_state_dict(start.classifiers.state_dict())


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
        limit = self.settings.resolved.pixels_per_image
        counts = [int(p.sum()) if limit is None else min(limit, int(p.sum())) for p in painted]
        return step_budget(sum(counts), self.settings)

    def __call__(
        self, folds: tuple[tuple[int, ...], ...], checkpoints: tuple[int, ...]
    ) -> Iterator[tuple[int, Sequence[Interpreter]]]:
        """Yield (steps, one interpreter per fold without its images) for each checkpoint.

        Folds are trained in turn from checkpoint to checkpoint. One whose stop rule
        ends it early stays as it is.
        """
        with torch.inference_mode(mode=False), torch.enable_grad():
            runs: list[_Run] = []
            for fold in folds:
                run = _Run.begin(
                    self.painted,
                    self.taxonomy,
                    settings=self.settings,
                    runtime=self.runtime,
                    held_out=fold,
                    pool=runs[0].pool if runs else None,
                )
                runs.append(run)
        made, before = 0, 0
        for checkpoint in checkpoints:
            interpreters = []
            with torch.inference_mode(mode=False), torch.enable_grad():
                for run in runs:
                    for _ in range(checkpoint - before):
                        if next(run.training, None) is None:
                            break
                        made += 1
                        if self.on_step is not None and made % _REPORT_EVERY == 0:
                            self.on_step(made, checkpoints[-1] * len(folds))
                    interpreters.append(
                        Interpreter(
                            self.taxonomy,
                            self.painted.cache.levels,
                            run.exported(),
                            context=self.settings.resolved.context_read,
                        )
                    )
            before = checkpoint
            yield checkpoint, interpreters
