"""What the commands print: progress bars, results, one line per error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread
from time import monotonic

from rich.console import Console
from rich.markup import escape

__all__ = ["Advance", "console", "print_error", "progress_bar", "say"]

console = Console(highlight=False)
_errors = Console(stderr=True, highlight=False)

Advance = Callable[[int, int | None, str], None]
"""Called with what is done, the total (None: unknown), and a short note."""


# Where the output is no terminal: so many lines for the work, but no two within so many seconds,
# and one after so many whatever came.
_LOG_PARTS, _LOG_PAUSE, _LOG_SILENCE = 20, 1.0, 30.0


@contextmanager
def progress_bar(title: str) -> Iterator[Advance]:
    """Show a progress bar until the block ends.

    Where the output is no terminal, lines take its place: one every twentieth of the work,
    or every half minute, and one at the end.
    """
    if not console.is_terminal:
        with _logged_progress(title) as advance:
            yield advance
        say(f"{title}: done")
        return
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
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=None, note="")

        def advance(done: int, total: int | None, note: str) -> None:
            progress.update(task, completed=done, total=total, note=escape(note))

        yield advance


@contextmanager
def _logged_progress(title: str) -> Iterator[Advance]:
    latest, logged, since = "begins", 0, monotonic()
    lock, ended = Lock(), Event()

    def log() -> None:
        nonlocal since
        since = monotonic()
        say(f"{title}: {latest}")

    def advance(done: int, total: int | None, note: str) -> None:
        nonlocal latest, logged
        with lock:
            part = _LOG_PARTS * done // total if total else 0
            latest = f"{done:,}" + (f" of {total:,}" if total else "") + (note and f"  {note}")
            logged = min(logged, part)  # a second count of the same work begins anew
            if logged < part < _LOG_PARTS and monotonic() - since >= _LOG_PAUSE:
                logged = part
                log()

    def watch() -> None:
        while not ended.wait(max(0.01, since + _LOG_SILENCE - monotonic())):
            with lock:
                if monotonic() - since >= _LOG_SILENCE:
                    log()

    watcher = Thread(target=watch, name="datasetgan-log", daemon=True)
    watcher.start()
    try:
        yield advance
    finally:
        ended.set()
        watcher.join()


def say(text: str, *, style: str | None = None) -> None:
    """Print one line as it stands: no markup in paths is read, no line is broken.

    Args:
        style: a rich style, for instance ``"yellow"`` for a warning.
    """
    console.print(text, style=style, markup=False, soft_wrap=True)


def print_error(message: str) -> None:
    """Print one error message to the standard error stream."""
    _errors.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)
