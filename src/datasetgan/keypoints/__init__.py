"""Named points of an image, and the heat maps that networks regress them by."""

from datasetgan.keypoints.points import (
    KeypointRecord,
    Keypoints,
    KeypointSchema,
    check_keypoints,
)

__all__ = ["KeypointRecord", "KeypointSchema", "Keypoints", "check_keypoints"]
