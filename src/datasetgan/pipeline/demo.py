"""`demo`: the whole line on the embedded blood cells, a stage after the other."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from datasetgan import assets
from datasetgan.downstream import Evaluation
from datasetgan.pipeline.create import new_project
from datasetgan.pipeline.evaluate import evaluate_project
from datasetgan.pipeline.events import OnEvent
from datasetgan.pipeline.fit import fit_project
from datasetgan.pipeline.generate import generate_project
from datasetgan.pipeline.report import report_project
from datasetgan.pipeline.train import train_project
from datasetgan.project import Project, peak_memory_mb
from datasetgan.runtime import Runtime, resolve_runtime

__all__ = ["DemoResult", "run_demo"]


@dataclass(frozen=True)
class DemoResult:
    """What the demo leaves.

    Attributes:
        project: with everything in it.
        evaluation: the segmenter's scores on the painted real photos.
        report: the page about it all.
        seconds: of each stage, in their order.
        peak_memory_mb: of the process; None where the system does not tell.
    """

    project: Project
    evaluation: Evaluation
    report: Path
    seconds: dict[str, float]
    peak_memory_mb: float | None


def run_demo(
    out: str | Path = "demo",
    *,
    count: int = 500,
    steps: int | None = None,
    runtime: Runtime | None = None,
    on_event: OnEvent | None = None,
) -> DemoResult:
    """Run the whole line on white blood cells: fit, generate, train, evaluate, report.

    Everything comes with the package: a generator, 16 painted samples of it and 20
    painted real photos.

    Args:
        out: folder of the project; one of an earlier run is gone on with.
        count: labelled images to generate.
        steps: updates of the segmenter's weights; the default of ``[train]`` if None.
        runtime: where it runs; `resolve_runtime()` by default.
        on_event: told what the stages tell.
    """
    runtime = runtime or resolve_runtime()
    photos = assets.painted_photos()
    seconds: dict[str, float] = {}
    with _timed(seconds, "set up"):
        project = _open_or_create(Path(out), runtime)
    with _timed(seconds, "fit"):
        fit_project(project, runtime=runtime, on_event=on_event)
    with _timed(seconds, "generate"):
        wanted = {"num_samples": count, "uncertainty": "map"}
        generate_project(project, settings=wanted, runtime=runtime, on_event=on_event)
    with _timed(seconds, "train"):
        train_project(project, settings={"steps": steps}, runtime=runtime, on_event=on_event)
    with _timed(seconds, "evaluate"):
        evaluation = evaluate_project(
            project, photos.photos, photos.masks, runtime=runtime, on_event=on_event
        )
    with _timed(seconds, "report"):
        report = report_project(
            project, photos=photos.photos, masks=photos.masks, on_event=on_event
        )
    return DemoResult(project, evaluation, report, seconds, peak_memory_mb())


def _open_or_create(folder: Path, runtime: Runtime) -> Project:
    """Make the demo's project with its painted samples, or go on with an earlier one."""
    painted = assets.painted_samples()
    if folder.exists() and any(folder.iterdir()):
        project = Project.open(folder)
    else:
        project = new_project(
            folder,
            assets.EMBEDDED_CLASSES,
            name="white blood cells",
            truncation_psi=painted.truncation_psi,
        )
    if not project.samples:
        project.add_samples(len(painted.seeds), runtime, seeds=painted.seeds)
    if not any(project.painted()):
        project.import_labels(painted.masks)
    return project


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = perf_counter()
    yield
    seconds[stage] = perf_counter() - start
