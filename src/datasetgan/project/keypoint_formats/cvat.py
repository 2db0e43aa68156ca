"""Keypoints of CVAT: the XML of "CVAT for images 1.1"."""

from collections.abc import Iterator
from xml.etree import ElementTree

from datasetgan.errors import LabelError
from datasetgan.keypoints import Keypoints
from datasetgan.project.keypoint_formats.base import (
    KeypointSource,
    KeypointTarget,
    Mark,
    key_of_file_name,
    keypoints_of_marks,
)

__all__ = ["read_cvat"]


def read_cvat(source: KeypointSource, target: KeypointTarget) -> dict[str, Keypoints]:
    """Read ``<points>`` shapes of one point each, alone or within a ``<skeleton>``.

    The label of a point is the keypoint's name. One that is marked as occluded or outside,
    or that a picture lacks, is not visible. Pictures without any point are not annotated;
    boxes, polygons and other shapes are passed over. CVAT measures from the picture's
    corner, as `Keypoints` does.

    Raises:
        LabelError: the file is no such XML or declares a document type; a picture is of
            no key, of another size or stands twice; a name is unknown or stands twice in
            a picture, or a point is outside of it.
    """
    found: dict[str, Keypoints] = {}
    for image in _parse(source).iter("image"):
        marks: dict[str, Mark] = {}
        name = image.get("name", "")
        for points in _points(image):
            label = points.get("label", "")
            if label in marks:
                raise LabelError(
                    f"{source.path}: {name} has several points {label!r}. "
                    "A picture has one of each name: keep one."
                )
            marks[label] = _mark(source, name, points)
        if not marks:
            continue
        key = key_of_file_name(source, name, target)
        if key in found:
            raise LabelError(f"{source.path}: {key} stands there twice. Keep one of the two.")
        _check_size(source, image, key, target)
        found[key] = keypoints_of_marks(source, key, marks, target)
    return found


def _parse(source: KeypointSource) -> ElementTree.Element:
    # Entities are how a small file grows without bound, or reads others; they need a
    # declaration, and CVAT writes none. Parsing text instead of bytes keeps an encoding
    # of the file's own choice from hiding one.
    if "<!DOCTYPE" in source.text or "<!ENTITY" in source.text:
        raise LabelError(
            f"{source.path} declares a document type or entities, which no CVAT file does. "
            "It is not read; export it again from CVAT."
        )
    try:
        root = ElementTree.fromstring(source.text)
    except (ElementTree.ParseError, ValueError) as error:
        raise LabelError(f"{source.path} is not valid XML ({error}). Export it again.") from error
    if root.tag != "annotations":
        raise LabelError(
            f"{source.path} is no CVAT file: its outermost element is <{root.tag[:40]}>, expected "
            "<annotations>. Export it as 'CVAT for images 1.1'."
        )
    if root.find("track") is not None:
        raise LabelError(
            f"{source.path} is of the format 'CVAT for video 1.1'. "
            "Export it as 'CVAT for images 1.1'."
        )
    return root


def _points(image: ElementTree.Element) -> Iterator[ElementTree.Element]:
    yield from image.findall("points")
    yield from image.findall("skeleton/points")


def _mark(source: KeypointSource, image: str, points: ElementTree.Element) -> Mark:
    label, text = points.get("label", ""), points.get("points", "")
    if _flag(source, points, "outside"):
        return Mark(0.0, 0.0, visible=False)
    if ";" in text:
        raise LabelError(
            f"{source.path}: {image}: the shape {label!r} has {text.count(';') + 1} points. "
            "Draw one point per keypoint, each under the keypoint's name."
        )
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError as error:
        raise LabelError(
            f"{source.path}: {image}: the point {label!r} is {text[:40]!r}, expected 'x,y'."
        ) from error
    return Mark(x, y, visible=not _flag(source, points, "occluded"))


def _flag(source: KeypointSource, points: ElementTree.Element, name: str) -> bool:
    value = points.get(name, "0")
    if value not in ("0", "1"):
        raise LabelError(f"{source.path}: {name} must be 0 or 1, got {value[:40]!r}.")
    return value == "1"


def _check_size(
    source: KeypointSource, image: ElementTree.Element, key: str, target: KeypointTarget
) -> None:
    height, width = target.sizes[key]
    stated = (image.get("width"), image.get("height"))
    if stated != (str(width), str(height)):
        raise LabelError(
            f"{source.path}: {key} is {stated[0]} x {stated[1]} pixels there, but the "
            f"{target.what} is {width} x {height} (width x height). Annotate the picture as it is."
        )
