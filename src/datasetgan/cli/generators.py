"""Generators from elsewhere: import-checkpoint, train-generator."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from datasetgan import choices
from datasetgan.cli.console import say
from datasetgan.cli.options import Device, Licence, MeanLatent, Threads
from datasetgan.errors import UsageError

__all__ = ["register"]

_SETTINGS = "Expected NVIDIA's init_kwargs as a JSON object, or a file that holds one."


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("import-checkpoint")(import_checkpoint)
    app.command("train-generator")(train_generator)


def import_checkpoint(
    file: Annotated[
        Path, typer.Argument(help="A .pkl, .pt, .pth, .npz or .safetensors file with a StyleGAN.")
    ],
    out: Annotated[Path, typer.Argument(help="The native .safetensors checkpoint to write.")],
    layout: Annotated[
        str, typer.Option(help="Whose tensor names they are; auto recognises them.")
    ] = "auto",
    config: Annotated[
        str | None,
        typer.Option(
            help="Settings that the file lacks: NVIDIA's init_kwargs, JSON or a file of it.",
            show_default=False,
        ),
    ] = None,
    mean_latent: MeanLatent = None,
    network: Annotated[
        str | None,
        typer.Option(
            help="Which network of the file; the averaged generator by default.",
            show_default=False,
        ),
    ] = None,
    render: Annotated[
        Path | None, typer.Option(help="PNG of sixteen samples to write.", show_default=False)
    ] = None,
    licence: Licence = None,
) -> None:
    """Convert a StyleGAN checkpoint of another project; nothing in it is run.

    It is judged too: whether its pictures and activations are those of a trained network.
    A file in the way of OUT is replaced only if it was imported from the same FILE.
    """
    from datasetgan.cli.draw import drawn_events, print_import
    from datasetgan.pipeline import import_generator
    from datasetgan.serialization import sha256_of_file

    settings = None if config is None else _read_settings(config)
    with drawn_events() as on_event:
        report = import_generator(
            file,
            out,
            layout=layout,
            config=settings,
            mean_latent=mean_latent,
            licence=licence,
            network=network,
            render=render,
            on_event=on_event,
        )
    print_import(report)
    say(f"Wrote {out}, sha256 {sha256_of_file(out)}.")
    if render is not None:
        say(f"Look at the samples: {render}")
    if report.label_dim:
        say(
            f"It is conditioned on {report.label_dim} classes: projects cannot hold it yet; "
            "datasetgan.load_generator loads it.",
            style="yellow",
        )
    else:
        say(f"Next: datasetgan new PROJECT --generator {out}")


def _read_settings(text: str) -> dict[str, Any]:
    """Parse the JSON object that `--config` gives, itself or as a file."""
    inline = text.lstrip().startswith("{")
    source = "--config" if inline else f"--config {text}"
    try:
        read = text if inline else Path(text).read_text("utf-8")
        value = json.loads(read, parse_constant=_refuse_constant)
    except OSError as error:
        raise UsageError(f"{source} cannot be read ({error.strerror}). {_SETTINGS}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{source} is not valid JSON ({error}). {_SETTINGS}") from error
    if not isinstance(value, dict):
        raise UsageError(f"{source} holds a {type(value).__name__}. {_SETTINGS}")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def train_generator(
    photos: Annotated[Path, typer.Argument(help="Folder or zip of photographs.")],
    out: Annotated[Path, typer.Option(help="Where the generator goes, a .safetensors file.")],
    resolution: Annotated[
        int | None,
        typer.Option(help="Side of the pictures, a power of two; that of --from by default."),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(help="Photographs drawn in all, with repetition.", show_default="1000000"),
    ] = None,
    network: Annotated[
        choices.NetworkOption,
        typer.Option(
            help="small (for CPUs), standard (one GPU), paper (config F); auto: by the device."
        ),
    ] = "auto",
    start: Annotated[
        str | None,
        typer.Option("--from", help="Go on from this generator: an embedded name or a file."),
    ] = None,
    discriminator: Annotated[
        Path | None,
        typer.Option(
            help="With --from: a training-state.safetensors whose discriminator is restored; "
            "a fresh one by default."
        ),
    ] = None,
    crop: Annotated[
        choices.Crop, typer.Option(help="center: cut the square; resize: squash to it.")
    ] = "center",
    labels: Annotated[
        choices.LabelSource,
        typer.Option(help="Class labels: of sub-folders, or of a file (dataset.json)."),
    ] = "none",
    symmetry: Annotated[
        choices.Symmetry | None,
        typer.Option(
            help="Photographs may be mirrored (flip) or turned too (dihedral).", show_default="none"
        ),
    ] = None,
    augment: Annotated[
        choices.Augment | None,
        typer.Option(help="Adaptive augmentation, or none.", show_default="ada"),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(help="Photographs of one step.", show_default="32"),
    ] = None,
    accumulate: Annotated[
        int | None,
        typer.Option(help="Rounds per step; more rounds take less memory.", show_default="1"),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Of both networks.", show_default="0.002"),
    ] = None,
    r1_gamma: Annotated[
        float | None,
        typer.Option(help="Weight of the gradient penalty.", show_default="0.5"),
    ] = None,
    path_length_weight: Annotated[
        float | None,
        typer.Option(help="Of the path-length penalty; the paper takes 2.", show_default="0.0"),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Of everything that is drawn.", show_default="0"),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Folder of the run; beside the output by default.")
    ] = None,
    snapshot_images: Annotated[
        int | None,
        typer.Option(help="Photographs between two snapshots.", show_default="50000"),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            help="Features of KID and FID: random, self-supervised, or package.module:function.",
            show_default="random",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML file of settings, fields of TrainingSettings and RunSettings; options win.",
            show_default=False,
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="NAME=VALUE: a field of TrainingSettings, or run.NAME of RunSettings; repeat it.",
            show_default=False,
        ),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write TensorBoard events too.")
    ] = False,
    compile: Annotated[
        choices.Compile | None,
        typer.Option(help="torch.compile; auto is on CUDA only.", show_default="auto"),
    ] = None,
    title: Annotated[str | None, typer.Option(help="For the weight card.")] = None,
    licence: Annotated[
        str, typer.Option("--license", "--licence", help="Of the weights, for the card.")
    ] = "unknown",
    attribution: Annotated[
        str | None, typer.Option(help="Of the photographs, for the card.")
    ] = None,
    device: Device = "auto",
    precision: Annotated[
        choices.PrecisionOption,
        typer.Option(help="Of activations; auto is bfloat16 where it is fast."),
    ] = "auto",
    threads: Threads = None,
) -> None:
    """Train a generator from photographs.

    Interrupt it at any time; the same command goes on from the last snapshot. With more
    photographs to draw (--images) a finished run goes on too. The best snapshot, the one with
    the lowest KID, becomes the result.
    """
    from datasetgan.cli.draw import drawn_events
    from datasetgan.gan_training import RunSettings, TrainingSettings
    from datasetgan.pipeline import train_generator_from_photos
    from datasetgan.settings import parse_assignments

    tables = {"training": TrainingSettings, "run": RunSettings}
    assigned = parse_assignments(assignments or (), tables)
    options = {
        "images": images,
        "symmetry": symmetry,
        "augment": augment,
        "batch": batch,
        "accumulate": accumulate,
        "learning_rate": learning_rate,
        "r1_gamma": r1_gamma,
        "path_length_weight": path_length_weight,
        "seed": seed,
        "snapshot_images": snapshot_images,
        "features": features,
        "compile": compile,
    }
    given = {name: value for name, value in options.items() if value is not None}
    with drawn_events() as on_event:
        train_generator_from_photos(
            photos,
            out,
            resolution=resolution,
            network=network,
            start=start,
            discriminator=discriminator,
            crop=crop,
            labels=labels,
            config=config,
            settings={**assigned["training"], **assigned["run"], **given},
            run=run,
            tensorboard="on" if tensorboard else "off",
            title=title,
            licence=licence,
            attribution=attribution,
            device=device,
            precision=precision,
            threads=threads,
            on_event=on_event,
        )
