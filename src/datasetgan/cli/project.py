"""From nothing to painted label maps: new, sample, suggest, import-labels, import-keypoints."""

from pathlib import Path
from typing import Annotated

import typer

from datasetgan.cli.console import say
from datasetgan.cli.options import (
    Device,
    Folder,
    KeypointFormat,
    Licence,
    MeanLatent,
    Precision,
    Threads,
)
from datasetgan.errors import UsageError

__all__ = ["register"]

_GENERATOR = "wbc"


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("new")(new)
    app.command("sample")(sample)
    app.command("suggest")(suggest)
    app.command("import-labels")(import_labels)
    app.command("import-keypoints")(import_keypoints)


def new(
    folder: Folder,
    classes: Annotated[
        str, typer.Option(help="Class names, background first, separated by commas.")
    ],
    keypoints: Annotated[
        str | None,
        typer.Option(
            help="Names of points to mark in every image, separated by commas.",
            show_default=False,
        ),
    ] = None,
    generator: Annotated[
        str,
        typer.Option(
            help="An embedded generator's name, a .safetensors checkpoint, or a file that "
            "import-checkpoint takes, which is imported on the way."
        ),
    ] = _GENERATOR,
    truncation_psi: Annotated[
        float, typer.Option(help="Pull of latents to the mean latent: 1 none, 0 all.")
    ] = 0.7,
    mean_latent: MeanLatent = None,
    licence: Licence = None,
    source: Annotated[
        str | None,
        typer.Option(
            help="timm:NAME, a network that reads photos, in place of a generator.",
            show_default=False,
        ),
    ] = None,
    photos: Annotated[
        Path | None,
        typer.Option(help="Folder of the photos, which are copied.", show_default=False),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Of that network: a file, or self-supervised, which teaches it on the photos.",
            show_default=False,
        ),
    ] = None,
    side: Annotated[
        int | None,
        typer.Option(
            help="Short side of photos as the network sees them; more is finer and slower.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make a project folder for a list of classes and a generator, or photos."""
    from datasetgan.cli.draw import drawn_events
    from datasetgan.pipeline import new_photo_project, new_project

    if source is None and (photos or weights or side):
        raise UsageError("--photos, --weights and --side belong to --source timm:NAME.")
    if source is not None:
        if photos is None or generator != _GENERATOR or keypoints or mean_latent:
            raise UsageError(
                "--source takes --photos FOLDER beside it, and no --generator, --keypoints or "
                "--mean-latent."
            )
        with drawn_events() as on_event:
            project = new_photo_project(
                folder,
                classes.split(","),
                source=source,
                photos=photos,
                weights=weights,
                side=side,
                licence=licence or "unknown",
                on_event=on_event,
            )
        say(f"Made the project {project.folder} of {len(project.photos)} photos.")
        say(f"Next: datasetgan suggest {project.folder}")
        return
    with drawn_events() as on_event:
        project = new_project(
            folder,
            classes.split(","),
            generator=generator,
            keypoints=[] if keypoints is None else [n.strip() for n in keypoints.split(",")],
            truncation_psi=truncation_psi,
            mean_latent=mean_latent,
            licence=licence,
            on_event=on_event,
        )
    say(f"Made the project {project.folder}; its README.md explains the folder.")
    say(f"Next: datasetgan sample {project.folder} -n 16")


def sample(
    folder: Folder,
    n: Annotated[int, typer.Option("-n", "--count", help="How many images.")] = 16,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
) -> None:
    """Draw images to paint; their latents and noise seeds are stored with them."""
    from datasetgan.cli.draw import drawn_events
    from datasetgan.pipeline import sample_project
    from datasetgan.project import Project
    from datasetgan.runtime import resolve_runtime

    project = Project.open(folder)
    runtime = resolve_runtime(device, precision=precision, threads=threads)
    with drawn_events() as on_event:
        samples = sample_project(project, n, runtime=runtime, on_event=on_event)
    say(f"Wrote {len(samples)} images to {project.layout.image(samples[0].key).parent}.")
    say(
        "Paint a PNG of the same name for each (class ids or class colours), then: "
        f"datasetgan import-labels {folder} MASKS"
    )


def suggest(
    folder: Folder,
    n: Annotated[int, typer.Option("-n", "--count", help="How many images.")] = 4,
    candidates: Annotated[int, typer.Option(help="How many new images to choose among.")] = 512,
    seed: Annotated[
        int | None,
        typer.Option(
            help="Of the first candidate; behind those of all samples by default.",
            show_default=False,
        ),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Choose images to paint that teach the interpreter most: new samples, or photos.

    At first images that stand for many others; once `fit` has run, those among them
    above all that its classifiers disagree on.
    """
    from datasetgan.cli.draw import drawn_events
    from datasetgan.cli.tables import print_suggested
    from datasetgan.pipeline import suggest_project
    from datasetgan.project import Project
    from datasetgan.runtime import resolve_runtime

    project = Project.open(folder)
    with drawn_events() as on_event:
        suggested = suggest_project(
            project,
            n,
            candidates=candidates,
            first_seed=seed,
            runtime=resolve_runtime(device, threads=threads),
            on_event=on_event,
        )
    print_suggested(suggested)
    if suggested.chosen_by == "diversity":
        say("Chosen by diversity alone: no interpreter is fitted yet.")
    say(f"Their images lie in {project.layout.image(suggested.samples[0].key).parent}.")
    say(
        f"Paint them, then: datasetgan import-labels {folder} MASKS, datasetgan fit {folder}, "
        f"and datasetgan suggest {folder} for the next ones."
    )


def import_labels(
    folder: Folder,
    masks: Annotated[
        Path, typer.Argument(help="A mask, or a folder of masks called as the images are.")
    ],
) -> None:
    """Bring painted masks in: indexed PNG with class ids, or RGB PNG with class colours.

    Pixels that are 255 (or white, or transparent) stay unpainted.
    """
    from datasetgan.pipeline import import_project_labels
    from datasetgan.project import Project

    project = Project.open(folder)
    imported = import_project_labels(project, masks)
    count = len(imported.added) + len(imported.replaced)
    say(
        f"Imported {count} label maps ({len(imported.replaced)} replaced) "
        f"into {project.layout.labels}."
    )
    if absent := [name for name, pixels in imported.class_pixels.items() if not pixels]:
        say(f"Not one pixel of: {', '.join(absent)}.", style="yellow")
    if imported.unpainted:
        say(f"Still without a label map: {', '.join(imported.unpainted)}.")
    say(f"Next: datasetgan fit {project.folder}")


def import_keypoints(
    folder: Folder,
    file: Annotated[Path, typer.Argument(help="A keypoint file of CVAT or COCO.")],
    keypoint_format: KeypointFormat = "auto",
) -> None:
    """Bring marked points in; pictures are matched with samples by file name.

    Points that are occluded, outside or not labelled count as not visible. Whole
    coordinates throughout a COCO file are taken for pixels, whose centres are meant.
    """
    from datasetgan.pipeline import import_project_keypoints
    from datasetgan.project import Project

    project = Project.open(folder)
    imported = import_project_keypoints(project, file, keypoint_format=keypoint_format)
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
