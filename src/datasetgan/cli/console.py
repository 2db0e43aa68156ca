"""What the commands print: progress bars, results, one line per error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

__all__ = ["Advance", "console", "print_error", "progress_bar", "say"]

console = Console(highlight=False)
_errors = Console(stderr=True, highlight=False)

Advance = Callable[[int, int | None, str], None]
"""Called with what is done, the total (None: unknown), and a short note."""


@contextmanager
def progress_bar(title: str) -> Iterator[Advance]:
    """Show a progress bar until the block ends.

    Where the output is no terminal, one line at the end takes its place.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None, note="")

        def advance(done: int, total: int | None, note: str) -> None:
            progress.update(task, completed=done, total=total, note=escape(note))

        yield advance
    if not console.is_terminal:
        console.print(f"{title}: done")


def say(text: str, *, style: str | None = None) -> None:
    """Print one line as it stands: no markup in paths is read, no line is broken.

    Args:
        style: a rich style, for instance ``"yellow"`` for a warning.
    """
    console.print(text, style=style, markup=False, soft_wrap=True)


def print_error(message: str) -> None:
    """Print one error message to the standard error stream."""
    _errors.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)
