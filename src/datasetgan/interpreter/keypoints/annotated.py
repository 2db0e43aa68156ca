"""Annotated images as a fit reads them: features in a cache, points beside it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasetgan.errors import LabelError
from datasetgan.features import FeatureCache, FeaturePyramid
from datasetgan.keypoints import Keypoints, KeypointSchema, check_keypoints

__all__ = ["AnnotatedImages", "AnnotatedSample", "cache_annotated"]


@dataclass(frozen=True)
class AnnotatedSample:
    """The features of one image and the points that a person placed on it.

    Attributes:
        features: of one image (batch size 1).
        keypoints: in pixels of the picture, in the order of the schema.
        key: names the sample in messages.
        size: (height, width) of the picture that the points are given in; the finest
            feature level's by default.
    """

    features: FeaturePyramid
    keypoints: Keypoints
    key: str = ""
    size: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class AnnotatedImages:
    """Annotated samples that are read already: to fit on, to validate on, to fit on again.

    Attributes:
        cache: the features of all images.
        keypoints: of each image.
        sizes: (height, width) of the picture that they are given in.
        keys: names of the images.
    """

    cache: FeatureCache
    keypoints: tuple[Keypoints, ...]
    sizes: tuple[tuple[int, int], ...]
    keys: tuple[str, ...]

    @property
    def visible(self) -> NDArray[np.bool_]:
        """Whether each point is visible in each image, [N, J]."""
        return np.stack([keypoints.visible for keypoints in self.keypoints])


def cache_annotated(
    samples: Iterable[AnnotatedSample],
    schema: KeypointSchema,
    *,
    cache: FeatureCache | None = None,
    on_sample: Callable[[int], None] | None = None,
) -> AnnotatedImages:
    """Read annotated samples, one image's full features alive at a time.

    Args:
        samples: of one generator.
        schema: the names of the points.
        cache: an empty one to fill; with the default sizes by default.
        on_sample: called with the number of samples read.

    Raises:
        LabelError: no point is visible in any sample, or points that do not fit the
            schema or the picture.
        UsageError: samples of different generators, features that are not finite or of
            more than one image.
        StorageError: the cache's folder is full or cannot be written.
    """
    cache = FeatureCache() if cache is None else cache
    keypoints: list[Keypoints] = []
    sizes: list[tuple[int, int]] = []
    keys: list[str] = []
    # No `enumerate`: it would hold each sample until the next one is there.
    for sample in samples:
        source = f"annotated sample {sample.key or len(keys)}"
        size = sample.size or sample.features.picture_size
        check_keypoints(sample.keypoints, schema, size=size, source=source)
        cache.add(sample.features, source=source)
        keypoints.append(sample.keypoints)
        sizes.append(size)
        keys.append(sample.key or f"image {len(keys)}")
        if on_sample is not None:
            on_sample(len(keys))
        del sample  # before the next image's features are made
    if not any(points.visible.any() for points in keypoints):
        raise LabelError(
            f"no keypoint is visible in {len(keys)} samples. "
            "Place points on at least one sample and import them."
        )
    return AnnotatedImages(cache, tuple(keypoints), tuple(sizes), tuple(keys))
