"""Reading a complete dataset, and checking that nobody altered it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from datasetgan.dataset.filtering import split_by_uncertainty
from datasetgan.dataset.images import read_image_png, read_uncertainty_png
from datasetgan.dataset.label_maps import read_label_png
from datasetgan.dataset.manifest import DatasetManifest, SampleRecord, read_manifest
from datasetgan.dataset.sample import LabelledSample
from datasetgan.errors import DatasetError, LabelError, listed
from datasetgan.keypoints import KeypointSchema
from datasetgan.serialization import sha256_of_file
from datasetgan.taxonomy import ClassTaxonomy

__all__ = ["LabelledDataset", "read_dataset", "verify_dataset"]

_MAX_LISTED = 10


@dataclass(frozen=True)
class LabelledDataset:
    """A complete dataset, the most uncertain samples set aside.

    Attributes:
        folder: where it lies.
        manifest: its index.
        kept: the records to work with, in the order of the manifest.
        dropped: the records set aside, the most uncertain first.
    """

    folder: Path
    manifest: DatasetManifest
    kept: tuple[SampleRecord, ...]
    dropped: tuple[SampleRecord, ...]

    def __len__(self) -> int:
        return len(self.kept)

    @property
    def taxonomy(self) -> ClassTaxonomy:
        """The classes of the label maps."""
        return self.manifest.taxonomy

    @property
    def keypoints(self) -> KeypointSchema | None:
        """The names of every sample's points; None in a dataset without."""
        return self.manifest.keypoints

    def load(self, record: SampleRecord) -> LabelledSample:
        """Read the files of one record, kept or dropped.

        Raises:
            DatasetError: a file is missing, damaged or of another size.
        """
        label_size = self.manifest.label_size
        # Of samples with keypoints alone nothing is labelled.
        unpainted: Literal["allowed", "refused"] = (
            "refused" if any(record.class_pixels) else "allowed"
        )
        try:
            label_map = read_label_png(
                self.folder / record.label, self.taxonomy, size=label_size, unpainted=unpainted
            )
        except LabelError as error:
            raise DatasetError(
                f"{self.folder} was altered after it was generated: {error}"
            ) from error
        uncertainty = None
        if record.uncertainty is not None:
            uncertainty = read_uncertainty_png(
                self.folder / record.uncertainty,
                size=label_size,
                scale=self.manifest.uncertainty_scale,
            )
        size = (self.manifest.height, self.manifest.width)
        return LabelledSample(
            key=record.key,
            seed=record.seed,
            image=read_image_png(self.folder / record.image, size=size),
            label_map=label_map,
            uncertainty=uncertainty,
            uncertainty_score=record.uncertainty_score,
            keypoints=None if record.keypoints is None else record.keypoints.to_keypoints(),
        )


def read_dataset(folder: Path, *, drop_fraction: float = 0.1) -> LabelledDataset:
    """Open a complete dataset; pixels are read later, sample by sample.

    Args:
        folder: the dataset.
        drop_fraction: share of the most uncertain samples to set aside, in [0, 1).

    Raises:
        DatasetError: the folder is missing, unfinished or of a newer version.
        ConfigError: the manifest does not parse.
        UsageError: `drop_fraction` is not within [0, 1).
    """
    manifest = read_manifest(folder)
    kept, dropped = split_by_uncertainty(manifest.samples, drop_fraction=drop_fraction)
    return LabelledDataset(folder, manifest, kept, dropped)


def verify_dataset(folder: Path) -> DatasetManifest:
    """Compare every file of a dataset with the digest in its manifest; return the manifest.

    Raises:
        DatasetError: the dataset is unfinished, or files are missing or altered;
            the message lists them.
        ConfigError: the manifest does not parse.
    """
    manifest = read_manifest(folder)
    missing: list[str] = []
    altered: list[str] = []
    for record in manifest.samples:
        for name, digest in record.files.items():
            path = folder / name
            if not path.is_file():
                missing.append(name)
            elif sha256_of_file(path) != digest:
                altered.append(name)
    problems = [
        f"{what}: {listed(names, most=_MAX_LISTED)}"
        for what, names in (("missing", missing), ("altered", altered))
        if names
    ]
    if problems:
        raise DatasetError(
            f"{folder} is not as it was generated; {'; '.join(problems)}. "
            "Restore these files from a copy, or delete the folder and generate again."
        )
    return manifest
