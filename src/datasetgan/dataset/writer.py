"""Writing a dataset so that it can be interrupted anywhere and gone on with.

While a dataset grows, its folder holds

- ``.parts/plan.json``: the manifest without samples, fixed before the first file;
- ``images/``, ``labels/``, ``uncertainty/``: one PNG per sample, each written whole;
- ``.parts/part-000012.json``: the records of one part, after all its files.

At the end ``manifest.json`` unites the parts and ``.parts`` goes. Every step
repeats without harm, so the bytes in the folder do not tell of interruptions.
"""

import shutil
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from datasetgan.dataset.images import encode_image_png, encode_uncertainty_png
from datasetgan.dataset.label_maps import encode_label_png
from datasetgan.dataset.manifest import (
    MANIFEST_NAME,
    DatasetManifest,
    SampleRecord,
    read_manifest,
)
from datasetgan.dataset.sample import LabelledSample
from datasetgan.errors import DatasetError
from datasetgan.serialization import read_json, storage_errors, write_atomic, write_json
from datasetgan.taxonomy import ClassTaxonomy

__all__ = [
    "begin_dataset",
    "find_dataset",
    "finish_dataset",
    "part_is_done",
    "write_part",
    "write_sample",
]

_PARTS = ".parts"
_OTHER_PLACE = (
    "Choose another name for the new dataset, or delete the folder, or repeat the first settings."
)


@dataclass(frozen=True)
class _Part:
    samples: tuple[SampleRecord, ...]


def find_dataset(folder: Path) -> DatasetManifest | None:
    """Return the manifest of a folder's dataset, or its plan while it grows; None without one.

    Raises:
        DatasetError: the folder holds something else.
        ConfigError: the manifest does not parse.
    """
    plan_path = folder / _PARTS / "plan.json"
    if folder.exists() and not folder.is_dir():
        raise DatasetError(f"{folder} is a file. Choose another place for the dataset.")
    if (folder / MANIFEST_NAME).is_file():
        return read_manifest(folder)
    if plan_path.is_file():
        return read_json(plan_path, DatasetManifest)
    if folder.is_dir() and any(path.name != _PARTS for path in folder.iterdir()):
        raise DatasetError(
            f"{folder} is not empty and holds no dataset. Choose another place for the dataset."
        )
    return None


def begin_dataset(folder: Path, plan: DatasetManifest) -> DatasetManifest | None:
    """Claim a folder for a dataset, go on with it, or find it complete.

    Args:
        folder: new, empty, or begun with the same plan before.
        plan: the manifest to be, without samples.

    Returns:
        The manifest of a complete dataset of this plan; None if there is work to do.
        A complete one may stem from other versions of DatasetGAN and PyTorch.

    Raises:
        DatasetError: the folder holds something else, or a dataset of another plan.
        StorageError: the disk is full or the place cannot be written.
    """
    found = find_dataset(folder)
    if found is None:
        write_json(folder / _PARTS / "plan.json", plan)
        return None
    if (folder / MANIFEST_NAME).is_file():
        planned = replace(
            plan,
            datasetgan_version=found.datasetgan_version,
            torch_version=found.torch_version,
        )
        _check_same_plan(folder, planned, replace(found, samples=()))
        _remove_parts(folder)
        return found
    _check_same_plan(folder, plan, found)
    _remove_partial_files(folder)
    return None


def _check_same_plan(folder: Path, plan: DatasetManifest, found: DatasetManifest) -> None:
    """Name every difference between what is wanted and what lies there."""
    wanted_values, found_values = _flat(plan), _flat(found)
    differences = [
        f"{name} was {found_values.get(name)}, now {wanted_values.get(name)}"
        for name in [*wanted_values, *(found_values.keys() - wanted_values.keys())]
        if found_values.get(name) != wanted_values.get(name)
    ]
    if differences:
        raise DatasetError(
            f"{folder} holds a dataset of other settings: {'; '.join(sorted(differences))}. "
            + _OTHER_PLACE
        )


def _flat(plan: DatasetManifest) -> dict[str, object]:
    values = asdict(plan)
    values["classes"] = ", ".join(f"{c.name} {c.color}" for c in plan.taxonomy.classes)
    values["keypoints"] = ", ".join(plan.keypoints.names) if plan.keypoints else None
    del values["taxonomy"], values["samples"]
    # Datasets of before there was a choice were labelled in float32.
    return {"label_precision": "float32", **values.pop("settings"), **values}


def _remove_partial_files(folder: Path) -> None:
    """Remove what a killed process left in the middle of `serialization.atomic_file`."""
    for path in folder.glob("*/.*.partial"):
        path.unlink(missing_ok=True)


def _remove_parts(folder: Path) -> None:
    parts = folder / _PARTS
    if parts.is_dir():
        with storage_errors(parts):
            shutil.rmtree(parts)


def write_sample(folder: Path, sample: LabelledSample, taxonomy: ClassTaxonomy) -> SampleRecord:
    """Write the files of one sample, each whole or not at all; return its record.

    Raises:
        LabelError: the label map does not fit the taxonomy.
        StorageError: the disk is full or the place cannot be written.
    """
    files = {
        f"images/{sample.key}.png": encode_image_png(sample.image),
        f"labels/{sample.key}.png": encode_label_png(sample.label_map, taxonomy),
    }
    if sample.uncertainty is not None:
        files[f"uncertainty/{sample.key}.png"] = encode_uncertainty_png(sample.uncertainty)
    for name, data in files.items():
        write_atomic(folder / name, data)
    names = list(files)
    digests = [sha256(data).hexdigest() for data in files.values()]
    pixels = np.bincount(sample.label_map.ravel(), minlength=len(taxonomy))[: len(taxonomy)]
    return SampleRecord(
        key=sample.key,
        seed=sample.seed,
        image=names[0],
        label=names[1],
        image_sha256=digests[0],
        label_sha256=digests[1],
        uncertainty_score=sample.uncertainty_score,
        class_pixels=tuple(pixels.tolist()),
        uncertainty=names[2] if len(names) > 2 else None,
        uncertainty_sha256=digests[2] if len(names) > 2 else None,
        keypoints=None if sample.keypoints is None else sample.keypoints.to_record(),
    )


def _part_path(folder: Path, index: int) -> Path:
    return folder / _PARTS / f"part-{index:06d}.json"


def write_part(folder: Path, index: int, records: tuple[SampleRecord, ...]) -> None:
    """Note that all files of a part lie there.

    Raises:
        StorageError: the disk is full or the place cannot be written.
    """
    write_json(_part_path(folder, index), _Part(records))


def part_is_done(folder: Path, index: int) -> bool:
    """Tell whether a part was noted and its files still lie there."""
    path = _part_path(folder, index)
    if not path.is_file():
        return False
    samples = read_json(path, _Part).samples
    return all((folder / name).is_file() for record in samples for name in record.files)


def finish_dataset(folder: Path, plan: DatasetManifest, *, num_parts: int) -> DatasetManifest:
    """Write the manifest out of all parts, then remove them; return the manifest.

    Raises:
        StorageError: the disk is full or the place cannot be written.
    """
    samples: list[SampleRecord] = []
    for index in range(num_parts):
        samples += read_json(_part_path(folder, index), _Part).samples
    manifest = replace(plan, samples=tuple(samples))
    write_json(folder / MANIFEST_NAME, manifest)
    _remove_parts(folder)
    return manifest
