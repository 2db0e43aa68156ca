"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Device", "Folder", "Precision", "Threads"]

Folder = Annotated[Path, typer.Argument(help="The project's folder.", show_default=False)]
Device = Annotated[
    str, typer.Option(help="auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:1, mps.")
]
Precision = Annotated[str, typer.Option(help="auto (float32), float32, bfloat16, float16.")]
Threads = Annotated[
    int | None, typer.Option(help="CPU threads; all by default.", show_default=False)
]
