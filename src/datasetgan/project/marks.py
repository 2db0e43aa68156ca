"""What label maps and keypoints share on their way in and out of a project."""

from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from typing import NamedTuple, TypeVar

from datasetgan.errors import ProjectError
from datasetgan.project.layout import ProjectLayout
from datasetgan.project.photos import read_pictures
from datasetgan.project.samples import sample_size

__all__ = ["Marked", "at_least_one", "sizes_to_mark"]

T = TypeVar("T")


def sizes_to_mark(layout: ProjectLayout, verb: str) -> dict[str, tuple[int, int]]:
    """Return the (height, width) of every sample by key, in the order of the index.

    Args:
        verb: what is to be done with them, for the message.

    Raises:
        ProjectError: there is no sample yet, or an image is missing.
    """
    samples = read_pictures(layout)
    if not samples:
        raise ProjectError(
            f"{layout.folder} has no samples to {verb} yet. "
            f"Draw some with `datasetgan sample {layout.folder}`."
        )
    return {sample.key: sample_size(layout.image(sample.key)) for sample in samples}


class Marked(NamedTuple):
    """Keys of samples, by what an import did to each: marked it first, anew, or not at all."""

    added: tuple[str, ...]
    replaced: tuple[str, ...]
    missing: tuple[str, ...]

    @classmethod
    def of(
        cls, keys: Iterable[str], *, found: Collection[str], before: Collection[str]
    ) -> "Marked":
        """Sort `keys` by whether they were marked before, and whether they are `found` now."""
        keys = tuple(keys)
        return cls(
            added=tuple(key for key in keys if key in found and key not in before),
            replaced=tuple(key for key in keys if key in found and key in before),
            missing=tuple(key for key in keys if key not in found and key not in before),
        )


def at_least_one(items: Iterator[T], *, otherwise: str) -> Iterator[T]:
    """Yield the items as they come.

    Raises:
        ProjectError: there is none; its message is `otherwise`.
    """
    for first in items:
        yield from chain([first], items)
        return
    raise ProjectError(otherwise)
