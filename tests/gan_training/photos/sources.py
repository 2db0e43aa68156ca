"""Folders and zips of small photographs, for the tests of reading them."""

import zipfile
from io import BytesIO
from pathlib import Path

from PIL import Image


def png(size: tuple[int, int], color: tuple[int, int, int]) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", size, color).save(buffer, "PNG")
    return buffer.getvalue()


def hundred(folder: str = "a/") -> dict[str, bytes]:
    """A hundred photographs of 10 x 8 pixels; photo i is of the colour (i, 0, 0)."""
    return {f"{folder}{i:03d}.png": png((10, 8), (i, 0, 0)) for i in range(100)}


def write_source(path: Path, files: dict[str, bytes], kind: str = "folder") -> Path:
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path
