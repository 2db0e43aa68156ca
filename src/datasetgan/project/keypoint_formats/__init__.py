"""Keypoints from other tools, one file per format, each in the registry `KEYPOINT_FORMATS`."""

from collections.abc import Mapping
from pathlib import Path

from datasetgan.errors import LabelError, UsageError, unknown_name
from datasetgan.keypoints import Keypoints
from datasetgan.project.keypoint_formats.base import (
    KeypointReader,
    KeypointSource,
    KeypointTarget,
)
from datasetgan.project.keypoint_formats.coco import read_coco
from datasetgan.project.keypoint_formats.cvat import read_cvat

__all__ = ["KEYPOINT_FORMATS", "KeypointReader", "KeypointTarget", "read_keypoint_file"]

KEYPOINT_FORMATS: Mapping[str, KeypointReader] = {"coco": read_coco, "cvat": read_cvat}
"""The reader of each format by name."""

# The largest published set of keypoints (COCO 2017) is half of this.
_MAX_BYTES = 512 * 1024 * 1024


def read_keypoint_file(
    path: Path, target: KeypointTarget, *, keypoint_format: str = "auto"
) -> dict[str, Keypoints]:
    """Read and check a whole file of keypoints.

    Args:
        path: a JSON or XML file.
        target: the pictures and names that the points must fit.
        keypoint_format: a name in `KEYPOINT_FORMATS`, or ``"auto"``, which tells XML
            (CVAT) from JSON (COCO) by the first character.

    Returns:
        The points of every annotated picture by its key, in the file's order.

    Raises:
        UsageError: an unknown format.
        LabelError: the file is missing, too large, of another format or damaged, holds
            no point, or something in it does not fit the pictures or the names.
    """
    if keypoint_format not in ("auto", *KEYPOINT_FORMATS):
        valid = ("auto", *KEYPOINT_FORMATS)
        raise UsageError(unknown_name("keypoint format", keypoint_format, valid))
    source = KeypointSource(path, _read_text(path))
    reader = _recognize(source) if keypoint_format == "auto" else KEYPOINT_FORMATS[keypoint_format]
    found = reader(source, target)
    if not found:
        raise LabelError(f"{path} holds no keypoint of {', '.join(target.schema.names)}.")
    return found


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise LabelError(
                f"{path} is larger than {_MAX_BYTES // 1024**2} MiB. Split it into smaller files."
            )
        data = path.read_bytes()
    except OSError as error:
        raise LabelError(
            f"{path} cannot be read ({error.strerror}). Expected a keypoint file of CVAT or COCO."
        ) from error
    if data.startswith(b"PK\x03\x04"):
        raise LabelError(f"{path} is a zip archive. Unpack it and give the XML or JSON file in it.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LabelError(f"{path} is no text in UTF-8. Export it again as XML or JSON.") from error


def _recognize(source: KeypointSource) -> KeypointReader:
    first = source.text.lstrip()[:1]
    if first not in ("<", "{"):
        raise LabelError(
            f"{source.path} is neither XML (CVAT for images 1.1) nor a JSON object "
            "(COCO keypoints). Export it again in one of these formats."
        )
    return read_cvat if first == "<" else read_coco
