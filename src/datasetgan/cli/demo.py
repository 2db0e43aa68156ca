"""`demo`: the whole story on the embedded blood cells."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from datasetgan.cli.console import say
from datasetgan.cli.options import Device, Threads

if TYPE_CHECKING:
    from datasetgan.project import Project
    from datasetgan.runtime import Runtime

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("demo")(demo)


def demo(
    out: Annotated[Path, typer.Option(help="Folder to make the project in.")] = Path("demo"),
    n: Annotated[int, typer.Option("-n", "--count", help="Labelled images to generate.")] = 500,
    steps: Annotated[int | None, typer.Option(help="Updates of the segmenter's weights.")] = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Run the whole line on white blood cells: fit, generate, train, evaluate, report.

    Everything comes with the package: a generator, 16 painted samples of it and 20
    painted real photos.
    """
    from datasetgan import assets
    from datasetgan.cli import pipeline
    from datasetgan.cli.fit_pipeline import run_fit
    from datasetgan.cli.stages import print_scores
    from datasetgan.project.records import peak_memory_mb
    from datasetgan.runtime import resolve_runtime

    runtime = resolve_runtime(device, threads=threads)
    photos = assets.painted_photos()
    seconds: dict[str, float] = {}
    with _timed(seconds, "set up"):
        project = _open_or_create(out, runtime)
    with _timed(seconds, "fit"):
        run_fit(project, runtime, {})
    with _timed(seconds, "generate"):
        overrides: dict[str, Any] = {"num_samples": n, "uncertainty": "map"}
        pipeline.run_generate(project, runtime, overrides, dataset="default")
    with _timed(seconds, "train"):
        pipeline.run_train(project, runtime, {"steps": steps}, dataset="default", drop_fraction=0.1)
    with _timed(seconds, "evaluate"):
        evaluation = pipeline.run_evaluate(
            project, runtime, photos=photos.photos, masks=photos.masks
        )
    with _timed(seconds, "report"):
        report = pipeline.run_report(
            project, dataset="default", photos=photos.photos, masks=photos.masks
        )
    print_scores(evaluation)
    stages = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
    say(f"Seconds: {stages}; together {sum(seconds.values()):.0f} s.")
    if (peak := peak_memory_mb()) is not None:
        say(f"Peak memory: {peak:.0f} MB.")
    say(f"The report lies in {report}.")


def _open_or_create(folder: Path, runtime: "Runtime") -> "Project":
    """Make the demo's project with its painted samples, or go on with an earlier one."""
    from datasetgan import assets
    from datasetgan.project import Project, SamplingSettings
    from datasetgan.taxonomy import ClassTaxonomy

    painted = assets.painted_samples()
    if folder.exists() and any(folder.iterdir()):
        project = Project.open(folder)
    else:
        project = Project.create(
            folder,
            name="white blood cells",
            generator="wbc",
            taxonomy=ClassTaxonomy.from_names(assets.EMBEDDED_CLASSES),
            sampling=SamplingSettings(truncation_psi=painted.truncation_psi),
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
