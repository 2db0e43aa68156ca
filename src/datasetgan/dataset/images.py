"""Pictures and uncertainty maps of a dataset as PNG bytes, exact both ways."""

from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasetgan.errors import DatasetError, UsageError

__all__ = [
    "UNCERTAINTY_SCALE",
    "encode_image_png",
    "encode_uncertainty_png",
    "read_image_png",
    "read_uncertainty_png",
]

UNCERTAINTY_SCALE = 1e-4
"""Nats per grey step of a stored uncertainty map.

A Jensen-Shannon divergence is at most ln K <= ln 255 = 5.54 nats for K classes,
and 16 bits reach 6.55.
"""

_MAX_GREY = 65535


def encode_image_png(image: NDArray[np.uint8]) -> bytes:
    """Encode a picture [H, W, 3] uint8 RGB; the bytes depend on it alone, for one Pillow."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise UsageError(
            f"an image must be [H, W, 3] uint8, got {list(image.shape)} {image.dtype}."
        )
    return _encode(Image.fromarray(np.ascontiguousarray(image)))


def encode_uncertainty_png(uncertainty: NDArray[np.floating]) -> bytes:
    """Encode an uncertainty map [H, W], nats, as 16-bit grey; see `UNCERTAINTY_SCALE`.

    Raises:
        UsageError: the map is not [H, W], or a value is not within 0 to 6.55 nats.
    """
    if uncertainty.ndim != 2:
        raise UsageError(f"an uncertainty map must be [H, W], got {list(uncertainty.shape)}.")
    grey = np.rint(uncertainty.astype(np.float64) / UNCERTAINTY_SCALE)
    # NaN fails both comparisons, so it is caught as well.
    if not ((grey >= 0) & (grey <= _MAX_GREY)).all():
        limit = _MAX_GREY * UNCERTAINTY_SCALE
        raise UsageError(f"an uncertainty map must hold values from 0 to {limit:.2f} nats.")
    return _encode(Image.fromarray(grey.astype(np.uint16)))


def _encode(image: Image.Image) -> bytes:
    buffer = BytesIO()
    # Writing is to keep pace with a generator on a GPU: little compression, much speed.
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def read_image_png(path: Path, *, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Read a picture [H, W, 3] uint8 RGB that `encode_image_png` made.

    Args:
        size: (height, width) that it must have.

    Raises:
        DatasetError: the file is missing, damaged, or of another size or kind.
    """
    return _read(path, size=size, mode="RGB")


def read_uncertainty_png(
    path: Path, *, size: tuple[int, int], scale: float = UNCERTAINTY_SCALE
) -> NDArray[np.float32]:
    """Read an uncertainty map [H, W] float32, nats, that `encode_uncertainty_png` made.

    Args:
        size: (height, width) that it must have.
        scale: nats per grey step, from the dataset's manifest.

    Raises:
        DatasetError: the file is missing, damaged, or of another size or kind.
    """
    grey = _read(path, size=size, mode="I;16")
    return (grey * scale).astype(np.float32)


def _read(path: Path, *, size: tuple[int, int], mode: str) -> NDArray[np.uint8]:
    try:
        with Image.open(path, formats=["PNG"]) as image:
            pixels = np.array(image)
            came = (image.mode, image.height, image.width)
    except FileNotFoundError as error:
        raise DatasetError(f"{path} is missing from the dataset. Generate it again.") from error
    # Pillow's decoder raises all of these for damaged files.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DatasetError(
            f"{path} is damaged ({error}). Generate the dataset again in a new folder."
        ) from error
    if came != (mode, *size):
        raise DatasetError(
            f"{path} is {came[2]}x{came[1]} pixels of mode {came[0]}, the manifest says "
            f"{size[1]}x{size[0]} of mode {mode}. It was altered: generate the dataset again."
        )
    return pixels
