"""Training photographs as one array on disk, and batches of it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from datasetgan.choices import Crop, LabelSource, Symmetry
from datasetgan.errors import ConfigError, DatasetError, StorageError, UsageError, unknown_name
from datasetgan.gan_training.photos.classes import (
    PhotoClasses,
    check_every_class_is_used,
    read_classes,
)
from datasetgan.gan_training.photos.files import PhotoSource, open_photos, printable
from datasetgan.gan_training.photos.pixels import decode_photo
from datasetgan.gan_training.photos.symmetry import apply_symmetry, draw_symmetries
from datasetgan.serialization import atomic_file, read_json, storage_errors, write_json

__all__ = [
    "MIN_IMAGES",
    "Crop",
    "LabelSource",
    "RealBatch",
    "TrainingImages",
    "read_training_images",
    "sample_batch",
]

MIN_IMAGES = 100

# Part of the fingerprint: a change of what is made of a photograph makes old caches void.
_CACHE_FORMAT = 1
_MAX_LISTED = 3


@dataclass(frozen=True)
class TrainingImages:
    """Photographs ready to train on.

    Attributes:
        pixels: [N, R, R, 3] uint8 RGB, read-only; it stays on disk and pages come as needed.
        class_ids: [N] int64, 0 to K - 1; None where the photographs have no classes.
        class_names: K names in the order of ids; empty without classes.
        skipped: names of the files that could not be used, with the reason.
        digest: SHA-256, hexadecimal, of the bytes of `pixels`, then of `class_ids`
            (little-endian): it depends on nothing else.
    """

    pixels: NDArray[np.uint8]
    class_ids: NDArray[np.int64] | None
    class_names: tuple[str, ...]
    skipped: tuple[str, ...]
    digest: str

    @property
    def num_classes(self) -> int:
        """K; 0 without classes."""
        return len(self.class_names)


@dataclass(frozen=True)
class RealBatch:
    """Photographs of one step.

    Attributes:
        pictures: [B, 3, R, R] float32 in [-1, 1].
        class_labels: [B, K] float32, one-hot; None without classes.
    """

    pictures: Tensor
    class_labels: Tensor | None


@dataclass(frozen=True)
class _Record:
    """What lies beside the pixels. It is written last: with it, the cache is complete."""

    fingerprint: str
    digest: str
    class_names: tuple[str, ...]
    skipped: tuple[str, ...]
    class_ids: tuple[int, ...] | None = None


def read_training_images(
    source: Path,
    *,
    resolution: int,
    cache: Path,
    crop: Crop = "center",
    labels: LabelSource = "none",
    on_progress: Callable[[int, int], None] | None = None,
) -> TrainingImages:
    """Read every photograph of a folder or zip into ``cache/photos.npy``, and map that file.

    One photograph is in memory at a time. Those that cannot be read, or are smaller
    than the resolution, are skipped and listed. A complete cache of the same files (by
    name, size and time of change, or CRC in a zip) and settings is taken as it is.

    Args:
        resolution: R, side of the pictures in pixels.
        cache: folder of the training run; made where missing. Files in it are no photographs.
        crop: how a photograph becomes square.
        labels: where classes come from; see `read_classes`.
        on_progress: called after every file with the number done and the total; not at
            all where the cache is taken.

    Raises:
        DatasetError: the source is missing, damaged, encrypted or neither folder nor zip,
            fewer than `MIN_IMAGES` are usable, or the class labels do not fit.
        StorageError: the disk is full or the cache cannot be written; nothing half-made
            is left behind.
        UsageError: a setting is unknown or out of range, or the cache is the source.
    """
    if resolution < 1:
        raise UsageError(f"the resolution must be at least 1 pixel, got {resolution}.")
    if crop not in get_args(Crop):
        raise UsageError(unknown_name("crop", crop, get_args(Crop)))
    with open_photos(source, leave_out=cache) as photos:
        classes = read_classes(photos, labels)
        files = [photos.index, *photos.photos] if labels == "file" else photos.photos
        listed = [(entry.name, entry.size, entry.stamp) for entry in files if entry is not None]
        settings = [_CACHE_FORMAT, resolution, crop, labels, listed]
        fingerprint = sha256(json.dumps(settings).encode()).hexdigest()
        images = _read_cache(cache, fingerprint=fingerprint, resolution=resolution)
        if images is None:
            _write_cache(
                cache,
                photos,
                classes,
                resolution=resolution,
                crop=crop,
                fingerprint=fingerprint,
                on_progress=on_progress,
            )
            images = _read_cache(cache, fingerprint=fingerprint, resolution=resolution)
    if images is None:
        raise StorageError(
            f"{cache} does not hold what was just written to it. Does another run use it? "
            "Give every run a folder of its own."
        )
    return images


def _files(cache: Path) -> tuple[Path, Path]:
    return cache / "photos.npy", cache / "photos.json"


def _read_cache(cache: Path, *, fingerprint: str, resolution: int) -> TrainingImages | None:
    """Map a complete cache; None where there is none of this fingerprint."""
    pixels_path, record_path = _files(cache)
    try:
        record = read_json(record_path, _Record)
        pixels = cast(NDArray[np.uint8], np.load(pixels_path, mmap_mode="r"))
    except (ConfigError, OSError, ValueError, EOFError):
        return None
    ids = None if record.class_ids is None else np.array(record.class_ids, dtype=np.int64)
    fits = pixels.dtype == np.uint8 and pixels.shape[1:] == (resolution, resolution, 3)
    if (
        record.fingerprint != fingerprint
        or not fits
        or (ids is not None and len(ids) != len(pixels))
    ):
        return None
    return TrainingImages(pixels, ids, record.class_names, record.skipped, record.digest)


def _write_cache(
    cache: Path,
    photos: PhotoSource,
    classes: PhotoClasses | None,
    *,
    resolution: int,
    crop: Crop,
    fingerprint: str,
    on_progress: Callable[[int, int], None] | None,
) -> None:
    pixels_path, record_path = _files(cache)
    if cache.exists() and not cache.is_dir():
        raise StorageError(f"cannot write {pixels_path}: {cache} is a file. Choose another place.")
    with storage_errors(record_path):
        # First, or an interruption could leave it beside pixels that it does not describe.
        record_path.unlink(missing_ok=True)
    digest = sha256()
    used: list[str] = []
    skipped: list[str] = []
    with atomic_file(pixels_path) as file:
        file.write(_npy_header(0, resolution))
        for done, entry in enumerate(photos.photos, start=1):
            try:
                photo = decode_photo(photos.read(entry), resolution=resolution, crop=crop)
            except DatasetError as error:
                skipped.append(f"{printable(entry.name)}: {error}")
            else:
                file.write(photo.data)
                digest.update(photo.data)
                used.append(entry.name)
            if on_progress is not None:
                on_progress(done, len(photos.photos))
        _check_enough(photos.path, len(used), skipped)
        ids = None if classes is None else tuple(classes.id_of[name] for name in used)
        if classes is not None and ids is not None:
            check_every_class_is_used(photos.path, classes, ids)
            digest.update(np.array(ids, dtype="<i8").tobytes())
        file.seek(0)
        file.write(_npy_header(len(used), resolution))
    names = () if classes is None else classes.names
    record = _Record(fingerprint, digest.hexdigest(), names, tuple(skipped), ids)
    write_json(record_path, record)


def _npy_header(count: int, resolution: int) -> bytes:
    """Return 128 bytes that begin an .npy file (format 1.0) of count pictures."""
    # Of fixed length, to be written again over itself once the count is known.
    shape = (count, resolution, resolution, 3)
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + f"{text:117}\n".encode()


def _check_enough(source: Path, count: int, skipped: list[str]) -> None:
    if count >= MIN_IMAGES:
        return
    reasons = "; ".join(skipped[:_MAX_LISTED]) + ("; ..." if len(skipped) > _MAX_LISTED else "")
    raise DatasetError(
        f"{source} holds {count} usable photographs ({len(skipped)} skipped"
        f"{': ' if reasons else ''}{reasons}). A generator needs at least {MIN_IMAGES} to learn "
        "anything but copies: add photographs, or choose a lower resolution if these are too small."
    )


def sample_batch(
    images: TrainingImages, batch: int, *, generator: torch.Generator, symmetry: Symmetry
) -> RealBatch:
    """Draw photographs with replacement.

    Args:
        batch: B, how many.
        generator: on the CPU; what is drawn from it does not depend on class labels.
        symmetry: each photograph is turned and mirrored by a random one of these.

    Raises:
        UsageError: the symmetry is unknown.
    """
    rows = torch.randint(len(images.pixels), (batch,), generator=generator)
    choices = draw_symmetries(symmetry, batch, generator=generator)
    pixels = torch.from_numpy(np.asarray(images.pixels[rows.numpy()]))  # [B, R, R, 3]
    # Bytes in planes are turned twice as fast as floats or whole pixels.
    planes = pixels.permute(0, 3, 1, 2).contiguous()  # [B, 3, R, R]
    pictures = apply_symmetry(planes, choices).float().div_(127.5).sub_(1)
    if images.class_ids is None:
        return RealBatch(pictures, None)
    ids = torch.from_numpy(images.class_ids[rows.numpy()])
    return RealBatch(pictures, F.one_hot(ids, images.num_classes).float())
