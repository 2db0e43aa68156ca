"""What a stage tells while it runs: typed values, for a terminal, a notebook or a page to draw."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

__all__ = ["Advance", "Event", "Finished", "Note", "OnEvent", "Progress", "Result", "progress"]


@dataclass(frozen=True)
class Progress:
    """How far one part of a stage has come.

    Attributes:
        part: its name, ``"Generating samples"``.
        done: units done.
        total: units in all; None while nobody knows.
        note: a few words, a loss for instance.
    """

    part: str
    done: int
    total: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Finished:
    """One part of a stage has ended well.

    Attributes:
        part: its name, as its `Progress` had it.
    """

    part: str


@dataclass(frozen=True)
class Note:
    """A line for the user to read.

    Attributes:
        text: one sentence or two.
        level: ``"warning"`` where the user should think twice.
    """

    text: str
    level: Literal["info", "warning"] = "info"


@dataclass(frozen=True)
class Result:
    """What a part of a stage found out, as the room below returned it.

    Attributes:
        value: an `ImportReport`, a `PrecisionChoice`, a `ValidationReport`, ...
    """

    value: object


Event = Progress | Finished | Note | Result
OnEvent = Callable[[Event], None]

Advance = Callable[[int, int | None, str], None]
"""Called with what is done, the total, and a short note."""


@contextmanager
def progress(on_event: OnEvent | None, part: str) -> Iterator[Advance]:
    """Tell the progress of a block: its begin, whatever it reports, and its good end.

    Yields:
        A function to report with; it may be called from the block's thread alone.
    """
    if on_event is None:
        yield lambda done, total, note: None
        return
    on_event(Progress(part, 0))
    yield lambda done, total, note: on_event(Progress(part, done, total, note))
    on_event(Finished(part))
