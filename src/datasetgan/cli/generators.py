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
        int, typer.Option(help="Photographs drawn in all, with repetition.")
    ] = 1_000_000,
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
        choices.Symmetry,
        typer.Option(help="Photographs may be mirrored (flip) or turned too (dihedral)."),
    ] = "none",
    augment: Annotated[
        choices.Augment, typer.Option(help="Adaptive augmentation, or none.")
    ] = "ada",
    batch: Annotated[int, typer.Option(help="Photographs of one step.")] = 32,
    accumulate: Annotated[
        int, typer.Option(help="Rounds per step; more rounds take less memory.")
    ] = 1,
    learning_rate: Annotated[float, typer.Option(help="Of both networks.")] = 0.002,
    r1_gamma: Annotated[float, typer.Option(help="Weight of the gradient penalty.")] = 0.5,
    path_length_weight: Annotated[
        float, typer.Option(help="Of the path-length penalty; the paper takes 2.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    run: Annotated[
        Path | None, typer.Option(help="Folder of the run; beside the output by default.")
    ] = None,
    snapshot_images: Annotated[
        int, typer.Option(help="Photographs between two snapshots.")
    ] = 50_000,
    features: Annotated[
        str,
        typer.Option(
            help="Features of KID and FID: random, self-supervised, or package.module:function."
        ),
    ] = "random",
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write TensorBoard events too.")
    ] = False,
    compile: Annotated[
        choices.Compile, typer.Option(help="torch.compile; auto is on CUDA only.")
    ] = "auto",
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

    settings = TrainingSettings(
        batch=batch,
        accumulate=accumulate,
        learning_rate=learning_rate,
        r1_gamma=r1_gamma,
        path_length_weight=path_length_weight,
        symmetry=symmetry,
        augment=augment,
        seed=seed,
    )
    run_settings = RunSettings(
        images=images, snapshot_images=snapshot_images, features=features, compile=compile
    )
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
            settings=settings,
            run_settings=run_settings,
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
