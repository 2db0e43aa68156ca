"""`generate`: a labelled dataset in the project."""

from pathlib import Path

from datasetgan.dataset.manifest import DatasetManifest
from datasetgan.errors import ProjectError
from datasetgan.factory import GenerationSettings, generate_samples
from datasetgan.interpreter.keypoints import KeypointInterpreter, load_keypoint_interpreter
from datasetgan.pipeline.events import OnEvent, Result, progress
from datasetgan.pipeline.stage import (
    Settings,
    fitted_interpreter,
    manifest_digest,
    open_project,
    require,
    settings_of,
)
from datasetgan.project import Project, record_run
from datasetgan.runtime import Runtime, resolve_runtime
from datasetgan.serialization import to_plain

__all__ = ["generate_project", "load_project_keypoints"]


def generate_project(
    project: Project | str | Path,
    *,
    dataset: str = "default",
    settings: GenerationSettings | Settings | None = None,
    runtime: Runtime | None = None,
    on_event: OnEvent | None = None,
) -> DatasetManifest:
    """Generate a labelled dataset into the project, or go on with one that was interrupted.

    Images are truncated as those to paint were, unless ``[generate]`` says otherwise. Where
    keypoints alone are fitted, label maps stay unpainted.

    Args:
        project: or its folder.
        dataset: its name in the project.
        settings: of the generation, or values that replace those of ``[generate]``.
        runtime: where it runs; `resolve_runtime()` by default.
        on_event: told the progress, and a `Result` with the `PrecisionChoice` of the labels.

    Raises:
        ProjectError: nothing is fitted yet.
        DatasetGANError: see `generate_samples`.
    """
    project = open_project(project)
    runtime = runtime or resolve_runtime()
    resolved = settings_of(
        project,
        "generate",
        GenerationSettings,
        settings,
        defaults=to_plain(project.settings.sampling),
    )
    keypoints = load_project_keypoints(project, runtime)
    if keypoints is None or any(project.painted()):
        require(project.layout.interpreter, project, command="fit")
    with (
        record_run(project, "generate") as notes,
        progress(on_event, "Generating samples") as advance,
    ):
        generator = project.load_generator(runtime)
        manifest = generate_samples(
            generator,
            fitted_interpreter(project, generator, runtime),
            project.layout.dataset(dataset),
            settings=resolved,
            keypoints=keypoints,
            taxonomy=project.taxonomy,
            on_labelling=None if on_event is None else lambda c: on_event(Result(c)),
            on_progress=lambda p: advance(p.done, p.total, ""),
        )
        notes.settings = to_plain(resolved)
        notes.digests = {
            "generator": manifest.generator_sha256,
            "interpreter": manifest.interpreter_sha256,
            "manifest": manifest_digest(project, dataset),
        }
    return manifest


def load_project_keypoints(project: Project, runtime: Runtime) -> KeypointInterpreter | None:
    """Load what places points in generated images; None where the project names no keypoints.

    Raises:
        ProjectError: keypoints are marked but not fitted yet, or other names were fitted.
    """
    if project.settings.keypoints is None:
        return None
    path = project.layout.keypoint_interpreter
    if not path.exists():
        if any(project.annotated()):
            require(path, project, command="fit")
        return None
    interpreter = load_keypoint_interpreter(path, runtime=runtime)
    if interpreter.schema != project.keypoints:
        raise ProjectError(
            f"{path} was fitted on the keypoints {', '.join(interpreter.schema.names)}, but "
            f"{project.layout.settings} names {', '.join(project.keypoints.names)}. "
            f"Run `datasetgan fit {project.folder}` again."
        )
    return interpreter
