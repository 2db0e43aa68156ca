"""Listing and reading photographs in folders and in zips of every kind of harm."""

import os
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasetgan.errors import DatasetError, UsageError
from datasetgan.gan_training.photos import files as photo_files
from datasetgan.gan_training.photos.files import PhotoEntry, open_photos, printable
from tests.gan_training.photos.sources import write_source

FILES = {
    "b.png": b"1",
    "a/z.JPG": b"22",
    "a/c/y.webp": b"333",
    "licence.txt": b"",
    ".hidden.png": b"",
    "a/.thumbs/x.png": b"",
    "__MACOSX/a/._z.jpg": b"",
    "dataset.json": b"{}",
}


def contents(source: Path, *, leave_out: Path = Path("nowhere")) -> dict[str, bytes]:
    with open_photos(source, leave_out=leave_out) as photos:
        return {entry.name: photos.read(entry) for entry in photos.photos}


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_pictures_are_listed_by_name(tmp_path: Path, kind: str) -> None:
    source = write_source(tmp_path / "photos", FILES, kind)
    with open_photos(source, leave_out=tmp_path / "run") as photos:
        assert [(e.name, e.size) for e in photos.photos] == [
            ("a/c/y.webp", 3),
            ("a/z.JPG", 2),
            ("b.png", 1),
        ]
        assert photos.index is not None
        assert photos.read(photos.index) == b"{}"
    assert contents(source) == {name: FILES[name] for name in ("a/c/y.webp", "a/z.JPG", "b.png")}


def test_a_run_within_the_photographs_is_left_out(tmp_path: Path) -> None:
    source = write_source(tmp_path / "photos", {"a.png": b"1", "run/grid.png": b"2"})
    assert contents(source, leave_out=source / "run") == {"a.png": b"1"}
    with pytest.raises(UsageError, match="Choose another folder for the run"):
        contents(source, leave_out=source / "run" / "..")


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_are_followed_and_may_lead_back(tmp_path: Path) -> None:
    write_source(tmp_path / "elsewhere", {"b.png": b"2"})
    source = write_source(tmp_path / "photos", {"a.png": b"1"})
    (source / "linked").symlink_to(tmp_path / "elsewhere")
    (source / "loop").symlink_to(source)
    assert contents(source) == {"a.png": b"1", "linked/b.png": b"2"}
    (source / "gone.png").symlink_to(tmp_path / "nothing.png")
    with open_photos(source, leave_out=tmp_path) as photos:
        gone = next(entry for entry in photos.photos if entry.name == "gone.png")
        with pytest.raises(DatasetError, match=r"cannot be read \(No such file"):
            photos.read(gone)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes there")
def test_what_is_no_file_does_not_stop_the_reading(tmp_path: Path) -> None:
    source = write_source(tmp_path / "photos", {"a.png": b"1"})
    os.mkfifo(source / "pipe.png")
    (source / "folder.png").mkdir()
    assert contents(source) == {"a.png": b"1"}


def test_names_that_are_no_text_can_be_printed() -> None:
    name = os.fsdecode(b"caf\xe9.png")
    assert printable("café.png") == "café.png"
    assert printable(name).encode()


def stamps(source: Path) -> tuple[PhotoEntry, ...]:
    with open_photos(source, leave_out=Path("nowhere")) as photos:
        return photos.photos


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_changed_file_has_another_stamp(tmp_path: Path, kind: str) -> None:
    source = write_source(tmp_path / "photos", {"a.png": b"1", "b.png": b"2"}, kind)
    before = stamps(source)
    assert stamps(source) == before
    write_source(source, {"a.png": b"1", "b.png": b"3"}, kind)
    if kind == "folder":
        os.utime(source / "a.png", ns=(0, before[0].stamp))
        os.utime(source / "b.png", ns=(0, before[1].stamp + 1))
    after = stamps(source)
    assert after[0] == before[0]
    assert after[1] != before[1]


def zip_of(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_every_packing_is_unpacked(tmp_path: Path, method: int) -> None:
    data = os.urandom(20_000) + bytes(20_000)
    (tmp_path / "p.zip").write_bytes(zip_of({"a.png": data, "b.png": b""}, method))
    assert contents(tmp_path / "p.zip") == {"a.png": data, "b.png": b""}


def encrypt(data: bytes) -> bytes:
    return data.replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-30], "was cut short or damaged.*download it again"),
        (lambda data: data[: len(data) // 2], "was cut short or damaged"),
        (encrypt, "is encrypted. Unpack it"),
        (lambda _: b"", "neither a folder nor a zip"),
        (lambda _: b"\x1f\x8b a tape", "neither a folder nor a zip of photographs. Unpack"),
    ],
)
def test_harmed_zips_are_refused(
    tmp_path: Path, change: Callable[[bytes], bytes], message: str
) -> None:
    (tmp_path / "p.zip").write_bytes(change(zip_of({"a.png": b"1" * 100})))
    with pytest.raises(DatasetError, match=message):
        contents(tmp_path / "p.zip")


def test_a_source_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none does not exist. Expected a folder or a zip"):
        contents(tmp_path / "none")


def test_a_damaged_member_is_that_member_s_fault_alone(tmp_path: Path) -> None:
    data = zip_of({"a.png": b"first" * 9, "b.png": b"other" * 9}, zipfile.ZIP_STORED)
    (tmp_path / "p.zip").write_bytes(data.replace(b"first", b"FIRST", 1))
    with open_photos(tmp_path / "p.zip", leave_out=tmp_path) as photos:
        with pytest.raises(DatasetError, match=r"cannot be unpacked \(Bad CRC-32"):
            photos.read(photos.photos[0])
        assert photos.read(photos.photos[1]) == b"other" * 9


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_huge_files_are_not_read(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photo_files, "MAX_FILE_BYTES", 2 << 20)
    files = {"a.png": bytes(2 << 20), "b.png": bytes((2 << 20) + 1)}
    source = write_source(tmp_path / "photos", files, kind)
    with open_photos(source, leave_out=tmp_path) as photos:
        assert len(photos.read(photos.photos[0])) == 2 << 20
        with pytest.raises(DatasetError, match="2 MB, and no photograph has more than 2 MB"):
            photos.read(photos.photos[1])


def test_folders_of_a_zip_and_members_without_a_name_are_passed_over(tmp_path: Path) -> None:
    data = zip_of({"folder.png/": b"", "a.png": b"1", "x": b"2"})
    (tmp_path / "p.zip").write_bytes(data.replace(b"x", b"\0"))
    assert contents(tmp_path / "p.zip") == {"a.png": b"1"}


@given(place=st.integers(0, 400), value=st.integers(0, 255), length=st.integers(0, 400) | st.none())
@settings(
    deadline=None,
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_harm_to_a_zip_is_one_error(
    tmp_path: Path, place: int, value: int, length: int | None
) -> None:
    data = bytearray(zip_of({"a.png": b"1" * 100, "b\\c.png": os.urandom(20)}))
    data[place % len(data)] = value
    (tmp_path / "p.zip").write_bytes(data[:length])
    with (
        suppress(DatasetError),
        open_photos(tmp_path / "p.zip", leave_out=tmp_path) as photos,
    ):
        for entry in photos.photos:
            with suppress(DatasetError):
                photos.read(entry)
