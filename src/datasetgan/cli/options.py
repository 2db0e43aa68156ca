"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from datasetgan import choices

__all__ = [
    "Dataset",
    "Device",
    "DropFraction",
    "Folder",
    "KeypointFormat",
    "Licence",
    "MeanLatent",
    "Precision",
    "Set",
    "Threads",
]

Folder = Annotated[Path, typer.Argument(help="The project's folder.", show_default=False)]
Device = Annotated[
    str, typer.Option(help="auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:1, mps.")
]
Precision = Annotated[
    choices.PrecisionOption, typer.Option(help="Of activations; auto is float32.")
]
Threads = Annotated[
    int | None, typer.Option(help="CPU threads; all by default.", show_default=False)
]
MeanLatent = Annotated[
    Path | None,
    typer.Option(
        help="The mean latent of an imported generator, where a .npy file holds it.",
        show_default=False,
    ),
]
Licence = Annotated[
    str | None,
    typer.Option(
        "--license", help="Of an imported generator's weights, for its card.", show_default=False
    ),
]
Dataset = Annotated[str, typer.Option(help="Name of the dataset within the project.")]
DropFraction = Annotated[
    float, typer.Option(help="Share of the most uncertain images that is left out.")
]
KeypointFormat = Annotated[
    choices.KeypointFormat,
    typer.Option("--format", help="cvat (for images 1.1, XML), coco (keypoints, JSON), or auto."),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="NAME=VALUE: any setting of project.toml, for this run alone; repeat it.",
        show_default=False,
    ),
]
