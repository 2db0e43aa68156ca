"""Named points of an image: their names, their places, and their plain form in files.

A point is (x, y) in pixels of the picture: x to the right, y down, (0, 0) the picture's
upper left corner. The centre of the first pixel lies at (0.5, 0.5), the picture's
lower right corner at (width, height).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasetgan.errors import LabelError, UsageError, unknown_name

__all__ = ["KeypointRecord", "KeypointSchema", "Keypoints", "check_keypoints"]

# In files; a thousandth of a pixel is far below what anyone can place.
_DECIMALS = 3


@dataclass(frozen=True)
class KeypointSchema:
    """The names of the points that every image has, in their fixed order.

    Attributes:
        names: unique, one printable line each, at least one.

    Raises:
        UsageError: no name, a name that stands twice, or one that is empty, padded with
            blanks or longer than a line.
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.names:
            raise UsageError("keypoints need at least one name, got none.")
        for name in self.names:
            if not name or name != name.strip() or not name.isprintable():
                raise UsageError(
                    f"{name!r} is no keypoint name: one printable line without blanks around it."
                )
            if self.names.count(name) > 1:
                raise UsageError(f"keypoint {name!r} stands twice; names must be unique.")

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """Return the place of a name.

        Raises:
            UsageError: there is none of that name; the message lists all.
        """
        if name not in self.names:
            raise UsageError(unknown_name("keypoint", name, self.names))
        return self.names.index(name)


@dataclass(frozen=True, eq=False)
class Keypoints:
    """The points of one image, in the order of a schema.

    Attributes:
        points: [J, 2] float64, (x, y) in pixels as the module describes; finite.
        visible: [J] bool. A point that is not visible is neither trained on as a point
            nor scored by its place, whatever its coordinates are.

    Raises:
        UsageError: the shapes or types differ, or a coordinate is not finite.
    """

    points: NDArray[np.float64]
    visible: NDArray[np.bool_]

    def __post_init__(self) -> None:
        points, visible = self.points, self.visible
        if points.ndim != 2 or points.shape[1] != 2 or points.dtype != np.float64:
            raise UsageError(
                f"points must be [J, 2] float64, got {list(points.shape)} {points.dtype}."
            )
        if visible.shape != points.shape[:1] or visible.dtype != np.bool_:
            raise UsageError(
                f"visible must be [{len(points)}] bool, one per point, "
                f"got {list(visible.shape)} {visible.dtype}."
            )
        if not np.isfinite(points).all():
            raise UsageError("the coordinates of a keypoint are not finite numbers.")

    def __len__(self) -> int:
        return len(self.points)

    def resized(self, size: tuple[int, int], *, to: tuple[int, int]) -> "Keypoints":
        """Return the points of the same picture stretched to another size.

        Args:
            size: (height, width) that the points are given in.
            to: (height, width) that they are wanted in.
        """
        factor = np.array([to[1] / size[1], to[0] / size[0]])
        return Keypoints(self.points * factor, self.visible)

    def to_record(self) -> "KeypointRecord":
        """Return the plain form, coordinates rounded to a thousandth of a pixel."""
        rounded = np.round(self.points, _DECIMALS).tolist()
        return KeypointRecord(tuple((x, y) for x, y in rounded), tuple(self.visible.tolist()))


@dataclass(frozen=True)
class KeypointRecord:
    """The points of one image as manifests and project files hold them.

    Attributes:
        points: (x, y) of each point in pixels of the picture.
        visible: whether each point is visible.

    Raises:
        UsageError: not one `visible` per point, or a coordinate that is not finite.
    """

    points: tuple[tuple[float, float], ...]
    visible: tuple[bool, ...]

    def __post_init__(self) -> None:
        self.to_keypoints()

    def to_keypoints(self) -> Keypoints:
        """Return the points as arrays."""
        points = np.array(self.points, dtype=np.float64).reshape(-1, 2)  # [J, 2]
        return Keypoints(points, np.array(self.visible, dtype=np.bool_))


def check_keypoints(
    keypoints: Keypoints, schema: KeypointSchema, *, size: tuple[int, int], source: str
) -> None:
    """Check that points fit a schema and that the visible ones lie within the picture.

    Args:
        size: (height, width) of the picture.
        source: names the sample or file in the message.

    Raises:
        LabelError: another number of points than names, or a visible point outside.
    """
    if len(keypoints) != len(schema):
        raise LabelError(
            f"{source} has {len(keypoints)} keypoints, expected {len(schema)}: "
            f"{', '.join(schema.names)}."
        )
    limit = np.array([size[1], size[0]])
    outside = ((keypoints.points < 0) | (keypoints.points > limit)).any(axis=1)
    for index in np.flatnonzero(outside & keypoints.visible):
        x, y = keypoints.points[index]
        raise LabelError(
            f"{source}: keypoint {schema.names[index]!r} lies at x {x:g}, y {y:g}, outside the "
            f"picture of {size[1]} x {size[0]} pixels (width x height). Correct it, or mark it "
            "as not visible."
        )
