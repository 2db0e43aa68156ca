"""Keypoint files of CVAT and COCO: right ones are read, wrong and hostile ones are refused."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasetgan.dataset import Keypoints, KeypointSchema
from datasetgan.errors import LabelError, UsageError
from datasetgan.project.keypoint_formats import KeypointTarget, read_keypoint_file

SCHEMA = KeypointSchema(("nucleus", "cell"))
SIZES = {"sample-0000": (32, 48), "sample-0001": (32, 48)}
TARGET = KeypointTarget("sample", SIZES, SCHEMA)


def point(label: str, points: str, *, flags: str = 'occluded="0"') -> str:
    return (
        f'<points label="{label}" source="manual" {flags} points="{points}" z_order="0"></points>'
    )


def cvat(*shapes: str, name: str = "sample-0000.png", head: str = "") -> str:
    image = f'<image id="0" name="{name}" width="48" height="32">{"".join(shapes)}</image>'
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n{head}<annotations><version>1.1</version>'
        f"<meta><task><name>cells</name></task></meta>{image}</annotations>"
    )


def coco(**changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "info": {"year": 2026},
        "licenses": [],
        "images": [
            {"id": 7, "file_name": "cells/sample-0001.png", "width": 48, "height": 32},
            {"id": 8, "file_name": "another.png", "width": 9, "height": 9},
        ],
        "categories": [{"id": 1, "name": "cell", "keypoints": ["cell", "nucleus"]}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "keypoints": [10.5, 20, 2, 30, 5.25, 1]},
            {"id": 2, "image_id": 7, "category_id": 1, "bbox": [0, 0, 3, 3]},
        ],
    }
    return data | changes


def annotation(**changes: Any) -> dict[str, Any]:
    return coco(annotations=[coco()["annotations"][0] | changes])


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., dict[str, Keypoints]]:
    def run(content: str | bytes | dict[str, Any], **options: Any) -> dict[str, Keypoints]:
        path = tmp_path / "points.any"
        if isinstance(content, dict):
            content = json.dumps(content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_keypoint_file(path, TARGET, **options)

    return run


def test_cvat_points_come_in_the_order_of_the_schema(read):
    found = read(cvat(point("cell", "30.25,5.5"), point("nucleus", "10,20")))
    assert list(found) == ["sample-0000"]
    np.testing.assert_array_equal(found["sample-0000"].points, [[10, 20], [30.25, 5.5]])
    assert found["sample-0000"].visible.tolist() == [True, True]


def test_cvat_skeletons_and_what_cannot_be_seen(read):
    inner = point("nucleus", "10,20", flags='outside="0" occluded="1"')
    inner += point("cell", "99,99", flags='outside="1" occluded="0"')
    box = '<box label="cell" occluded="0" xtl="1" ytl="1" xbr="2" ybr="2"></box>'
    found = read(cvat(box, f'<skeleton label="both" z_order="0">{inner}</skeleton>'))
    assert found["sample-0000"].visible.tolist() == [False, False]
    np.testing.assert_array_equal(found["sample-0000"].points[0], [10, 20])


def test_a_point_that_a_picture_lacks_is_not_visible(read):
    assert read(cvat(point("cell", "1,1")))["sample-0000"].visible.tolist() == [False, True]


def test_pictures_without_points_are_not_annotated(read):
    empty = cvat(name="not-ours.png").split("<image")[1].split("</annotations>")[0]
    text = cvat(point("cell", "1,1")).replace("</annotations>", f"<image{empty}</annotations>")
    assert list(read(text)) == ["sample-0000"]


def test_coco_names_may_have_another_order(read):
    found = read(coco())
    assert list(found) == ["sample-0001"]
    np.testing.assert_array_equal(found["sample-0001"].points, [[30, 5.25], [10.5, 20]])
    assert found["sample-0001"].visible.tolist() == [False, True]


def test_whole_numbers_of_coco_are_pixels_and_their_centres_are_meant(read):
    found = read(annotation(keypoints=[0, 0, 2, 47, 31, 2]))["sample-0001"]
    np.testing.assert_array_equal(found.points, [[47.5, 31.5], [0.5, 0.5]])
    # A point that is not labelled stands at 0, 0 and says nothing about the others.
    found = read(annotation(keypoints=[0, 0, 0, 47.5, 31, 2]))["sample-0001"]
    np.testing.assert_array_equal(found.points[0], [47.5, 31])
    assert found.visible.tolist() == [True, False]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 48), st.floats(0, 32), st.sampled_from([0, 1, 2])),
        min_size=2,
        max_size=2,
    )
)
def test_both_formats_say_the_same(tmp_path_factory, marks):
    path = tmp_path_factory.getbasetemp() / "same"
    marks[0] = (0.25, 0.25, 2)  # not all whole
    names = SCHEMA.names
    flags = {
        0: 'outside="1" occluded="0"',
        1: 'outside="0" occluded="1"',
        2: 'outside="0" occluded="0"',
    }
    shapes = [
        point(name, f"{x},{y}", flags=flags[v])
        for name, (x, y, v) in zip(names, marks, strict=True)
    ]
    path.write_text(cvat(*shapes, name="sample-0001.png"))
    one = read_keypoint_file(path, TARGET)["sample-0001"]
    data = annotation(keypoints=[value for mark in marks for value in mark])
    data["categories"][0]["keypoints"] = list(names)
    path.write_text(json.dumps(data))
    other = read_keypoint_file(path, TARGET)["sample-0001"]
    np.testing.assert_array_equal(one.points, other.points)
    np.testing.assert_array_equal(one.visible, other.visible)
    assert one.visible.tolist() == [v == 2 for *_, v in marks]


@given(st.text(max_size=60) | st.binary(max_size=60))
@settings(max_examples=150, deadline=None)
def test_noise_is_refused_with_one_message(tmp_path_factory, noise):
    path = tmp_path_factory.getbasetemp() / "noise"
    for start in (b"", b"<annotations>", b'{"images": ['):
        tail = noise if isinstance(noise, bytes) else noise.encode("utf-8", "surrogatepass")
        path.write_bytes(start + tail)
        with pytest.raises(LabelError, match="noise"):
            read_keypoint_file(path, TARGET)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(st.sampled_from(["images", "categories", "annotations"]), st.text(max_size=3), _JSON)
@settings(max_examples=80, deadline=None)
def test_coco_with_any_value_in_any_place_is_read_or_refused(tmp_path_factory, table, field, value):
    path = tmp_path_factory.getbasetemp() / "odd"
    whole = coco() | {table: value}
    inner = coco()
    fields = [*inner[table][0], field]
    for name in fields:
        inner = coco()
        inner[table][0][name] = value
        path.write_text(json.dumps(inner))
        with contextlib.suppress(LabelError):
            read_keypoint_file(path, TARGET)
    path.write_text(json.dumps(whole))
    with pytest.raises(LabelError, match="odd"):
        read_keypoint_file(path, TARGET)


BOMB = (
    '<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;">'
    '<!ENTITY lol3 "&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;">]>'
)


@pytest.mark.parametrize(
    "head",
    [
        BOMB,
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE annotations SYSTEM "http://example.org/a.dtd">',
    ],
    ids=["bomb", "file", "dtd"],
)
def test_declarations_are_refused_before_they_are_parsed(read, head):
    with pytest.raises(LabelError, match=r"declares a document type or entities"):
        read(cvat(point("cell", "1,1"), head=head))


def test_an_encoding_does_not_hide_a_declaration(read):
    text = cvat(point("cell", "1,1"), head=BOMB).replace("utf-8", "utf-16")
    with pytest.raises(LabelError, match=r"no text in UTF-8"):
        read(text.encode("utf-16"))
    # "+ADw-" is "<" in UTF-7: nothing but text when the file's own encoding has no say.
    hidden = cvat(point("cell", "1,1"), head="+ADw-!ENTITY+AD4-").replace("utf-8", "utf-7")
    with pytest.raises(LabelError, match=r"not valid XML"):
        read(hidden)


@pytest.mark.parametrize("opening", ["<a>", '{"a":', "["], ids=["xml", "objects", "lists"])
def test_depth_without_end_is_refused(read, opening):
    with pytest.raises(LabelError):
        read(opening * 100_000)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (cvat(point("cell", "1,1"), name="cell-7.png"), r"unknown sample 'cell-7'.*sample-0001"),
        (cvat(point("cel", "1,1")), r"sample-0000: unknown keypoint 'cel'.*mean 'cell'"),
        (cvat(point("cell", "1,1"), point("cell", "2,2")), r"several points 'cell'.*keep one"),
        (cvat(point("cell", "1,1;2,2;3,3")), r"'cell' has 3 points\. Draw one point per"),
        (cvat(point("cell", "48.5,1")), r"'cell' lies at x 48\.5, y 1, outside .* 48 x 32"),
        (cvat(point("cell", "nan,1")), r"not a finite number"),
        (cvat(point("cell", "1")), r"'1', expected 'x,y'"),
        (cvat(point("cell", "1,1", flags='occluded="yes"')), r"occluded must be 0 or 1.*'yes'"),
        (cvat(), r"holds no keypoint of nucleus, cell"),
        (cvat(point("cell", "1,1")).replace('"48"', '"64"'), r"64 x 32 pixels there.* 48 x 32"),
        ("<annotation></annotation>", r"outermost element is <annotation>, expected"),
        ("<annotations><track/></annotations>", r"'CVAT for video 1\.1'\. Export it as"),
        ("<annotations>", r"not valid XML"),
        ("keypoints", r"neither XML .* nor a JSON object"),
        (b"PK\x03\x04rest", r"zip archive\. Unpack it"),
        (b"\xff\xfe<", r"no text in UTF-8"),
        ("{", r"not valid JSON"),
        ('{"images": []}', r"no COCO file: expected an object with"),
        (coco(images=[{"id": "7"}]), r"images: every one needs a whole number"),
        (coco(images=[]), r"'image_id' is '7', which the file lacks"),
        (coco(categories={}), r"'categories' must be a list"),
        (coco(annotations=[]), r"holds no keypoint"),
        (annotation(keypoints=[1, 2, 2]), r"must be 6 numbers, x, y and visibility"),
        (annotation(keypoints=[1, 2, 3, 1, 2, 0]), r"visibility \(0, 1 or 2\)"),
        (annotation(keypoints=[1, 2, 2, True, 2, 2]), r"must be 6 numbers"),
        (annotation(keypoints=[1.5, 2, 2, 50, 2, 2]), r"'nucleus' lies at x 50, y 2, outside"),
        (coco(annotations=coco()["annotations"][:1] * 2), r"sample-0001 has several annotations"),
        (
            coco(categories=[{"id": 1, "keypoints": ["cell", "nose"]}]),
            r"keypoints are cell, nose; expected nucleus, cell",
        ),
    ],
)
def test_what_does_not_fit_is_named(read, tmp_path, content, message):
    with pytest.raises(LabelError, match=message) as caught:
        read(content)
    assert str(tmp_path / "points.any") in str(caught.value)


def test_unknown_formats_and_missing_files(read, tmp_path):
    with pytest.raises(UsageError, match=r"unknown keypoint format 'labelme'.*auto, coco, cvat"):
        read(coco(), keypoint_format="labelme")
    with pytest.raises(LabelError, match=r"not valid XML"):
        read(coco(), keypoint_format="cvat")
    with pytest.raises(LabelError, match=r"nowhere\.xml cannot be read \(No such file"):
        read_keypoint_file(tmp_path / "nowhere.xml", TARGET)
    with pytest.raises(LabelError, match=r"cannot be read \(Is a directory\)"):
        read_keypoint_file(tmp_path, TARGET)


def test_file_names_are_matched_by_their_last_part(read):
    for name in ("a/b/sample-0000.jpg", "C:\\work\\sample-0000.png", "sample-0000"):
        assert list(read(cvat(point("cell", "1,1"), name=quoteattr(name)[1:-1]))) == ["sample-0000"]
