"""Painted images as a fit reads them: features in a cache, label maps beside it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from datasetgan.errors import LabelError, UsageError
from datasetgan.features.cache import FeatureCache
from datasetgan.features.pyramid import FeaturePyramid
from datasetgan.taxonomy import IGNORE_INDEX, ClassTaxonomy

__all__ = ["PaintedImages", "PaintedSample", "cache_samples", "count_classes"]


@dataclass(frozen=True)
class PaintedSample:
    """The features of one image and what a person painted on it.

    Attributes:
        features: of one image (batch size 1).
        label_map: [H, W] integer class ids, 255 where unpainted. Its grid covers the
            whole picture and may be finer or coarser than the features.
        key: names the sample in messages.
    """

    features: FeaturePyramid
    label_map: Tensor
    key: str = ""


@dataclass(frozen=True, eq=False)
class PaintedImages:
    """Painted samples that are read already: to fit on, to validate on, to fit on again.

    Attributes:
        cache: the features of all images.
        label_maps: [H, W] int64 class ids of each image, 255 where unpainted.
        keys: names of the images.
    """

    cache: FeatureCache
    label_maps: tuple[Tensor, ...]
    keys: tuple[str, ...]

    def __post_init__(self) -> None:
        if not len(self.cache) == len(self.label_maps) == len(self.keys):
            raise UsageError(
                f"{len(self.cache)} images came with {len(self.label_maps)} label maps and "
                f"{len(self.keys)} keys."
            )

    @property
    def painted(self) -> tuple[int, ...]:
        """Numbers of the images with at least one painted pixel."""
        return tuple(
            i for i, label_map in enumerate(self.label_maps) if (label_map != IGNORE_INDEX).any()
        )


def cache_samples(
    samples: Iterable[PaintedSample],
    taxonomy: ClassTaxonomy,
    *,
    cache: FeatureCache | None = None,
    on_sample: Callable[[int], None] | None = None,
) -> PaintedImages:
    """Read painted samples, one image's full features alive at a time.

    Args:
        samples: of one generator.
        taxonomy: the classes that they are painted with.
        cache: an empty one to fill; with the default sizes by default.
        on_sample: called with the number of samples read.

    Raises:
        LabelError: a class id that the taxonomy does not know, or a label map of another
            aspect ratio than its picture.
        UsageError: samples of different generators, features that are not finite or of
            more than one image.
        StorageError: the cache's folder is full or cannot be written.
    """
    cache = FeatureCache() if cache is None else cache
    label_maps: list[Tensor] = []
    keys: list[str] = []
    # No `enumerate`: it would hold each sample until the next one is there.
    for sample in samples:
        source = f"painted sample {sample.key or len(keys)}"
        count_classes(sample.label_map, taxonomy, source=source)
        _check_aspect(sample, source=source)
        cache.add(sample.features, source=source)
        label_maps.append(sample.label_map.cpu().long())
        keys.append(sample.key or f"image {len(keys)}")
        if on_sample is not None:
            on_sample(len(keys))
        del sample  # before the next image's features are made
    return PaintedImages(cache, tuple(label_maps), tuple(keys))


def count_classes(label_map: Tensor, taxonomy: ClassTaxonomy, *, source: str) -> NDArray[np.int64]:
    """Count the painted pixels of each class [K].

    Args:
        source: names the label map in the message.

    Raises:
        LabelError: an id beyond the taxonomy.
    """
    ids, counts = np.unique(label_map.cpu().numpy(), return_counts=True)
    known = (ids >= 0) & (ids < len(taxonomy))
    unknown = ids[~known & (ids != IGNORE_INDEX)]
    if len(unknown):
        raise LabelError(
            f"{source} holds class id {unknown[0]}, but the taxonomy ends at "
            f"{len(taxonomy) - 1} ({taxonomy.names[-1]}). Correct the mask, or add the class."
        )
    total = np.zeros(len(taxonomy), dtype=np.int64)
    total[ids[known]] = counts[known]
    return total


def _check_aspect(sample: PaintedSample, *, source: str) -> None:
    if sample.label_map.ndim != 2:
        shape = list(sample.label_map.shape)
        raise LabelError(f"the label map of {source} must be [H, W], got {shape}.")
    height, width = sample.features.picture_size
    rows, columns = sample.label_map.shape
    # Half a pixel of rounding, on either grid, is no contradiction.
    if abs(rows * width - columns * height) > max(height, width, rows, columns) / 2:
        raise LabelError(
            f"the label map of {source} is {rows} x {columns}, but its picture is {height} x "
            f"{width} (height x width). Paint the whole picture; any size of its shape will do."
        )
