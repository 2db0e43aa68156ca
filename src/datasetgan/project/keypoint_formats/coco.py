"""Keypoints of COCO: the JSON of its keypoint task."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from datasetgan.errors import LabelError
from datasetgan.keypoints import Keypoints
from datasetgan.project.keypoint_formats.base import (
    KeypointSource,
    KeypointTarget,
    Mark,
    key_of_file_name,
    keypoints_of_marks,
)

__all__ = ["read_coco"]

_VISIBLE = 2
_KINDS: dict[type, str] = {list: "a list", dict: "an object", str: "a text"}

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class _Annotation:
    """Points [J, (x, y, v)] of one picture under their category's names."""

    image: Fields
    names: tuple[str, ...]
    triples: tuple[tuple[float, float, int], ...]


def read_coco(source: KeypointSource, target: KeypointTarget) -> dict[str, Keypoints]:
    """Read the annotations with ``keypoints``, one per picture; others are passed over.

    Visibility 2 is visible; 1 (labelled, but hidden) and 0 (not labelled) are not.

    COCO's own files count whole pixels, the first of which is 0 and has its centre at 0.5
    here. Annotation tools write places measured from the corner. So where every labelled
    coordinate of a file is a whole number, all are taken for pixels and 0.5 is added.

    Raises:
        LabelError: the file is no such JSON; a picture is of no key, of another size or
            annotated twice; a category's names differ from the schema's, or a point is
            outside its picture.
    """
    annotations = list(_annotations(source))
    labelled = [triple for a in annotations for triple in a.triples if triple[2]]
    whole = all(x == int(x) and y == int(y) for x, y, _ in labelled)
    shift = 0.5 if whole else 0.0
    found: dict[str, Keypoints] = {}
    for annotation in annotations:
        name = _get(source, annotation.image, "file_name", str, where="an image")
        key = key_of_file_name(source, name, target)
        if key in found:
            raise LabelError(
                f"{source.path}: {key} has several annotations with keypoints. "
                "A picture has one of each name: keep one annotation."
            )
        _check_names(source, annotation, target)
        _check_size(source, annotation.image, key, target)
        marks = {
            point: Mark(x + shift, y + shift, visible=v == _VISIBLE)
            for point, (x, y, v) in zip(annotation.names, annotation.triples, strict=True)
            if v
        }
        found[key] = keypoints_of_marks(source, key, marks, target)
    return found


def _annotations(source: KeypointSource) -> Iterator[_Annotation]:
    data = _parse(source)
    images = _by_id(source, data, "images")
    categories = _by_id(source, data, "categories")
    for item in _items(source, data, "annotations"):
        if "keypoints" not in item:
            continue
        where = f"annotation {item.get('id')!r}"
        image = _referred(source, item, "image_id", images, where=where)
        category = _referred(source, item, "category_id", categories, where=where)
        names = _names(source, category)
        values = _get(source, item, "keypoints", list, where=where)
        yield _Annotation(image, names, _triples(source, values, names, where=where))


def _names(source: KeypointSource, category: Fields) -> tuple[str, ...]:
    names = _get(source, category, "keypoints", list, where="its category")
    if not all(isinstance(name, str) for name in names):
        raise LabelError(f"{source.path}: the names of a category's keypoints must be texts.")
    return tuple(names)


def _triples(
    source: KeypointSource, values: list[Any], names: tuple[str, ...], *, where: str
) -> tuple[tuple[float, float, int], ...]:
    numbers = all(type(value) in (int, float) and abs(value) < 1e9 for value in values)
    triples = tuple(zip(values[::3], values[1::3], values[2::3], strict=False))
    if not numbers or len(values) != 3 * len(names) or any(v not in (0, 1, 2) for *_, v in triples):
        raise LabelError(
            f"{source.path}: {where}: keypoints must be {3 * len(names)} numbers, x, y and "
            f"visibility (0, 1 or 2) of each of the category's {len(names)} names."
        )
    return tuple((float(x), float(y), int(v)) for x, y, v in triples)


def _parse(source: KeypointSource) -> Fields:
    try:
        data = json.loads(source.text)
    except (ValueError, RecursionError) as error:
        raise LabelError(f"{source.path} is not valid JSON ({error}). Export it again.") from error
    if not isinstance(data, dict) or not {"images", "annotations", "categories"} <= data.keys():
        raise LabelError(
            f"{source.path} is no COCO file: expected an object with 'images', 'annotations' "
            "and 'categories'. Export it as 'COCO Keypoints 1.0'."
        )
    return data


def _get(source: KeypointSource, item: Fields, field: str, kind: type, *, where: str) -> Any:
    value = item.get(field)
    if not isinstance(value, kind):
        raise LabelError(
            f"{source.path}: {where}: {field!r} must be {_KINDS[kind]}, got {str(value)[:40]!r}."
        )
    return value


def _items(source: KeypointSource, data: Fields, field: str) -> list[Fields]:
    items = _get(source, data, field, list, where="the top level")
    for item in items:
        if not isinstance(item, dict):
            raise LabelError(f"{source.path}: {field}: expected objects, got {str(item)[:40]!r}.")
    return list(items)


def _by_id(source: KeypointSource, data: Fields, field: str) -> dict[int, Fields]:
    found: dict[int, Fields] = {}
    for item in _items(source, data, field):
        number = item.get("id")
        if type(number) is not int or number in found:
            raise LabelError(
                f"{source.path}: {field}: every one needs a whole number of its own as 'id', "
                f"got {str(number)[:40]!r}."
            )
        found[number] = item
    return found


def _referred(
    source: KeypointSource, item: Fields, field: str, found: Mapping[int, Fields], *, where: str
) -> Fields:
    number = item.get(field)
    if type(number) is not int or number not in found:
        raise LabelError(
            f"{source.path}: {where}: {field!r} is {str(number)[:40]!r}, which the file lacks."
        )
    return found[number]


def _check_names(source: KeypointSource, annotation: _Annotation, target: KeypointTarget) -> None:
    if sorted(annotation.names) != sorted(target.schema.names):
        raise LabelError(
            f"{source.path}: the category's keypoints are {', '.join(annotation.names)}; "
            f"expected {', '.join(target.schema.names)}, in any order."
        )


def _check_size(source: KeypointSource, image: Fields, key: str, target: KeypointTarget) -> None:
    height, width = target.sizes[key]
    stated = (image.get("width", width), image.get("height", height))
    if stated != (width, height):
        raise LabelError(
            f"{source.path}: {key} is {stated[0]} x {stated[1]} pixels there, but the "
            f"{target.what} is {width} x {height} (width x height). Annotate the picture as it is."
        )
