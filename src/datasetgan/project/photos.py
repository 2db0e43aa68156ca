"""The photos of a project: copies to paint on, each with the digest that its features belong to."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from datasetgan.dataset import encode_image_png
from datasetgan.dataset.pairs import find_photos, read_photo
from datasetgan.errors import UsageError
from datasetgan.features.source import Photo
from datasetgan.project.layout import ProjectLayout
from datasetgan.project.samples import Sample, read_samples
from datasetgan.serialization import read_json, write_atomic, write_json

__all__ = ["PhotoSample", "Picture", "copy_photos", "read_photos", "read_pictures"]


@dataclass(frozen=True)
class PhotoSample:
    """A photo that is painted, waits to be, or is labelled.

    Attributes:
        key: its name in the project; image and label map are called so.
        path: of its copy, relative to the project's folder, with forward slashes.
        sha256: of the copy.
        name: of the file that it was copied from.
    """

    key: str
    path: str
    sha256: str
    name: str

    def __post_init__(self) -> None:
        _ = self.origin  # checks path and digest

    @property
    def origin(self) -> Photo:
        """What its features come from."""
        return Photo(self.path, self.sha256)


Picture = Sample | PhotoSample
"""Whatever is painted: both have a key and an origin."""


@dataclass(frozen=True)
class _PhotoIndex:
    photos: tuple[PhotoSample, ...]

    def __post_init__(self) -> None:
        keys = [photo.key for photo in self.photos]
        if len(set(keys)) < len(keys):
            raise UsageError("two photos have one key. Take the file back.")


def read_photos(layout: ProjectLayout) -> tuple[PhotoSample, ...]:
    """Return the photos in the order of their names.

    Raises:
        ConfigError: the index is missing or does not parse.
    """
    return read_json(layout.sample_index, _PhotoIndex).photos


def read_pictures(layout: ProjectLayout) -> tuple[Picture, ...]:
    """Return the samples or the photos of a project, whichever it has; none before the first.

    Raises:
        ConfigError: the index does not parse.
    """
    if not layout.sample_index.exists():
        return ()
    try:
        photos = "photos" in json.loads(layout.sample_index.read_bytes())
    except ValueError:
        photos = False  # `read_samples` says what is wrong
    return read_photos(layout) if photos else read_samples(layout)


def copy_photos(
    layout: ProjectLayout, folder: Path, *, on_progress: Callable[[int, int], None] | None = None
) -> tuple[PhotoSample, ...]:
    """Copy the photos of a folder into a new project, as PNG and upright; index last.

    A photo's key is its file's name without suffix; what not every system takes in a
    file's name becomes ``-``.

    Args:
        on_progress: called after every photo with the number done and the total.

    Raises:
        DatasetError: the folder is missing or holds no photo, two share a name, or one
            cannot be read.
        StorageError: the disk is full.
    """
    found = find_photos(folder)
    samples: list[PhotoSample] = []
    taken: set[str] = set()
    for stem, source in sorted(found.items()):
        key = _free_key(stem, taken)
        data = encode_image_png(read_photo(source))
        path = layout.image(key)
        write_atomic(path, data)
        relative = path.relative_to(layout.folder).as_posix()
        samples.append(PhotoSample(key, relative, sha256(data).hexdigest(), source.name))
        if on_progress is not None:
            on_progress(len(samples), len(found))
    write_json(layout.sample_index, _PhotoIndex(tuple(samples)))
    return tuple(samples)


def _free_key(stem: str, taken: set[str]) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.") or "photo"
    key, number = plain, 1
    while key.lower() in taken:  # some systems do not tell A.png from a.png
        number += 1
        key = f"{plain}-{number}"
    taken.add(key.lower())
    return key
