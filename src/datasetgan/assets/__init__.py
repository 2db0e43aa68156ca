"""The embedded default: a blood-cell generator, its painted samples, real test photos.

`CARD.md` beside this file says how each was made, by whom and under which licence.
"""

import json
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "EMBEDDED_CLASSES",
    "PaintedPhotos",
    "PaintedSamples",
    "embedded_generators",
    "painted_photos",
    "painted_samples",
]

_FOLDER = Path(__file__).parent

EMBEDDED_CLASSES = ("background", "red_cell", "cytoplasm", "nucleus", "platelet")
"""The classes that the embedded samples and photos are painted with, in the order of ids."""


@dataclass(frozen=True)
class PaintedSamples:
    """Samples of an embedded generator that were painted by eye.

    Attributes:
        seeds: of the samples; the masks are called ``sample-0000.png`` and so on.
        truncation_psi: that they were drawn with; the masks fit no other.
        masks: folder of label maps.
    """

    seeds: tuple[int, ...]
    truncation_psi: float
    masks: Path


@dataclass(frozen=True)
class PaintedPhotos:
    """Real photos that were painted by eye, none of them used in training.

    Attributes:
        photos: folder of PNG photos.
        masks: folder of label maps with the same names.
    """

    photos: Path
    masks: Path


def embedded_generators() -> dict[str, Path]:
    """Return the checkpoint of each embedded generator by name."""
    return {path.stem: path for path in sorted(_FOLDER.glob("generators/*.safetensors"))}


def painted_samples() -> PaintedSamples:
    """Return the painted samples of the generator ``"wbc"``."""
    folder = _FOLDER / "samples" / "wbc"
    index = json.loads((folder / "index.json").read_text("utf-8"))
    return PaintedSamples(tuple(index["seeds"]), index["truncation_psi"], folder / "masks")


def painted_photos() -> PaintedPhotos:
    """Return the painted photos of white blood cells."""
    folder = _FOLDER / "photos" / "wbc"
    return PaintedPhotos(folder / "photos", folder / "masks")
