"""Photos with the masks that were painted over them, matched by file name."""

import struct
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from datasetgan.errors import DatasetError, listed

__all__ = ["PhotoPair", "find_pairs", "find_photos", "read_photo"]

_MAX_LISTED = 10
# What `convert("RGB")` turns into 8 bits without losing the picture.
_MODES = frozenset(
    {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"}
)


@dataclass(frozen=True)
class PhotoPair:
    """A photo and its mask.

    Attributes:
        name: the file name that both share, without suffix.
        photo: any picture file that Pillow reads.
        mask: a PNG as `read_label_png` takes it.
    """

    name: str
    photo: Path
    mask: Path


def find_pairs(photos: Path, masks: Path) -> tuple[PhotoPair, ...]:
    """Match the photos of one folder with the PNG masks of another by file stem.

    Hidden files and files that are no pictures (a licence, a table) are passed over.

    Returns:
        The pairs in the order of their names.

    Raises:
        DatasetError: a folder is missing or holds no picture, two files share a
            stem, or a photo or a mask has no partner; the message lists them.
    """
    photo_of = find_photos(photos)
    mask_of = _by_stem(masks, frozenset({".png"}), what="mask (PNG)")
    alone = [str(photo_of[stem]) for stem in sorted(photo_of.keys() - mask_of.keys())]
    orphans = [str(mask_of[stem]) for stem in sorted(mask_of.keys() - photo_of.keys())]
    problems = []
    if alone:
        problems.append(f"photos without a mask: {listed(alone, most=_MAX_LISTED)}")
    if orphans:
        problems.append(f"masks without a photo: {listed(orphans, most=_MAX_LISTED)}")
    if problems:
        raise DatasetError(
            f"photos and masks do not match; {'; '.join(problems)}. "
            f"A mask in {masks} has the name of its photo in {photos} and ends in .png."
        )
    return tuple(PhotoPair(stem, photo_of[stem], mask_of[stem]) for stem in sorted(photo_of))


def find_photos(folder: Path) -> dict[str, Path]:
    """Return the pictures of a folder by file stem; other and hidden files are passed over.

    Raises:
        DatasetError: the folder is missing or holds no picture, or two share a stem.
    """
    readable = frozenset(
        suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN
    )
    return _by_stem(folder, readable, what="photo")


def _by_stem(folder: Path, suffixes: frozenset[str], *, what: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise DatasetError(f"{folder} is no folder. Expected one that holds a {what} per file.")
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file():
            found[path.stem].append(path)
    if not found:
        raise DatasetError(f"{folder} holds no {what}.")
    twins = [p.name for paths in found.values() if len(paths) > 1 for p in paths]
    if twins:
        raise DatasetError(
            f"{folder} holds several files of one name: {listed(twins, most=_MAX_LISTED)}. "
            "Keep one of each; photos and masks belong into folders of their own."
        )
    return {stem: paths[0] for stem, paths in found.items()}


def read_photo(path: Path) -> NDArray[np.uint8]:
    """Read a photo as viewers show it: upright by its EXIF orientation, transparency dropped.

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        DatasetError: the file is missing, no picture, damaged, or has more than
            8 bits per channel in a way that has no one rendering.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in _MODES:
                raise DatasetError(
                    f"{path} has pixels of mode {image.mode!r}. Convert it to 8 bits per channel."
                )
            upright = ImageOps.exif_transpose(image)
            return np.array(upright.convert("RGB"))
    except FileNotFoundError as error:
        raise DatasetError(f"{path} does not exist. Expected a photo there.") from error
    # Pillow's decoders raise all of these for damaged files.
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        struct.error,
        Image.DecompressionBombError,
    ) as error:
        raise DatasetError(f"{path} cannot be read as a picture ({error}).") from error
