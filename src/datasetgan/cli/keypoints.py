"""`import-keypoints`, `train-keypoints` and `evaluate-keypoints`: named points in images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datasetgan.cli.console import console, say
from datasetgan.cli.options import Device, Folder, Precision, Threads

if TYPE_CHECKING:
    from datasetgan.metrics.keypoints import KeypointScores
    from datasetgan.project import KeypointImport, Project

__all__ = ["print_keypoint_scores", "register"]

Format = Annotated[
    str,
    typer.Option(
        "--format", help="cvat (for images 1.1, XML), coco (keypoints, JSON), or auto to tell them."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("import-keypoints")(import_keypoints)
    app.command("train-keypoints")(train_keypoints)
    app.command("evaluate-keypoints")(evaluate_keypoints)


def import_keypoints(
    folder: Folder,
    file: Annotated[Path, typer.Argument(help="A keypoint file of CVAT or COCO.")],
    keypoint_format: Format = "auto",
) -> None:
    """Bring marked points in; pictures are matched with samples by file name.

    Points that are occluded, outside or not labelled count as not visible. Whole
    coordinates throughout a COCO file are taken for pixels, whose centres are meant.
    """
    from datasetgan.project import Project, record_run

    project = Project.open(folder)
    with record_run(project, "import-keypoints") as notes:
        imported = project.import_keypoints(file, keypoint_format=keypoint_format)
        notes.settings = {"added": len(imported.added), "replaced": len(imported.replaced)}
    _print_import(imported, project)


def _print_import(imported: "KeypointImport", project: "Project") -> None:
    count = len(imported.added) + len(imported.replaced)
    say(
        f"Imported the points of {count} samples ({len(imported.replaced)} replaced) "
        f"into {project.layout.keypoints}."
    )
    if unseen := [name for name, images in imported.visible.items() if not images]:
        say(f"Visible in none of them: {', '.join(unseen)}.", style="yellow")
    if imported.missing:
        say(f"Still without points: {', '.join(imported.missing)}.")
    say(f"Next: datasetgan fit {project.folder}")


def train_keypoints(
    folder: Folder,
    dataset: Annotated[str, typer.Option(help="Name of the dataset in the project.")] = "default",
    model: Annotated[str | None, typer.Option(help="Name of the network.")] = None,
    steps: Annotated[int | None, typer.Option(help="Updates of the weights.")] = None,
    drop_fraction: Annotated[
        float, typer.Option(help="Share of the most uncertain images that is left out.")
    ] = 0.1,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
) -> None:
    """Train a network that finds the points in photos, on a generated dataset."""
    from datasetgan.cli.keypoint_pipeline import run_train_keypoints
    from datasetgan.project import Project
    from datasetgan.runtime import resolve_runtime

    project = Project.open(folder)
    runtime = resolve_runtime(device, precision=precision, threads=threads)
    overrides = {"model": model, "steps": steps}
    run_train_keypoints(project, runtime, overrides, dataset=dataset, drop_fraction=drop_fraction)
    say(f"Next: datasetgan evaluate-keypoints {folder} --photos PHOTOS --keypoints FILE")


def evaluate_keypoints(
    folder: Folder,
    photos: Annotated[Path, typer.Option(help="Folder of real photos.")],
    keypoints: Annotated[Path, typer.Option(help="Their points, a file of CVAT or COCO.")],
    keypoint_format: Format = "auto",
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Score the keypoint network on real photos with marked points."""
    from datasetgan.cli.keypoint_pipeline import run_evaluate_keypoints
    from datasetgan.project import Project
    from datasetgan.runtime import resolve_runtime

    project = Project.open(folder)
    scores = run_evaluate_keypoints(
        project,
        resolve_runtime(device, threads=threads),
        photos=photos,
        keypoints=keypoints,
        keypoint_format=keypoint_format,
    )
    print_keypoint_scores(scores)


def print_keypoint_scores(scores: "KeypointScores") -> None:
    """Print the errors of every point and of all together as a table."""
    from rich.table import Table

    say(
        f"Keypoints of {scores.images} real photos. L2 is the mean distance as a share of the "
        "longer side, PCK@0.1 the share of points within 0.1 of that side, in %:"
    )
    table = Table()
    table.add_column("keypoint")
    for title in ("points", "L2", *(f"PCK@{share:g}" for share in scores.shares)):
        table.add_column(title, justify="right")
    table.add_column("precision", justify="right")
    table.add_column("recall", justify="right")
    for score in (*scores.keypoints, scores.overall):
        if score is scores.overall:
            table.add_section()
        correct = score.pck or (None,) * len(scores.shares)
        numbers = (score.l2_sides, *correct, score.precision, score.recall)
        texts = ["-" if n is None else f"{100 * n:.1f}" for n in numbers]
        table.add_row(score.name, str(score.points), *texts)
    console.print(table)
