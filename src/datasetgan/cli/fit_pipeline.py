"""`fit` as the command and the demo run it: read, validate, fit, store, tell."""

from collections.abc import Callable

from datasetgan.checkpoints.native import WeightCard
from datasetgan.cli.console import progress_bar, say
from datasetgan.cli.keypoint_pipeline import run_fit_keypoints
from datasetgan.cli.validation_table import print_validation
from datasetgan.errors import UsageError
from datasetgan.interpreter import (
    FeatureCache,
    FitProgress,
    FitSettings,
    FoldFitter,
    Interpreter,
    PaintedImages,
    ValidationReport,
    ValidationSettings,
    cache_samples,
    fit_interpreter,
    validate_fit,
)
from datasetgan.project import Project, record_run
from datasetgan.runtime import Runtime
from datasetgan.serialization import to_plain, write_json

__all__ = ["run_fit"]

_NO_FOLDS = 0


def run_fit(
    project: Project,
    runtime: Runtime,
    overrides: dict[str, object],
    *,
    folds: int = 5,
) -> Interpreter:
    """Validate and fit the Style Interpreter on the painted samples; store it in the project.

    Marked keypoints are fitted too. The validation chooses the number of steps, and its
    scores are left in ``validation.json``.

    Args:
        overrides: values that replace those of ``[fit]``; None where an option was not given.
        folds: of the validation; 0 leaves it out, and an earlier one's scores are removed.

    Raises:
        UsageError: a negative or single fold.
    """
    if folds != _NO_FOLDS and folds < 2:
        raise UsageError(f"--folds must be 2 or more, or 0 for no validation, got {folds}.")
    settings = project.stage_settings("fit", FitSettings, overrides=overrides)
    with record_run(project, "fit") as notes:
        generator = project.load_generator(runtime)
        with progress_bar("Reading the painted samples") as advance:
            painted = cache_samples(
                project.painted_features(generator),
                project.taxonomy,
                cache=FeatureCache(memory_mb=settings.cache_mb),
                on_sample=lambda done: advance(done, len(project.samples), ""),
            )
        validation = None
        if folds != _NO_FOLDS:
            with progress_bar("Validating on held-out samples") as advance:
                validation = _validate(
                    project, painted, settings, runtime, folds=folds, advance=advance
                )
        with progress_bar("Fitting the interpreter") as advance:

            def report(progress: FitProgress) -> None:
                loss = "" if progress.loss is None else f"loss {progress.loss:.3f}"
                advance(progress.done, progress.total or 0, loss)

            interpreter = fit_interpreter(
                painted,
                project.taxonomy,
                settings=settings,
                runtime=runtime,
                generator_digest=generator.digest,
                on_progress=report,
                steps=None if validation is None else validation.steps,
            )
        card = WeightCard(
            title=f"Style Interpreter of {project.settings.name}",
            licence="that of the painted label maps",
            data=f"{interpreter.report.images} painted samples" if interpreter.report else None,
            paper="Zhang et al., DatasetGAN, CVPR 2021",
        )
        # Scores of another fit must never lie beside this one.
        project.layout.validation.unlink(missing_ok=True)
        interpreter.save(project.layout.interpreter, card=card)
        if validation is not None:
            write_json(project.layout.validation, validation)
        notes.settings = {**to_plain(settings), "folds": folds}
        notes.digests = {"generator": generator.digest, "interpreter": interpreter.digest}
    if validation is not None:
        print_validation(validation)
    if interpreter.report is not None:
        fit = interpreter.report
        say(
            f"Fitted {settings.num_members} {settings.head!r} classifiers on {fit.pixels} pixels "
            f"of {fit.images} images in {fit.seconds:.1f} s, {fit.steps} steps."
        )
        if absent := fit.unpainted_classes(project.taxonomy):
            say(f"Painted nowhere, so never predicted: {', '.join(absent)}.", style="yellow")
    run_fit_keypoints(project, runtime, {})
    return interpreter


def _validate(
    project: Project,
    painted: PaintedImages,
    settings: FitSettings,
    runtime: Runtime,
    *,
    folds: int,
    advance: Callable[[int, int, str], None],
) -> ValidationReport:
    fitter = FoldFitter(
        painted,
        project.taxonomy,
        settings,
        runtime=runtime,
        on_step=lambda done, total: advance(done, total, ""),
    )
    return validate_fit(
        painted.cache,
        painted.label_maps,
        project.taxonomy,
        steps=fitter.steps,
        fit_folds=fitter,
        settings=ValidationSettings(folds=folds, seed=settings.seed),
        keys=painted.keys,
        runtime=runtime,
    )
