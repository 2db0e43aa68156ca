"""`fit`, `generate`, `train`, `evaluate` and `report`: from label maps to a proven dataset."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datasetgan.cli.console import console, say
from datasetgan.cli.options import Device, Folder, Precision, Threads
from datasetgan.errors import UsageError

if TYPE_CHECKING:
    from datasetgan.downstream import Evaluation

__all__ = ["parse_merges", "print_scores", "register"]

Dataset = Annotated[str, typer.Option(help="Name of the dataset within the project.")]
DropFraction = Annotated[
    float, typer.Option(help="Share of the most uncertain images that is left out.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("fit")(fit)
    app.command("generate")(generate)
    app.command("train")(train)
    app.command("evaluate")(evaluate)
    app.command("report")(report)


def fit(
    folder: Folder,
    head: Annotated[
        str | None,
        typer.Option(
            help="Kind of classifier: mlp, conv, linear, or the paper's.", show_default=False
        ),
    ] = None,
    folds: Annotated[
        int, typer.Option(help="Validate by fits without a share of the samples; 0 leaves it out.")
    ] = 5,
    seed: Annotated[int | None, typer.Option(help="Of weights and sampled pixels.")] = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Fit the Style Interpreter on the painted samples, and validate it on held-out ones.

    Marked keypoints are fitted too. The scores stay in the project's validation.json.
    """
    from datasetgan.cli.fit_pipeline import run_fit
    from datasetgan.project import Project
    from datasetgan.runtime import resolve_runtime

    project = Project.open(folder)
    runtime = resolve_runtime(device, threads=threads)
    run_fit(project, runtime, {"seed": seed, "head": head}, folds=folds)
    say(f"Next: datasetgan generate {folder} -n 1000")


def generate(
    folder: Folder,
    n: Annotated[
        int | None, typer.Option("-n", "--count", help="How many labelled images.")
    ] = None,
    dataset: Dataset = "default",
    uncertainty: Annotated[
        str | None, typer.Option(help="Keep each image's score, or its map too.")
    ] = None,
    label_resolution: Annotated[
        int | None,
        typer.Option(help="Side of the label maps; the images' by default.", show_default=False),
    ] = None,
    label_precision: Annotated[
        str | None,
        typer.Option(
            help="auto (bfloat16 where it is fast and changes under 0.2 % of labels), "
            "float32, bfloat16.",
            show_default=False,
        ),
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
) -> None:
    """Generate labelled images: pictures, label maps, uncertainty, manifest.

    Interrupt it at any time; the same command goes on where it stopped.
    """
    from datasetgan.cli.pipeline import run_generate
    from datasetgan.project import Project
    from datasetgan.runtime import resolve_runtime

    project = Project.open(folder)
    runtime = resolve_runtime(device, precision=precision, threads=threads)
    overrides = {
        "num_samples": n,
        "uncertainty": uncertainty,
        "label_resolution": label_resolution,
        "label_precision": label_precision,
    }
    run_generate(project, runtime, overrides, dataset=dataset)
    say(f"Next: datasetgan train {folder}")


def train(
    folder: Folder,
    dataset: Dataset = "default",
    model: Annotated[str | None, typer.Option(help="Name of the segmentation network.")] = None,
    steps: Annotated[int | None, typer.Option(help="Updates of the weights.")] = None,
    drop_fraction: DropFraction = 0.1,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
) -> None:
    """Train a segmentation network on a generated dataset."""
    from datasetgan.cli.pipeline import run_train
    from datasetgan.project import Project
    from datasetgan.runtime import resolve_runtime

    project = Project.open(folder)
    runtime = resolve_runtime(device, precision=precision, threads=threads)
    overrides = {"model": model, "steps": steps}
    run_train(project, runtime, overrides, dataset=dataset, drop_fraction=drop_fraction)
    say(f"Next: datasetgan evaluate {folder} --photos PHOTOS --masks MASKS")


def evaluate(
    folder: Folder,
    photos: Annotated[Path, typer.Option(help="Folder of real photos.")],
    masks: Annotated[Path, typer.Option(help="Folder of their painted masks, same names.")],
    merge: Annotated[
        list[str] | None,
        typer.Option(
            help="Score merged classes, NEW=OLD,OLD; repeat it, background first. "
            "A class named nowhere joins the first."
        ),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Score the trained network on real photos with painted masks."""
    from datasetgan.cli.pipeline import run_evaluate
    from datasetgan.project import Project
    from datasetgan.runtime import resolve_runtime

    project = Project.open(folder)
    runtime = resolve_runtime(device, threads=threads)
    merges = parse_merges(merge) if merge else None
    evaluation = run_evaluate(project, runtime, photos=photos, masks=masks, merges=merges)
    print_scores(evaluation)
    say(f"Next: datasetgan report {folder} --photos {photos} --masks {masks}")


def report(
    folder: Folder,
    dataset: Dataset = "default",
    photos: Annotated[
        Path | None, typer.Option(help="Real photos, to show predictions beside the truth.")
    ] = None,
    masks: Annotated[Path | None, typer.Option(help="Their painted masks.")] = None,
) -> None:
    """Write one self-contained HTML page about the project."""
    from datasetgan.cli.pipeline import run_report
    from datasetgan.project import Project

    path = run_report(Project.open(folder), dataset=dataset, photos=photos, masks=masks)
    say(f"The report lies in {path}.")


def parse_merges(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Parse ``NEW=OLD,OLD`` into new class names and the old ones that each unites.

    Raises:
        UsageError: a text is not of that form, or a new name comes twice.
    """
    merges: dict[str, tuple[str, ...]] = {}
    for text in texts:
        new, equals, old = text.partition("=")
        names = tuple(name.strip() for name in old.split(",") if name.strip())
        if not equals or not new.strip() or not names or new.strip() in merges:
            raise UsageError(
                f"--merge takes NEW=OLD,OLD with a new name each time, got {text!r}. "
                "For instance: --merge background=background,red_cell --merge cell=nucleus"
            )
        merges[new.strip()] = names
    return merges


def print_scores(evaluation: "Evaluation") -> None:
    """Print per-class scores and the mean as a table."""
    from rich.table import Table

    say(f"Scores on {evaluation.num_photos} real photos:")
    table = Table()
    table.add_column("class")
    table.add_column("IoU %", justify="right")
    for name, iou in zip(evaluation.classes, evaluation.iou, strict=True):
        table.add_row(name, "undefined" if iou is None else f"{100 * iou:.1f}")
    table.add_section()
    table.add_row("[bold]mean[/]", f"{100 * evaluation.mean_iou:.1f}")
    console.print(table)
    say(f"Pixel accuracy {100 * evaluation.pixel_accuracy:.1f} %.")
