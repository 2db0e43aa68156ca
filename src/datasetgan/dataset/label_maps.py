"""Label maps as PNG files, ours and those that people paint."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasetgan.errors import LabelError
from datasetgan.serialization import write_atomic
from datasetgan.taxonomy import IGNORE_INDEX, ClassTaxonomy, LabelClass

__all__ = ["encode_label_png", "read_label_png", "write_label_png"]

Bytes = NDArray[np.uint8]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _INDEXED, _RGBA = 0, 2, 3, 6
_COLOR_TYPES = {
    _GREY: "grey",
    _RGB: "RGB",
    _INDEXED: "indexed",
    4: "grey with alpha",
    _RGBA: "RGBA",
}
_WHITE = 0xFFFFFF
# No mask of this size is meant; a forged header must not ask for all memory.
_MAX_SIDE = 32768
_SAVE_AS = "Save it as an indexed, 8-bit grey or RGB PNG"


def encode_label_png(label_map: NDArray[np.integer], taxonomy: ClassTaxonomy) -> bytes:
    """Encode a label map as an 8-bit indexed PNG with the taxonomy's colours.

    The bytes depend on the arguments alone, for one build of Pillow.

    Args:
        label_map: [H, W] class ids; `IGNORE_INDEX` for unpainted pixels, which are white.

    Raises:
        LabelError: the array is not [H, W] integers, or holds an id that the taxonomy does
            not know.
    """
    if label_map.ndim != 2 or 0 in label_map.shape or label_map.dtype.kind not in "ui":
        raise LabelError(
            f"a label map must be [height, width] integers, got {list(label_map.shape)} "
            f"{label_map.dtype}."
        )
    _check_ids(label_map, taxonomy, source="label map")
    image = Image.fromarray(np.ascontiguousarray(label_map, dtype=np.uint8))
    image.putpalette(taxonomy.palette)
    buffer = BytesIO()
    # Label maps are mostly flat: a higher level would gain little and take long.
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def write_label_png(path: Path, label_map: NDArray[np.integer], taxonomy: ClassTaxonomy) -> None:
    """Write a label map as an 8-bit indexed PNG, atomically; see `encode_label_png`.

    Raises:
        LabelError: as `encode_label_png`.
        StorageError: the disk is full or the place cannot be written.
    """
    write_atomic(path, encode_label_png(label_map, taxonomy))


def read_label_png(
    path: Path,
    taxonomy: ClassTaxonomy,
    *,
    size: tuple[int, int] | None = None,
    unpainted: Literal["allowed", "refused"] = "refused",
) -> Bytes:
    """Read a label map that a person or a program painted.

    Three kinds of PNG are taken:

    - indexed: the index of a pixel is its class id, 255 is unpainted. The palette
      may show other colours than the taxonomy; ids count. One that shows a class
      in the colour of another is refused: a program has sorted the palette anew.
    - 8-bit grey: the value of a pixel is its class id, 255 is unpainted.
    - 8-bit RGB or RGBA: the colour of a class; white or fully transparent is unpainted.

    Args:
        path: the file.
        taxonomy: the classes with their colours.
        size: (height, width) that the map must have; any by default.
        unpainted: whether a map without a painted pixel is one.

    Returns:
        [H, W] uint8 class ids, `IGNORE_INDEX` where nobody painted.

    Raises:
        LabelError: the file is missing, no PNG or damaged, of another size or kind,
            holds an unknown id or colour or a half-transparent pixel, or is unpainted.
    """
    header = _read_header(path)
    if size is not None and (header.height, header.width) != size:
        raise LabelError(
            f"{path} is {header.width}x{header.height} pixels, expected {size[1]}x{size[0]} "
            "(width x height). Paint on the image at its own size and export without scaling."
        )
    if header.color_type == _INDEXED or (header.color_type == _GREY and header.depth == 8):
        label_map = _read_ids(path, taxonomy)
    elif header.color_type in (_RGB, _RGBA) and header.depth == 8:
        label_map = _read_colors(path, taxonomy)
    else:
        raise LabelError(
            f"{path} is a {header.depth}-bit {_COLOR_TYPES[header.color_type]} PNG; its values "
            f"are no class ids. {_SAVE_AS}."
        )
    if unpainted == "refused" and not (label_map != IGNORE_INDEX).any():
        raise LabelError(
            f"{path} is empty: no pixel is painted. "
            "Paint at least one region, or leave the file out."
        )
    return label_map


@dataclass(frozen=True)
class _Header:
    width: int
    height: int
    depth: int
    color_type: int


def _read_header(path: Path) -> _Header:
    """Read what Pillow does not tell: the stored depth and colour type (PNG spec. 11.2.1)."""
    with _readable(path), path.open("rb") as file:
        head = file.read(33)
    if not head.startswith(_SIGNATURE):
        raise LabelError(
            f"{path} is no PNG file. {_SAVE_AS}; JPEG blends the colours of neighbouring classes."
        )
    if len(head) < 33:
        raise LabelError(f"{path} is truncated. Export it again.")
    width, height, depth, color_type = struct.unpack(">IIBB", head[16:26])
    intact = head[12:16] == b"IHDR" and zlib.crc32(head[12:29]) == int.from_bytes(head[29:])
    if not intact or color_type not in _COLOR_TYPES:
        raise LabelError(f"{path} is damaged: its PNG header is not valid. Export it again.")
    if min(width, height) < 1 or max(width, height) > _MAX_SIDE:
        raise LabelError(
            f"{path} claims to be {width}x{height} pixels; at most {_MAX_SIDE} a side are taken."
        )
    return _Header(width, height, depth, color_type)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn every way in which a file fails to be read into one `LabelError`."""
    try:
        yield
    except FileNotFoundError as error:
        raise LabelError(f"{path} does not exist. Expected a label map (PNG) there.") from error
    # Pillow's decoders raise all of these for damaged files.
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        struct.error,
        zlib.error,
        Image.DecompressionBombError,
    ) as error:
        raise LabelError(f"{path} cannot be read ({error}). Export it again.") from error


def _read_ids(path: Path, taxonomy: ClassTaxonomy) -> Bytes:
    with _readable(path), Image.open(path, formats=["PNG"]) as image:
        label_map = np.array(image)
        palette = image.getpalette("RGB") if image.mode == "P" else None
    _check_ids(label_map, taxonomy, source=str(path))
    if palette is not None:
        _check_palette(path, label_map, taxonomy, palette=palette)
    return label_map


def _check_ids(label_map: NDArray[np.integer], taxonomy: ClassTaxonomy, *, source: str) -> None:
    unknown = ((label_map < 0) | (label_map >= len(taxonomy))) & (label_map != IGNORE_INDEX)
    if unknown.any():
        row, column = _first(unknown)
        classes = ", ".join(f"{c.id} {c.name}" for c in taxonomy.classes)
        raise LabelError(
            f"{source} holds class id {label_map[row, column]} (first at row {row}, column "
            f"{column}; {unknown.sum()} unknown pixels), which the taxonomy does not know. "
            f"Valid: {classes}; {IGNORE_INDEX} is unpainted."
        )


def _check_palette(
    path: Path, label_map: Bytes, taxonomy: ClassTaxonomy, *, palette: list[int]
) -> None:
    """Refuse ids that are shown in the colour of another class.

    Black is left out: editors fill the unused end of a palette with it.
    """
    by_color = {c.color: c for c in taxonomy.classes if any(c.color)}
    for id_ in np.unique(label_map).tolist():
        shown = by_color.get((*palette[3 * id_ : 3 * id_ + 3],))  # type: ignore[arg-type]
        if shown is not None and shown.id != id_:
            meant = "unpainted" if id_ == IGNORE_INDEX else taxonomy.classes[id_].name
            raise LabelError(
                f"{path}: index {id_} ({meant}) is shown in the colour of class {shown.id} "
                f"({shown.name}), so the palette was sorted anew and ids cannot be told. "
                "Save it as an RGB PNG."
            )


def _read_colors(path: Path, taxonomy: ClassTaxonomy) -> Bytes:
    with _readable(path), Image.open(path, formats=["PNG"]) as image:
        # RGBA also shows the transparent colour that an RGB file may name.
        rgba = np.array(image.convert("RGBA"))
    alpha = rgba[..., 3]
    blended = (alpha > 0) & (alpha < 255)
    if blended.any():
        row, column = _first(blended)
        raise LabelError(
            f"{path}: the pixel at row {row}, column {column} is half transparent "
            f"({blended.sum()} such pixels). Paint with a hard, opaque brush."
        )
    codes = rgba[..., :3].astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.int32)
    codes[alpha == 0] = _WHITE
    label_map = np.full(codes.shape, IGNORE_INDEX, dtype=np.uint8)
    known = codes == _WHITE
    for c in taxonomy.classes:
        of_class = codes == (c.color[0] << 16 | c.color[1] << 8 | c.color[2])
        label_map[of_class] = c.id
        known |= of_class
    if not known.all():
        row, column = _first(~known)
        color = (*rgba[row, column, :3].tolist(),)
        nearest = _nearest(color, taxonomy)
        raise LabelError(
            f"{path}: the colour {color} (first at row {row}, column {column}; {(~known).sum()} "
            f"such pixels) belongs to no class. The nearest is {nearest.name!r} {nearest.color}. "
            "Paint with the exact colours of the classes and a hard brush, without anti-aliasing."
        )
    return label_map


def _nearest(color: tuple[int, ...], taxonomy: ClassTaxonomy) -> LabelClass:
    return min(
        taxonomy.classes,
        key=lambda c: sum((a - b) ** 2 for a, b in zip(c.color, color, strict=True)),
    )


def _first(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the (row, column) of the first true pixel in reading order."""
    row, column = divmod(int(mask.argmax()), mask.shape[1])
    return row, column
