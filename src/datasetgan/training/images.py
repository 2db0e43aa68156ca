"""Training photographs, from a folder or a zip, as one array of square pictures."""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from datasetgan.errors import DatasetError

__all__ = ["MIN_IMAGES", "TrainingImages", "read_training_images", "sample_batch"]

MIN_IMAGES = 100
_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"}


@dataclass(frozen=True)
class TrainingImages:
    """Photographs ready to train on.

    Attributes:
        pixels: [N, R, R, 3] uint8 RGB.
        skipped: names of the files that could not be used, with the reason.
    """

    pixels: NDArray[np.uint8]
    skipped: tuple[str, ...]


def read_training_images(source: Path, *, resolution: int) -> TrainingImages:
    """Read every image of a folder or zip, cropped to its central square and resized.

    Files that are no readable image, or smaller than the resolution, are skipped
    and listed.

    Raises:
        DatasetError: the source is missing, or fewer than `MIN_IMAGES` are usable.
    """
    if not source.exists():
        raise DatasetError(f"no photographs: {source} does not exist.")
    pictures: list[NDArray[np.uint8]] = []
    skipped: list[str] = []
    for name, data in _files(source):
        try:
            with Image.open(BytesIO(data)) as image:
                rgb = image.convert("RGB")
        except (UnidentifiedImageError, OSError, ValueError) as error:
            skipped.append(f"{name}: not a readable image ({error})")
            continue
        side = min(rgb.size)
        if side < resolution:
            skipped.append(f"{name}: {rgb.width}x{rgb.height} is smaller than {resolution}")
            continue
        left, top = (rgb.width - side) // 2, (rgb.height - side) // 2
        square = rgb.crop((left, top, left + side, top + side))
        pictures.append(np.asarray(square.resize((resolution, resolution), Image.Resampling.BOX)))
    if len(pictures) < MIN_IMAGES:
        raise DatasetError(
            f"{source} holds {len(pictures)} usable images ({len(skipped)} skipped); "
            f"a generator needs at least {MIN_IMAGES} to learn anything but copies."
        )
    return TrainingImages(np.stack(pictures), tuple(skipped))


def _files(source: Path) -> Iterator[tuple[str, bytes]]:
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            if path.suffix.lower() in _SUFFIXES:
                yield str(path.relative_to(source)), path.read_bytes()
        return
    try:
        with zipfile.ZipFile(source) as archive:
            for name in sorted(archive.namelist()):
                if PurePosixPath(name).suffix.lower() in _SUFFIXES:
                    yield name, archive.read(name)
    except zipfile.BadZipFile as error:
        raise DatasetError(f"{source} is neither a folder nor a zip of images.") from error


def sample_batch(
    images: TrainingImages, batch: int, *, generator: torch.Generator, dihedral: bool
) -> Tensor:
    """Draw images with replacement, as float [batch, 3, R, R] in [-1, 1].

    Args:
        dihedral: turn and mirror each by a random one of the square's eight symmetries.
    """
    rows = torch.randint(len(images.pixels), (batch,), generator=generator)
    pictures = torch.from_numpy(images.pixels[rows.numpy()]).permute(0, 3, 1, 2)
    pictures = pictures.float() / 127.5 - 1
    if not dihedral:
        return pictures
    turns = torch.randint(8, (batch,), generator=generator).tolist()
    turned = []
    for picture, turn in zip(pictures, turns, strict=True):
        quarter = torch.rot90(picture, turn % 4, dims=(1, 2))
        turned.append(quarter.flip(2) if turn >= 4 else quarter)
    return torch.stack(turned)
