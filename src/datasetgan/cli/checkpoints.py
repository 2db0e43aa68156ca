"""`import-checkpoint`: a generator of another project as a native checkpoint."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from datasetgan.cli.console import progress_bar, say
from datasetgan.cli.options import Licence, MeanLatent
from datasetgan.errors import UsageError

if TYPE_CHECKING:
    from datasetgan.checkpoints.import_checkpoint import ImportReport

__all__ = ["print_import", "register"]

_SETTINGS = "Expected NVIDIA's init_kwargs as a JSON object, or a file that holds one."


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("import-checkpoint")(import_checkpoint)


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
    from datasetgan.checkpoints.import_checkpoint import import_checkpoint as convert
    from datasetgan.serialization import sha256_of_file

    settings = None if config is None else _read_settings(config)
    _check_place(file, out)
    with progress_bar("Importing the generator"):
        report = convert(
            file,
            out,
            layout=layout,
            config=settings,
            mean_latent=mean_latent,
            licence=licence,
            network=network,
            render=render,
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


def print_import(report: "ImportReport") -> None:
    """Print what an import found, and every doubt about it."""
    network = f", network {report.network}" if report.network else ""
    say(f"{report.card.source}: {report.format}{network}, sha256 {report.card.source_sha256}")
    say(
        f"Layout {report.layout}: a {report.architecture} of {report.resolution} px, "
        f"{report.parameters:,} parameters; every tensor has its place."
    )
    for warning in report.plausibility.warnings:
        say(f"Warning: {warning}", style="yellow")
    if report.plausibility.ok:
        say("Pictures and activations are as a trained network's.")
    stated = "" if report.card.licence == "unknown" else f"Stated licence: {report.card.licence}. "
    say(f"{stated}Note on licences: {report.licence_note}", style="yellow")


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


def _check_place(source: Path, out: Path) -> None:
    """Raise `UsageError` if another file than an earlier import of this one is in the way."""
    from datasetgan.checkpoints.native import read_checkpoint
    from datasetgan.errors import CheckpointError
    from datasetgan.serialization import sha256_of_file

    if not out.exists() or not source.is_file() or out.resolve() == source.resolve():
        return  # nothing in the way, or refused by the import itself
    try:
        earlier = read_checkpoint(out, kind="generator").card.source_sha256
    except (CheckpointError, OSError):
        earlier = None
    if earlier != sha256_of_file(source):
        raise UsageError(
            f"{out} exists and is no import of {source}. Choose another name, or remove it first."
        )
