"""What label maps and keypoints share on their way in and out of a project."""

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple, Protocol, TypeVar

from datasetgan.errors import ProjectError
from datasetgan.features import FeaturePyramid
from datasetgan.features.source import FeatureSource
from datasetgan.project.layout import ProjectLayout
from datasetgan.project.photos import Picture, read_pictures
from datasetgan.project.samples import sample_size

__all__ = ["ByImport", "by_import", "features_of", "sizes_to_mark"]


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


class ByImport(NamedTuple):
    """Keys of samples by what an import did to them: marked them first, anew, or not yet."""

    added: tuple[str, ...]
    replaced: tuple[str, ...]
    missing: tuple[str, ...]


def by_import(keys: Iterable[str], *, found: Collection[str], before: Collection[str]) -> ByImport:
    """Sort keys by whether they were marked before, and whether they were found now."""
    states = [(key, key in found, key in before) for key in keys]
    return ByImport(
        added=tuple(key for key, now, then in states if now and not then),
        replaced=tuple(key for key, now, then in states if now and then),
        missing=tuple(key for key, now, then in states if not now and not then),
    )


class Marked(Protocol):
    """Something that was painted or marked in a sample."""

    @property
    def sample(self) -> Picture: ...


M = TypeVar("M", bound=Marked)


def features_of(
    source: FeatureSource, marked: Iterator[M], *, otherwise: str
) -> Iterator[tuple[M, FeaturePyramid]]:
    """Yield what was marked with its sample's features, one in memory at a time.

    Raises:
        ProjectError: nothing was marked, which `otherwise` says, or latents or photos are damaged.
    """
    item = None
    for item in marked:
        yield item, source.features(item.sample.origin)
    if item is None:
        raise ProjectError(otherwise)
