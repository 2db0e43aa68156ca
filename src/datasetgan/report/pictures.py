"""Arrays to the small pictures of the page."""

from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasetgan.dataset import encode_label_png
from datasetgan.taxonomy import IGNORE_INDEX, ClassTaxonomy

__all__ = [
    "MAX_SIDE",
    "Picture",
    "difference_picture",
    "heat_colors",
    "heat_picture",
    "image_picture",
    "label_picture",
    "overlay_picture",
    "shrink_image",
    "shrink_label_map",
    "shrink_uncertainty",
]

Bytes = NDArray[np.uint8]

MAX_SIDE = 256
"""Larger pictures shrink to this many pixels on their longer side."""

# Up to here pixels are kept exactly; beyond, JPEG keeps the page small.
_MAX_EXACT = 128
_TINT = 0.55
_WRONG = (214, 0, 147)


@dataclass(frozen=True)
class Picture:
    """An encoded picture.

    Attributes:
        data: the file's bytes.
        mime: its type.
        width: pixels.
        height: pixels.
    """

    data: bytes
    mime: Literal["image/png", "image/jpeg"]
    width: int
    height: int

    @property
    def uri(self) -> str:
        """The picture as the source of an `<img>`."""
        return f"data:{self.mime};base64,{b64encode(self.data).decode('ascii')}"

    @property
    def rendering(self) -> str:
        """CSS class: whether a browser that enlarges it is to show square pixels."""
        return "pixels" if max(self.width, self.height) <= _MAX_EXACT else "smooth"


def _shown_size(height: int, width: int) -> tuple[int, int]:
    factor = min(1.0, MAX_SIDE / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def shrink_image(image: Bytes) -> Bytes:
    """Bring an image [H, W, 3] to at most `MAX_SIDE` pixels a side, antialiased."""
    return _shrink(image, Image.Resampling.LANCZOS)


def shrink_label_map(label_map: Bytes) -> Bytes:
    """Bring a label map [H, W] to at most `MAX_SIDE` pixels a side, each a pixel of before."""
    return _shrink(label_map, Image.Resampling.NEAREST)


def _shrink(pixels: Bytes, resampling: Image.Resampling) -> Bytes:
    height, width = _shown_size(*pixels.shape[:2])
    if (height, width) == pixels.shape[:2]:
        return pixels
    return np.array(Image.fromarray(pixels).resize((width, height), resampling))


def shrink_uncertainty(uncertainty: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring an uncertainty map [H, W] to at most `MAX_SIDE` pixels a side, averaging."""
    height, width = _shown_size(*uncertainty.shape)
    if (height, width) == uncertainty.shape:
        return uncertainty
    image = Image.fromarray(uncertainty).resize((width, height), Image.Resampling.BOX)
    return np.array(image, dtype=np.float32)


def image_picture(image: Bytes) -> Picture:
    """Encode an image [H, W, 3]: exactly up to 128 pixels a side, as JPEG beyond."""
    height, width = image.shape[:2]
    buffer = BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(image))
    if max(height, width) <= _MAX_EXACT:
        picture.save(buffer, "PNG", optimize=True)
        return Picture(buffer.getvalue(), "image/png", width, height)
    picture.save(buffer, "JPEG", quality=88, subsampling=0)
    return Picture(buffer.getvalue(), "image/jpeg", width, height)


def label_picture(label_map: Bytes, taxonomy: ClassTaxonomy) -> Picture:
    """Encode a label map [H, W] in the colours of its classes; unpainted pixels are white."""
    height, width = label_map.shape
    return Picture(encode_label_png(label_map, taxonomy), "image/png", width, height)


def overlay_picture(image: Bytes, label_map: Bytes, taxonomy: ClassTaxonomy) -> Picture:
    """Tint an image [H, W, 3] with its label map [h, w]; the background shows as it is."""
    height, width = image.shape[:2]
    if label_map.shape != (height, width):
        stretched = Image.fromarray(label_map).resize((width, height), Image.Resampling.NEAREST)
        label_map = np.array(stretched)
    colors = taxonomy.colorize(label_map).astype(np.float64)
    alpha = np.where(label_map == 0, 0.0, _TINT)[..., None]
    blended = np.rint(image * (1 - alpha) + colors * alpha)
    return image_picture(blended.astype(np.uint8))


@cache
def heat_colors() -> Bytes:
    """Return the 256 RGB colours [256, 3] of a heat map, from dark to light."""
    from matplotlib import colormaps

    table = colormaps["magma"](np.arange(256), bytes=True)
    return np.ascontiguousarray(np.asarray(table, dtype=np.uint8)[:, :3])


def heat_picture(uncertainty: NDArray[np.float32], *, limit: float) -> Picture:
    """Encode an uncertainty map [H, W] in colours from 0 to `limit` nats and above."""
    levels = np.rint(np.clip(uncertainty / limit, 0, 1) * 255).astype(np.uint8)
    image = Image.fromarray(levels)
    image.putpalette(heat_colors().reshape(-1).tolist())
    buffer = BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return Picture(buffer.getvalue(), "image/png", levels.shape[1], levels.shape[0])


def difference_picture(photo: Bytes, truth: Bytes, prediction: Bytes) -> Picture:
    """Show the pixels [H, W] that are wrong in magenta over the photo in pale grey.

    Unpainted pixels of the truth are not scored: they are white.
    """
    grey = photo.astype(np.float64) @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    pale = np.rint(105 + grey * 0.5).astype(np.uint8)
    picture = np.repeat(pale[..., None], 3, axis=2)
    picture[truth != prediction] = _WRONG
    picture[truth == IGNORE_INDEX] = 255
    return image_picture(picture)
