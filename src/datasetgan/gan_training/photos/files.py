"""Where photographs lie: a folder or a zip, listed by name and read one at a time."""

import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import cast

from PIL import Image

from datasetgan.errors import DatasetError, UsageError

__all__ = ["INDEX_NAME", "MAX_FILE_BYTES", "PhotoEntry", "PhotoSource", "open_photos", "printable"]

MAX_FILE_BYTES = 512 * 2**20
"""Largest file that is read; a zip may declare any size, so it is checked before reading."""

INDEX_NAME = "dataset.json"
"""The class labels beside the photographs, as StyleGAN's tools write them."""

# Of compressed data at a time: the best packer in a zip makes some 80 MB of it.
_PIECE = 4096


@dataclass(frozen=True)
class PhotoEntry:
    """One file of a source.

    Attributes:
        name: relative to the source, with forward slashes.
        size: in bytes, once unpacked.
        stamp: time of its last change (ns) in a folder, CRC-32 of its bytes in a zip.
    """

    name: str
    size: int
    stamp: int


@dataclass(frozen=True)
class PhotoSource:
    """An open folder or zip.

    Attributes:
        path: as it was given.
        photos: every file with a suffix of a picture format, in the order of names.
        index: the file `INDEX_NAME` at the top, where there is one.
        read: returns the bytes of an entry; a `DatasetError` says why it cannot, in
            words that follow the name.
    """

    path: Path
    photos: tuple[PhotoEntry, ...]
    index: PhotoEntry | None
    read: Callable[[PhotoEntry], bytes]


@contextmanager
def open_photos(source: Path, *, leave_out: Path) -> Iterator[PhotoSource]:
    """List the pictures of a folder (with its sub-folders) or of a zip.

    Names that begin with a dot and what macOS adds to zips are passed over, and so are
    files that are no pictures by their suffix. Links to folders are followed.

    Args:
        leave_out: a folder whose files do not count, though it may lie in the source.

    Raises:
        DatasetError: the source is missing, no folder and no zip, damaged or encrypted.
        UsageError: the source itself is to be left out.
    """
    if source.is_dir():
        yield _open_folder(source, leave_out=leave_out)
        return
    if not source.exists():
        raise DatasetError(
            f"{source} does not exist. Expected a folder or a zip of photographs there."
        )
    with _open_zip(source) as archive:
        yield _list_zip(source, archive)


def _open_folder(source: Path, *, leave_out: Path) -> PhotoSource:
    if leave_out.resolve() == source.resolve():
        raise UsageError(
            f"{source} holds the photographs, and a training run would put its own pictures "
            "beside them. Choose another folder for the run."
        )

    def read(entry: PhotoEntry) -> bytes:
        _check_size(entry)
        try:
            return (source / entry.name).read_bytes()
        except OSError as error:
            raise DatasetError(f"cannot be read ({error.strerror or error})") from error

    paths = {path.relative_to(source).as_posix(): path for path in _walk(source, leave_out)}
    return _source(source, {name: _entry(name, path) for name, path in paths.items()}, read)


def _walk(source: Path, leave_out: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise DatasetError(
            f"the folder {error.filename} cannot be read ({error.strerror}). "
            "Give yourself permission, or move it elsewhere."
        ) from error

    seen = {leave_out.resolve()}
    for folder, folders, files in os.walk(source, followlinks=True, onerror=refuse):
        here = Path(folder).resolve()
        if here in seen:  # also a link that leads back: without this the walk has no end
            folders.clear()
            continue
        seen.add(here)
        folders.sort()
        for path in (Path(folder, name) for name in files):
            # No pipe, which would be waited for; but a link to nothing, so that it is listed.
            if path.is_file() or not path.exists():
                yield path


def _entry(name: str, path: Path) -> PhotoEntry:
    try:
        status = path.stat()
    except OSError:  # a link to nothing: it is listed, and reading it says so
        return PhotoEntry(name, 0, 0)
    return PhotoEntry(name, status.st_size, status.st_mtime_ns)


def _open_zip(source: Path) -> zipfile.ZipFile:
    if not source.is_file():
        raise DatasetError(f"{source} is neither a folder nor a zip of photographs.")
    try:
        with source.open("rb") as file:
            start = file.read(4)
        return zipfile.ZipFile(source)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        if start == b"PK\x03\x04":
            raise DatasetError(
                f"{source} is a zip that was cut short or damaged ({error}). "
                "Copy or download it again."
            ) from error
        raise DatasetError(
            f"{source} is neither a folder nor a zip of photographs. "
            "Unpack an archive of another kind and give its folder."
        ) from error
    except OSError as error:
        raise DatasetError(f"{source} cannot be read ({error.strerror or error}).") from error


def _list_zip(source: Path, archive: zipfile.ZipFile) -> PhotoSource:
    # Some tools of Windows write backslashes. Of two members of one name the last counts.
    members = {m.filename.replace("\\", "/"): m for m in archive.infolist()}

    def read(entry: PhotoEntry) -> bytes:
        _check_size(entry)
        try:
            with archive.open(members[entry.name]) as file:
                # In pieces, for `read` would unpack at once all that is packed, though it
                # be more than the size that was declared.
                return b"".join(iter(partial(cast(zipfile.ZipExtFile, file).read1, _PIECE), b""))
        except (
            zipfile.BadZipFile,
            zlib.error,
            LZMAError,
            EOFError,
            OSError,
            ValueError,
            NotImplementedError,
            RuntimeError,
            struct.error,
        ) as error:
            raise DatasetError(f"cannot be unpacked ({error})") from error

    entries = {name: PhotoEntry(name, m.file_size, m.CRC) for name, m in members.items()}
    photos = _source(source, entries, read)
    if any(members[entry.name].flag_bits & 1 for entry in photos.photos):
        raise DatasetError(
            f"{source} is encrypted. Unpack it with its password and give the folder."
        )
    return photos


def _check_size(entry: PhotoEntry) -> None:
    if entry.size > MAX_FILE_BYTES:
        raise DatasetError(
            f"{entry.size >> 20} MB, and no photograph has more than {MAX_FILE_BYTES >> 20} MB"
        )


def _source(
    path: Path, entries: dict[str, PhotoEntry], read: Callable[[PhotoEntry], bytes]
) -> PhotoSource:
    photos = tuple(entries[name] for name in sorted(entries) if _is_photo(name))
    return PhotoSource(path, photos, entries.get(INDEX_NAME), read)


def _is_photo(name: str) -> bool:
    path = PurePosixPath(name)
    if name.endswith("/"):  # a folder in a zip
        return False
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return not hidden and path.suffix.lower() in _suffixes()


@cache
def _suffixes() -> frozenset[str]:
    kinds = Image.registered_extensions().items()
    return frozenset(suffix for suffix, kind in kinds if kind in Image.OPEN)


def printable(name: str) -> str:
    """Return a file's name as text that any terminal and file takes.

    On Linux a name may be bytes that are no UTF-8; those appear as escapes.
    """
    return name.encode("utf-8", "backslashreplace").decode()
