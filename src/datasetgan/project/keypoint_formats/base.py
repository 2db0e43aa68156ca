"""What every keypoint format shares."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from datasetgan.errors import LabelError, unknown_name
from datasetgan.keypoints import Keypoints, KeypointSchema, check_keypoints

__all__ = [
    "KeypointReader",
    "KeypointSource",
    "KeypointTarget",
    "Mark",
    "key_of_file_name",
    "keypoints_of_marks",
]


@dataclass(frozen=True)
class KeypointTarget:
    """What keypoints must fit.

    Attributes:
        what: the kind of pictures, ``"sample"`` or ``"photo"``, for messages.
        sizes: the (height, width) of every picture by key, its file name without suffix.
        schema: the names of the points.
    """

    what: str
    sizes: Mapping[str, tuple[int, int]]
    schema: KeypointSchema


@dataclass(frozen=True)
class KeypointSource:
    """A file of keypoints that was read.

    Attributes:
        path: where it lies, for messages.
        text: its content.
    """

    path: Path
    text: str


@dataclass(frozen=True)
class Mark:
    """One point as a tool wrote it.

    Attributes:
        x: from the picture's left edge, in pixels.
        y: from its upper edge.
        visible: whether it can be seen.
    """

    x: float
    y: float
    visible: bool


KeypointReader = Callable[[KeypointSource, KeypointTarget], dict[str, Keypoints]]
"""Reads the points of every annotated picture, by key.

It raises `LabelError` for points of no picture, of another size or outside of it, under
names that the schema does not know, and where several stand for one.
"""


def key_of_file_name(source: KeypointSource, name: str, target: KeypointTarget) -> str:
    """Return the key of the picture that a tool calls by a file name, with folders or not.

    Raises:
        LabelError: there is no such picture; the message lists all.
    """
    key = PurePosixPath(re.sub(r"[\\/]+", "/", name)).stem
    if key not in target.sizes:
        raise LabelError(f"{source.path}: {unknown_name(target.what, key, target.sizes)}")
    return key


def keypoints_of_marks(
    source: KeypointSource, key: str, marks: Mapping[str, Mark], target: KeypointTarget
) -> Keypoints:
    """Put the marks of one picture into the schema's order; one that is absent is not visible.

    Raises:
        LabelError: a mark has a name that the schema does not know, or lies outside.
    """
    where = f"{source.path}: {key}"
    for name in marks:
        if name not in target.schema.names:
            raise LabelError(f"{where}: {unknown_name('keypoint', name, target.schema.names)}")
    absent = Mark(0.0, 0.0, visible=False)
    ordered = [marks.get(name, absent) for name in target.schema.names]
    points = np.array([(mark.x, mark.y) for mark in ordered], dtype=np.float64)  # [J, 2]
    if not np.isfinite(points).all():
        raise LabelError(f"{where}: a coordinate is not a finite number.")
    visible = np.array([mark.visible for mark in ordered], dtype=np.bool_)
    keypoints = Keypoints(points, visible)
    check_keypoints(keypoints, target.schema, size=target.sizes[key], source=where)
    return keypoints
