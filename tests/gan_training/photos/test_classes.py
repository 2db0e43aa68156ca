"""Class labels from folders and from the index file."""

import json
from pathlib import Path
from typing import Any

import pytest

from datasetgan.errors import DatasetError, UsageError
from datasetgan.gan_training.photos.classes import (
    LabelSource,
    PhotoClasses,
    check_every_class_is_used,
    read_classes,
)
from datasetgan.gan_training.photos.files import open_photos
from tests.gan_training.photos.sources import write_source


def classes_of(
    source: Path, files: dict[str, bytes], labels: LabelSource, *, kind: str = "folder"
) -> PhotoClasses | None:
    write_source(source, files, kind)
    with open_photos(source, leave_out=Path("nowhere")) as photos:
        return read_classes(photos, labels)


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_folders_are_classes(tmp_path: Path, kind: str) -> None:
    files = {"mono/a.png": b"", "baso/x/b.png": b"", "baso/c.png": b"", "empty/d.txt": b""}
    classes = classes_of(tmp_path / "p", files, "folders", kind=kind)
    assert classes == PhotoClasses(
        ("baso", "mono"), {"baso/c.png": 0, "baso/x/b.png": 0, "mono/a.png": 1}
    )
    assert classes_of(tmp_path / "q", files, "none", kind=kind) is None


def test_photographs_outside_of_the_folders_are_listed(tmp_path: Path) -> None:
    files = {"a/a.png": b"", **{f"{i}.png": b"" for i in range(5)}}
    with pytest.raises(DatasetError, match=r"5 photographs outside .*'2\.png' and 2 more"):
        classes_of(tmp_path / "p", files, "folders")


def test_one_class_is_none(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="are of the one class 'all'"):
        classes_of(tmp_path / "p", {"all/a/x.png": b"", "all/b/x.png": b""}, "folders")
    with pytest.raises(UsageError, match="Did you mean 'folders'"):
        classes_of(tmp_path / "p", {}, "folder")  # type: ignore[arg-type]


def index(labels: Any) -> dict[str, bytes]:
    return {"a/0.png": b"", "1.png": b"", "dataset.json": json.dumps({"labels": labels}).encode()}


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_the_index_names_the_class_of_each(tmp_path: Path, kind: str) -> None:
    files = index([["a\\0.png", 1], ["1.png", 0], ["not/here.png", 7]])
    classes = classes_of(tmp_path / "p", files, "file", kind=kind)
    assert classes == PhotoClasses(("0", "1"), {"1.png": 0, "a/0.png": 1})


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([["a/0.png", 1]], r"no label for 1 of 2 photographs: '1\.png'\. Label them"),
        ([["a/0.png", 2], ["1.png", 0]], "has class 2, but no photograph is of class 1"),
        ([["a/0.png", 10**15], ["1.png", 1]], "no photograph is of class 0"),
        ([["a/0.png", 0], ["1.png", 0]], "are of the one class '0'"),
        ([["a/0.png", 0], ["a/0.png", 1], ["1.png", 1]], "gives 'a/0.png' two classes"),
        ([["a/0.png", -1]], r"malformed \(it has the entry \['a/0.png', -1\]\)"),
        ([["a/0.png", True]], "malformed .* whole numbers from 0"),
        ([["a/0.png", [0, 1]]], "malformed"),
        ([["a/0.png"]], "malformed"),
        ({"a/0.png": 0}, "it has no list 'labels'"),
        (None, "it has no list 'labels'"),
    ],
)
def test_an_index_that_does_not_fit_is_refused(tmp_path: Path, labels: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        classes_of(tmp_path / "p", index(labels), "file")


@pytest.mark.parametrize("data", [b"", b"[", b"[1]", b"\xff\xfe\x00", b"[" * 100_000])
def test_an_index_that_does_not_parse_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DatasetError, match=r"dataset\.json is malformed"):
        classes_of(tmp_path / "p", {"a.png": b"", "dataset.json": data}, "file")


def test_a_missing_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"dataset\.json is missing"):
        classes_of(tmp_path / "p", {"a.png": b"", "x/dataset.json": b"{}"}, "file")


def test_a_class_without_photographs_is_named(tmp_path: Path) -> None:
    classes = PhotoClasses(("ant", "bee", "cow"), {})
    check_every_class_is_used(tmp_path, classes, [2, 0, 1, 1])
    with pytest.raises(DatasetError, match="none of the photographs of 'ant', 'cow' is usable"):
        check_every_class_is_used(tmp_path, classes, [1])
