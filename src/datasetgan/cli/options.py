"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Device", "Folder", "Licence", "MeanLatent", "Precision", "Threads"]

Folder = Annotated[Path, typer.Argument(help="The project's folder.", show_default=False)]
Device = Annotated[
    str, typer.Option(help="auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:1, mps.")
]
Precision = Annotated[str, typer.Option(help="auto (float32), float32, bfloat16, float16.")]
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
