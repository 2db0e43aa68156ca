"""The index of a dataset. It is written last: where it lies, the dataset is complete."""

import json
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path, PurePosixPath

from datasetgan.errors import DatasetError, UsageError
from datasetgan.keypoints import KeypointRecord, KeypointSchema
from datasetgan.serialization import read_json
from datasetgan.taxonomy import ClassTaxonomy

__all__ = [
    "FORMAT",
    "MANIFEST_NAME",
    "DatasetManifest",
    "SampleRecord",
    "Setting",
    "read_manifest",
]

FORMAT = 1
MANIFEST_NAME = "manifest.json"

Setting = int | float | str
"""A plain value of a setting; None is left out."""


@dataclass(frozen=True)
class SampleRecord:
    """What the manifest says about one sample.

    Attributes:
        key: its name in the dataset, unique.
        seed: of the latent and of the noise inputs; of a photo, its number.
        image: its picture, relative to the dataset's folder, with forward slashes.
        label: its label map, likewise.
        image_sha256: digest of the picture's file.
        label_sha256: digest of the label map's file.
        uncertainty_score: of the whole image; higher is less certain. In nats; with
            keypoints alone the spread of its points as a share of the longer side.
        class_pixels: number of pixels of each class, in the order of ids.
        uncertainty: its uncertainty map, where maps were kept.
        uncertainty_sha256: digest of that file.
        keypoints: its named points, where the dataset has any.

    Raises:
        UsageError: a path leaves the folder, the score is not finite, or a map
            comes without its digest.
    """

    key: str
    seed: int
    image: str
    label: str
    image_sha256: str
    label_sha256: str
    uncertainty_score: float
    class_pixels: tuple[int, ...]
    uncertainty: str | None = None
    uncertainty_sha256: str | None = None
    keypoints: KeypointRecord | None = None

    def __post_init__(self) -> None:
        for name in self.files:
            path = PurePosixPath(name)
            # A manifest may come from elsewhere; it must not point out of its folder.
            if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
                raise UsageError(f"sample {self.key}: {name!r} is no path within the dataset.")
        if (self.uncertainty is None) != (self.uncertainty_sha256 is None):
            raise UsageError(f"sample {self.key}: an uncertainty map needs its digest beside it.")
        if not isfinite(self.uncertainty_score):
            raise UsageError(
                f"sample {self.key} (seed {self.seed}): its uncertainty is "
                f"{self.uncertainty_score}, not a finite number."
            )

    @property
    def files(self) -> dict[str, str]:
        """The digest of each of its files by relative path."""
        digests = {self.image: self.image_sha256, self.label: self.label_sha256}
        if self.uncertainty is not None and self.uncertainty_sha256 is not None:
            digests[self.uncertainty] = self.uncertainty_sha256
        return digests


@dataclass(frozen=True)
class DatasetManifest:
    """What a dataset holds and how it was made: no times, no places of the machine.

    Attributes:
        format: of this file; this version reads `FORMAT`.
        datasetgan_version: that generated it.
        torch_version: that generated it.
        generator_sha256: digest of the generator, or of the network that read photos.
        interpreter_sha256: digest of the interpreter; empty where keypoints alone were
            wanted, and no label map is painted.
        taxonomy: the classes of its label maps.
        height: rows of every image.
        width: columns of every image.
        label_height: rows of every label map and uncertainty map; those of the image
            where None.
        label_width: columns likewise.
        uncertainty_scale: nats per grey step of uncertainty maps.
        keypoints: the names of every sample's points; None in a dataset without.
        keypoint_interpreter_sha256: digest of what placed them.
        settings: of the generation, plain values by name.
        samples: in the order of their keys.

    Raises:
        UsageError: a sample has not one point per name, or points without names; or the
            size of the label maps is below 1 x 1, or one of its two numbers is missing.
    """

    format: int
    datasetgan_version: str
    torch_version: str
    generator_sha256: str
    interpreter_sha256: str
    taxonomy: ClassTaxonomy
    height: int
    width: int
    uncertainty_scale: float
    keypoints: KeypointSchema | None = None
    keypoint_interpreter_sha256: str | None = None
    label_height: int | None = None
    label_width: int | None = None
    settings: dict[str, Setting] = field(default_factory=dict)
    samples: tuple[SampleRecord, ...] = ()

    def __post_init__(self) -> None:
        sides = [side for side in (self.label_height, self.label_width) if side is not None]
        if len(sides) == 1 or any(side < 1 for side in sides):
            raise UsageError(
                f"label_height is {self.label_height} and label_width {self.label_width}: expected "
                "two positive numbers, or neither where label maps are as large as the images."
            )
        wanted = 0 if self.keypoints is None else len(self.keypoints)
        for record in self.samples:
            found = 0 if record.keypoints is None else len(record.keypoints.points)
            if found != wanted:
                raise UsageError(
                    f"sample {record.key} has {found} keypoints, but the dataset names {wanted}."
                )

    @property
    def label_size(self) -> tuple[int, int]:
        """The (height, width) of every label map and uncertainty map."""
        if self.label_height is None or self.label_width is None:
            return self.height, self.width
        return self.label_height, self.label_width


def read_manifest(folder: Path) -> DatasetManifest:
    """Read the manifest of a complete dataset.

    Raises:
        DatasetError: the folder is missing, unfinished, or of a newer version.
        ConfigError: the manifest does not parse.
    """
    path = folder / MANIFEST_NAME
    if not folder.is_dir():
        raise DatasetError(f"{folder} does not exist. Generate a dataset there first.")
    if not path.is_file():
        raise DatasetError(
            f"{folder} holds no {MANIFEST_NAME}: the dataset is unfinished. "
            "Run generate again with the same settings; it goes on where it stopped."
        )
    _check_format(path)
    return read_json(path, DatasetManifest)


def _check_format(path: Path) -> None:
    """Refuse a newer format before its unknown keys cause a message that misleads."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except ValueError:
        return  # `read_json` says what does not parse
    found = data.get("format") if isinstance(data, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise DatasetError(
            f"{path} was made by a newer DatasetGAN (format {found}, this one reads {FORMAT}). "
            "Upgrade DatasetGAN."
        )
