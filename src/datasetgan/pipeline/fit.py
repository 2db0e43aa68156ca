"""`fit`: from painted samples to a validated Style Interpreter in the project."""

from dataclasses import dataclass
from pathlib import Path

from datasetgan.checkpoints.native import WeightCard
from datasetgan.errors import UsageError
from datasetgan.features import FeatureCache, PaintedImages, cache_samples
from datasetgan.interpreter import (
    FitProgress,
    FitSettings,
    FoldFitter,
    Interpreter,
    ValidationReport,
    ValidationSettings,
    fit_interpreter,
    validate_fit,
)
from datasetgan.interpreter.keypoints import (
    KeypointInterpreter,
    KeypointSettings,
    KeypointValidation,
    cache_annotated,
    fit_keypoint_interpreter,
    validate_keypoints,
)
from datasetgan.pipeline.events import Advance, OnEvent, progress
from datasetgan.pipeline.stage import Settings, open_project, settings_of
from datasetgan.project import Project, record_run
from datasetgan.runtime import Runtime, resolve_runtime
from datasetgan.serialization import to_plain, write_json

__all__ = ["Fitted", "fit_project"]

_NO_FOLDS = 0
_PAPER = "Zhang et al., DatasetGAN, CVPR 2021"


@dataclass(frozen=True)
class Fitted:
    """What a fit leaves in the project.

    Attributes:
        interpreter: with its `report`; None where points alone are marked.
        validation: its scores on held-out samples; None without folds.
        keypoints: the keypoint interpreter, with its `report`; None where no point is marked.
        keypoint_validation: its scores on held-out samples; None without folds.
    """

    interpreter: Interpreter | None
    validation: ValidationReport | None
    keypoints: KeypointInterpreter | None
    keypoint_validation: KeypointValidation | None


def fit_project(
    project: Project | str | Path,
    *,
    settings: FitSettings | Settings | None = None,
    keypoint_settings: KeypointSettings | Settings | None = None,
    folds: int = 5,
    runtime: Runtime | None = None,
    on_event: OnEvent | None = None,
) -> Fitted:
    """Validate and fit the Style Interpreter on the painted samples; store it in the project.

    Marked keypoints are fitted too, or alone where nothing is painted. The validation of
    labels chooses their number of steps; the scores are left in ``validation.json`` and
    ``keypoint-validation.json``.

    Args:
        project: or its folder.
        settings: of the fit, or values that replace those of ``[fit]``.
        keypoint_settings: the same of ``[keypoints.fit]``.
        folds: of the validations; 0 leaves them out, and earlier ones' scores are removed.
        runtime: where it runs; `resolve_runtime()` by default.
        on_event: told the progress.

    Raises:
        UsageError: a negative or single fold.
        ProjectError: nothing is painted or marked.
        TrainingError: the fit diverged.
    """
    if folds != _NO_FOLDS and folds < 2:
        raise UsageError(f"--folds must be 2 or more, or 0 for no validation, got {folds}.")
    project = open_project(project)
    runtime = runtime or resolve_runtime()
    marked = project.settings.keypoints is not None and any(project.annotated())
    labels: tuple[Interpreter | None, ValidationReport | None] = (None, None)
    points: tuple[KeypointInterpreter | None, KeypointValidation | None] = (None, None)
    # A project without either is told what to paint by the fit of labels.
    if any(project.painted()) or not marked:
        resolved = settings_of(project, "fit", FitSettings, settings)
        labels = _fit_labels(project, resolved, folds, runtime, on_event)
    if marked:
        of_points = settings_of(project, "keypoints.fit", KeypointSettings, keypoint_settings)
        points = _fit_keypoints(project, of_points, folds, runtime, on_event)
    return Fitted(*labels, *points)


def _fit_labels(
    project: Project,
    settings: FitSettings,
    folds: int,
    runtime: Runtime,
    on_event: OnEvent | None,
) -> tuple[Interpreter, ValidationReport | None]:
    layout = project.layout
    with record_run(project, "fit") as notes:
        source = project.load_source(runtime)
        with progress(on_event, "Reading the painted samples") as advance:
            painted = cache_samples(
                project.painted_features(source),
                project.taxonomy,
                cache=FeatureCache(memory_mb=settings.cache_mb),
                on_sample=lambda done: advance(done, len(project.pictures), ""),
            )
        validation = None
        if folds != _NO_FOLDS:
            with progress(on_event, "Validating on held-out samples") as advance:
                validation = _validate(project, painted, settings, runtime, folds, advance)
        with progress(on_event, "Fitting the interpreter") as advance:
            interpreter = fit_interpreter(
                painted,
                project.taxonomy,
                settings=settings,
                runtime=runtime,
                generator_digest=source.digest,
                on_progress=lambda p: advance(p.done, p.total, _loss(p, digits=3)),
                steps=None if validation is None else validation.steps,
            )
        # Scores of another fit must never lie beside this one.
        layout.validation.unlink(missing_ok=True)
        interpreter.save(layout.interpreter, card=_card(project, interpreter))
        if validation is not None:
            write_json(layout.validation, validation)
        notes.settings = {**to_plain(settings), "folds": folds}
        notes.digests = {"generator": source.digest, "interpreter": interpreter.digest}
    return interpreter, validation


def _validate(
    project: Project,
    painted: PaintedImages,
    settings: FitSettings,
    runtime: Runtime,
    folds: int,
    advance: Advance,
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


def _fit_keypoints(
    project: Project,
    settings: KeypointSettings,
    folds: int,
    runtime: Runtime,
    on_event: OnEvent | None,
) -> tuple[KeypointInterpreter, KeypointValidation | None]:
    layout, schema = project.layout, project.keypoints
    with record_run(project, "fit-keypoints") as notes:
        source = project.load_source(runtime)
        with progress(on_event, "Reading the marked samples") as advance:
            annotated = cache_annotated(
                project.annotated_features(source),
                schema,
                cache=FeatureCache(memory_mb=settings.cache_mb),
                on_sample=lambda done: advance(done, len(project.pictures), ""),
            )
        validation = None
        if folds != _NO_FOLDS:
            with progress(on_event, "Validating on held-out points") as advance:
                validation = validate_keypoints(
                    annotated,
                    schema,
                    settings=settings,
                    folds=folds,
                    runtime=runtime,
                    on_step=lambda done, total: advance(done, total, ""),
                )
        with progress(on_event, "Fitting keypoints") as advance:
            interpreter = fit_keypoint_interpreter(
                annotated,
                schema,
                settings=settings,
                runtime=runtime,
                generator_digest=source.digest,
                on_progress=lambda p: advance(p.done, p.total, _loss(p, digits=4)),
            )
        layout.keypoint_validation.unlink(missing_ok=True)
        interpreter.save(layout.keypoint_interpreter, card=_card(project, interpreter))
        if validation is not None:
            write_json(layout.keypoint_validation, validation)
        notes.settings = {**to_plain(settings), "folds": folds}
        notes.digests = {"generator": source.digest, "keypoint interpreter": interpreter.digest}
    return interpreter, validation


def _loss(progress: FitProgress, *, digits: int) -> str:
    return "" if progress.loss is None else f"loss {progress.loss:.{digits}f}"


def _card(project: Project, interpreter: Interpreter | KeypointInterpreter) -> WeightCard:
    labels = isinstance(interpreter, Interpreter)
    kind = "Style Interpreter" if labels else "Keypoint interpreter"
    source, people = ("painted", "painted label maps") if labels else ("annotated", "marked points")
    report = interpreter.report
    return WeightCard(
        title=f"{kind} of {project.settings.name}",
        licence=f"that of the {people}",
        data=None if report is None else f"{report.images} {source} samples",
        paper=_PAPER,
    )
