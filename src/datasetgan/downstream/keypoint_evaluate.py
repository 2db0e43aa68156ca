"""Scoring a heat-map network on real photos with placed points."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasetgan.dataset import Keypoints, check_keypoints, read_photo
from datasetgan.downstream.keypoint_network import KeypointNetwork
from datasetgan.errors import UsageError
from datasetgan.metrics.keypoints import (
    PCK_SHARES,
    KeypointScores,
    keypoint_errors,
    score_keypoints,
)

__all__ = ["AnnotatedPhoto", "evaluate_keypoint_network"]


@dataclass(frozen=True, eq=False)
class AnnotatedPhoto:
    """A photo and the points that a person placed on it.

    Attributes:
        photo: any picture file that Pillow reads.
        keypoints: in pixels of the upright photo, in the order of the network's names.
    """

    photo: Path
    keypoints: Keypoints


def evaluate_keypoint_network(
    network: KeypointNetwork,
    photos: Sequence[AnnotatedPhoto],
    *,
    shares: tuple[float, ...] = PCK_SHARES,
    on_progress: Callable[[int, int], None] | None = None,
) -> KeypointScores:
    """Find the points of every photo at its own size and compare them with the true ones.

    Args:
        shares: of a photo's longer side, within which a point counts as correct.
        on_progress: called with (photos done, photos in all) after each.

    Raises:
        UsageError: there are no photos, or a share is not above 0.
        DatasetError: a photo cannot be read.
        LabelError: points do not fit their photo or the names.
    """
    if not photos:
        raise UsageError("there are no photos to evaluate on; at least one is needed.")
    errors = []
    for done, item in enumerate(photos, start=1):
        photo = read_photo(item.photo)
        size = (photo.shape[0], photo.shape[1])
        check_keypoints(item.keypoints, network.schema, size=size, source=str(item.photo))
        found = network.predict(photo).keypoints
        errors.append(keypoint_errors(found, item.keypoints, size=size, shares=shares))
        if on_progress is not None:
            on_progress(done, len(photos))
    return score_keypoints(errors, network.schema)
