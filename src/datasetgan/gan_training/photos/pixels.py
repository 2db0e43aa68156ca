"""One photograph of any format as one square of RGB."""

import warnings
from functools import cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from datasetgan.choices import Crop
from datasetgan.errors import DatasetError

__all__ = ["decode_photo"]

# What brings each EXIF orientation upright; 1 is upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_photo(data: bytes, *, resolution: int, crop: Crop) -> NDArray[np.uint8]:
    """Decode a file that Pillow reads into a picture [resolution, resolution, 3] uint8 RGB.

    The picture is upright by its EXIF orientation and stands on white where it is
    transparent. 16 bits of grey become 8 by division, so all photographs keep one
    scale. Of an animation the first frame counts. Colour profiles are ignored, as
    StyleGAN's tools do. It is made smaller without aliasing: by the mean of whole
    blocks where the factor is an integer, else by a Lanczos filter.

    Raises:
        DatasetError: why it cannot be used, in words that follow the file's name.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd metadata, which is no concern here.
            warnings.simplefilter("ignore")
            # Pixels of more than Pillow's limit could fill the memory.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(BytesIO(data), formats=_formats()) as image:
                if min(image.size) < resolution:
                    raise DatasetError(f"{image.width}x{image.height} is smaller than {resolution}")
                image.load()
                square = _crop(_upright(image), crop)
                return np.array(_shrink(_to_rgb(square), resolution))
    except DatasetError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DatasetError(f"too many pixels ({error})") from error
    except UnidentifiedImageError as error:
        raise DatasetError("not a readable image (of no format that Pillow knows)") from error
    # Pillow's decoders raise nearly anything for damaged files.
    except Exception as error:
        raise DatasetError(f"not a readable image ({error})") from error


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    # To draw EPS, Pillow runs the program Ghostscript: not on files from anywhere.
    return tuple(sorted(Image.OPEN.keys() - {"EPS"}))


def _upright(image: Image.Image) -> Image.Image:
    # After loading: a PNG may hold it behind the pixels, and a TIFF is turned already.
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # broken EXIF says nothing: viewers show such a photo as it is stored
        return image
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _crop(image: Image.Image, crop: Crop) -> Image.Image:
    if crop == "resize":
        return image
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise DatasetError("pixels in floating point have no one brightness; save it with 8 bits")
    if image.mode.startswith("I"):  # "I;16" in either byte order, and "I" of 32 bits
        return _scale_16_bits(image).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def _scale_16_bits(image: Image.Image) -> Image.Image:
    grey = np.asarray(image).astype(np.int32)
    if grey.min() < 0 or grey.max() > 65535:
        raise DatasetError("grey values beyond 16 bits have no one brightness; save it with 8 bits")
    return Image.fromarray(((grey + 128) // 257).astype(np.uint8))  # 65535 = 255 * 257


def _shrink(image: Image.Image, resolution: int) -> Image.Image:
    if image.width % resolution == 0 and image.height % resolution == 0:
        return image.reduce((image.width // resolution, image.height // resolution))
    return image.resize((resolution, resolution), Image.Resampling.LANCZOS)
