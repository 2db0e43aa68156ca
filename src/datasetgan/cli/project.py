"""`new`, `sample` and `import-labels`: from nothing to painted label maps."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datasetgan.cli.checkpoints import print_import
from datasetgan.cli.console import progress_bar, say
from datasetgan.cli.options import Device, Folder, Licence, MeanLatent, Precision, Threads

if TYPE_CHECKING:
    from datasetgan.checkpoints.import_checkpoint import ImportReport
    from datasetgan.project import LabelImport, Project

__all__ = ["print_label_import", "register"]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("new")(new)
    app.command("sample")(sample)
    app.command("import-labels")(import_labels)


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
    ] = "wbc",
    truncation_psi: Annotated[
        float, typer.Option(help="Pull of latents to the mean latent: 1 none, 0 all.")
    ] = 0.7,
    mean_latent: MeanLatent = None,
    licence: Licence = None,
) -> None:
    """Make a project folder for a generator and a list of classes."""
    from datasetgan.checkpoints.generator_files import is_foreign_file
    from datasetgan.dataset import KeypointSchema
    from datasetgan.project import Project, SamplingSettings
    from datasetgan.taxonomy import ClassTaxonomy

    reports: list[ImportReport] = []
    importing = progress_bar("Importing the generator") if is_foreign_file(generator) else None
    with importing or nullcontext():
        project = Project.create(
            folder,
            name=folder.resolve().name,
            generator=generator,
            taxonomy=ClassTaxonomy.from_names(classes.split(",")),
            sampling=SamplingSettings(truncation_psi=truncation_psi),
            keypoints=None
            if keypoints is None
            else KeypointSchema(tuple(name.strip() for name in keypoints.split(","))),
            mean_latent=mean_latent,
            licence=licence,
            on_import=reports.append,
        )
    for report in reports:
        print_import(report)
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
    from datasetgan.project import Project, record_run
    from datasetgan.runtime import resolve_runtime

    project = Project.open(folder)
    runtime = resolve_runtime(device, precision=precision, threads=threads)
    with record_run(project, "sample") as notes, progress_bar("Sampling images") as advance:
        samples = project.add_samples(
            n, runtime, on_progress=lambda done, total: advance(done, total, "")
        )
        notes.settings = {"count": n, "first_seed": samples[0].seed}
    images = project.layout.image(samples[0].key).parent
    say(f"Wrote {len(samples)} images to {images}.")
    say(
        "Paint a PNG of the same name for each (class ids or class colours), then: "
        f"datasetgan import-labels {folder} MASKS"
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
    from datasetgan.project import Project, record_run

    project = Project.open(folder)
    with record_run(project, "import-labels") as notes:
        imported = project.import_labels(masks)
        notes.settings = {"added": len(imported.added), "replaced": len(imported.replaced)}
    print_label_import(imported, project)


def print_label_import(imported: "LabelImport", project: "Project") -> None:
    """Print what an import of label maps did and what is still to paint."""
    count = len(imported.added) + len(imported.replaced)
    say(
        f"Imported {count} label maps ({len(imported.replaced)} replaced) "
        f"into {project.layout.labels}."
    )
    absent = [name for name, pixels in imported.class_pixels.items() if not pixels]
    if absent:
        say(f"Not one pixel of: {', '.join(absent)}.", style="yellow")
    if imported.unpainted:
        say(f"Still without a label map: {', '.join(imported.unpainted)}.")
    say(f"Next: datasetgan fit {project.folder}")
