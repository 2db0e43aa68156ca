"""`demo`: the whole story on the embedded blood cells."""

from pathlib import Path
from typing import Annotated

import typer

from datasetgan.cli.console import say
from datasetgan.cli.options import Device, Threads

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("demo")(demo)


def demo(
    out: Annotated[Path, typer.Option(help="Folder to make the project in.")] = Path("demo"),
    n: Annotated[int, typer.Option("-n", "--count", help="Labelled images to generate.")] = 500,
    steps: Annotated[int | None, typer.Option(help="Updates of the segmenter's weights.")] = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Run the whole line on white blood cells: fit, generate, train, evaluate, report.

    Everything comes with the package: a generator, 16 painted samples of it and 20
    painted real photos.
    """
    from datasetgan.cli.draw import drawn_events
    from datasetgan.cli.tables import print_scores
    from datasetgan.pipeline import run_demo
    from datasetgan.runtime import resolve_runtime

    runtime = resolve_runtime(device, threads=threads)
    with drawn_events() as on_event:
        result = run_demo(out, count=n, steps=steps, runtime=runtime, on_event=on_event)
    print_scores(result.evaluation)
    stages = ", ".join(f"{name} {value:.0f} s" for name, value in result.seconds.items())
    say(f"Seconds: {stages}; together {sum(result.seconds.values()):.0f} s.")
    if result.peak_memory_mb is not None:
        say(f"Peak memory: {result.peak_memory_mb:.0f} MB.")
    say(f"The report lies in {result.report}.")
