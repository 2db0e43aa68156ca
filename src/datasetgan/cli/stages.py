"""From label maps to a proven dataset: fit, generate, train, evaluate, report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from datasetgan import choices
from datasetgan.cli.console import say
from datasetgan.cli.options import (
    Dataset,
    Device,
    DropFraction,
    Folder,
    KeypointFormat,
    Precision,
    Set,
    Threads,
)
from datasetgan.errors import UsageError

__all__ = ["parse_merges", "register"]

_SHOWN = 4


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("fit")(fit)
    app.command("generate")(generate)
    app.command("label")(label)
    app.command("train")(train)
    app.command("evaluate")(evaluate)
    app.command("report")(report)
    app.command("train-keypoints")(train_keypoints)
    app.command("evaluate-keypoints")(evaluate_keypoints)


def fit(
    folder: Folder,
    head: Annotated[
        choices.HeadName | None,
        typer.Option(help="Kind of classifier; mlp by default.", show_default=False),
    ] = None,
    folds: Annotated[
        int, typer.Option(help="Validate by fits without a share of the samples; 0 leaves it out.")
    ] = 5,
    seed: Annotated[int | None, typer.Option(help="Of weights and sampled pixels.")] = None,
    assignments: Set = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Fit the Style Interpreter on the painted samples, and validate it on held-out ones.

    Marked keypoints are fitted too. The scores stay in the project's validation.json.
    """
    from datasetgan.cli.draw import drawn_events, print_fitted
    from datasetgan.pipeline import fit_project, read_assignments
    from datasetgan.project import Project
    from datasetgan.runtime import resolve_runtime

    options = {"seed": seed, "head": head}
    values = read_assignments(assignments, "fit", "keypoints.fit", options=options)
    project = Project.open(folder)
    with drawn_events() as on_event:
        fitted = fit_project(
            project,
            settings=values["fit"],
            keypoint_settings=values["keypoints.fit"],
            folds=folds,
            runtime=resolve_runtime(device, threads=threads),
            on_event=on_event,
        )
    print_fitted(fitted)
    following = "label {}" if project.settings.photos else "generate {} -n 1000"
    say(f"Next: datasetgan {following.format(folder)}")


def generate(
    folder: Folder,
    n: Annotated[
        int | None, typer.Option("-n", "--count", help="How many labelled images.")
    ] = None,
    dataset: Dataset = "default",
    uncertainty: Annotated[
        choices.UncertaintyOutput | None,
        typer.Option(help="Keep each image's score, or its map too.", show_default=False),
    ] = None,
    label_resolution: Annotated[
        int | None,
        typer.Option(help="Side of the label maps; the images' by default.", show_default=False),
    ] = None,
    label_precision: Annotated[
        choices.LabelPrecisionChoice | None,
        typer.Option(
            help="Of the products; auto takes bfloat16 where it is fast and changes under "
            "0.2 % of labels.",
            show_default=False,
        ),
    ] = None,
    assignments: Set = None,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
) -> None:
    """Generate labelled images: pictures, label maps, uncertainty, manifest.

    Interrupt it at any time; the same command goes on where it stopped.
    """
    from datasetgan.cli.draw import drawn_events
    from datasetgan.pipeline import generate_project, read_assignments
    from datasetgan.project import Project
    from datasetgan.runtime import resolve_runtime

    options = {
        "num_samples": n,
        "uncertainty": uncertainty,
        "label_resolution": label_resolution,
        "label_precision": label_precision,
    }
    values = read_assignments(assignments, "generate", options=options)
    project = Project.open(folder)
    with drawn_events() as on_event:
        manifest = generate_project(
            project,
            dataset=dataset,
            settings=values["generate"],
            runtime=resolve_runtime(device, precision=precision, threads=threads),
            on_event=on_event,
        )
    say(f"{len(manifest.samples)} labelled images lie in {project.layout.dataset(dataset)}.")
    say(f"Next: datasetgan train {folder}")


def label(
    folder: Folder,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Also make a dataset of this name, to train on; for photos of one size.",
            show_default=False,
        ),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Label the photos of a project that nobody painted."""
    from datasetgan.cli.draw import drawn_events
    from datasetgan.pipeline import label_project
    from datasetgan.project import Project
    from datasetgan.runtime import resolve_runtime

    project = Project.open(folder)
    with drawn_events() as on_event:
        index = label_project(
            project,
            dataset=dataset,
            runtime=resolve_runtime(device, threads=threads),
            on_event=on_event,
        )
    worst = ", ".join(photo.key for photo in index.photos[:_SHOWN])
    say(f"The labels of {len(index.photos)} photos lie in {project.layout.labelled}.")
    say(f"Least certain, so look there first: {worst}.")
    if dataset is not None:
        say(f"Next: datasetgan train {folder} --dataset {dataset}")


def train(
    folder: Folder,
    dataset: Dataset = "default",
    model: Annotated[str | None, typer.Option(help="Name of the segmentation network.")] = None,
    steps: Annotated[int | None, typer.Option(help="Updates of the weights.")] = None,
    drop_fraction: DropFraction = 0.1,
    assignments: Set = None,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
) -> None:
    """Train a segmentation network on a generated dataset."""
    from datasetgan.cli.draw import drawn_events
    from datasetgan.pipeline import read_assignments, train_project
    from datasetgan.runtime import resolve_runtime

    options = {"model": model, "steps": steps}
    values = read_assignments(assignments, "train", options=options)
    with drawn_events() as on_event:
        train_project(
            folder,
            dataset=dataset,
            drop_fraction=drop_fraction,
            settings=values["train"],
            runtime=resolve_runtime(device, precision=precision, threads=threads),
            on_event=on_event,
        )
    say(f"Next: datasetgan evaluate {folder} --photos PHOTOS --masks MASKS")


def train_keypoints(
    folder: Folder,
    dataset: Dataset = "default",
    model: Annotated[str | None, typer.Option(help="Name of the network.")] = None,
    steps: Annotated[int | None, typer.Option(help="Updates of the weights.")] = None,
    drop_fraction: DropFraction = 0.1,
    assignments: Set = None,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
) -> None:
    """Train a network that finds the points in photos, on a generated dataset."""
    from datasetgan.cli.draw import drawn_events
    from datasetgan.pipeline import read_assignments, train_project_keypoints
    from datasetgan.runtime import resolve_runtime

    options = {"training": {"model": model, "steps": steps}}
    values = read_assignments(assignments, "keypoints.train", options=options)
    with drawn_events() as on_event:
        train_project_keypoints(
            folder,
            dataset=dataset,
            drop_fraction=drop_fraction,
            settings=values["keypoints.train"],
            runtime=resolve_runtime(device, precision=precision, threads=threads),
            on_event=on_event,
        )
    say(f"Next: datasetgan evaluate-keypoints {folder} --photos PHOTOS --keypoints FILE")


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
    from datasetgan.cli.draw import drawn_events
    from datasetgan.cli.tables import print_scores
    from datasetgan.pipeline import evaluate_project
    from datasetgan.runtime import resolve_runtime

    with drawn_events() as on_event:
        evaluation = evaluate_project(
            folder,
            photos,
            masks,
            merges=parse_merges(merge) if merge else None,
            runtime=resolve_runtime(device, threads=threads),
            on_event=on_event,
        )
    print_scores(evaluation)
    say(f"Next: datasetgan report {folder} --photos {photos} --masks {masks}")


def evaluate_keypoints(
    folder: Folder,
    photos: Annotated[Path, typer.Option(help="Folder of real photos.")],
    keypoints: Annotated[Path, typer.Option(help="Their points, a file of CVAT or COCO.")],
    keypoint_format: KeypointFormat = "auto",
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Score the keypoint network on real photos with marked points."""
    from datasetgan.cli.draw import drawn_events
    from datasetgan.cli.tables import print_keypoint_scores
    from datasetgan.pipeline import evaluate_project_keypoints
    from datasetgan.runtime import resolve_runtime

    with drawn_events() as on_event:
        scores = evaluate_project_keypoints(
            folder,
            photos,
            keypoints,
            keypoint_format=keypoint_format,
            runtime=resolve_runtime(device, threads=threads),
            on_event=on_event,
        )
    print_keypoint_scores(scores)


def report(
    folder: Folder,
    dataset: Dataset = "default",
    photos: Annotated[
        Path | None, typer.Option(help="Real photos, to show predictions beside the truth.")
    ] = None,
    masks: Annotated[Path | None, typer.Option(help="Their painted masks.")] = None,
) -> None:
    """Write one self-contained HTML page about the project."""
    from datasetgan.cli.draw import drawn_events
    from datasetgan.pipeline import report_project

    with drawn_events() as on_event:
        path = report_project(
            folder, dataset=dataset, photos=photos, masks=masks, on_event=on_event
        )
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
