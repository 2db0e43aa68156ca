"""The painted label maps of a project: in from other tools, and out again."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from datasetgan.dataset.label_maps import encode_label_png, read_label_png, write_label_png
from datasetgan.errors import LabelError, unknown_name
from datasetgan.features.source import FeatureSource
from datasetgan.interpreter import PaintedSample
from datasetgan.project.label_formats import LabelTarget, label_reader
from datasetgan.project.label_formats.png import png_files
from datasetgan.project.layout import ProjectLayout
from datasetgan.project.marks import by_import, features_of, sizes_to_mark
from datasetgan.project.photos import Picture, read_pictures
from datasetgan.project.samples import sample_size
from datasetgan.serialization import write_atomic
from datasetgan.taxonomy import IGNORE_INDEX, ClassTaxonomy

__all__ = [
    "LabelImport",
    "PaintedLabel",
    "import_labels",
    "painted_features",
    "painted_labels",
    "save_label",
]


@dataclass(frozen=True)
class LabelImport:
    """What an import of label maps did.

    Attributes:
        added: keys of the samples that had no label map before.
        replaced: keys of those whose label map was replaced.
        unpainted: keys of the samples that still have none.
        class_pixels: imported pixels of each class by name, 0 included.
    """

    added: tuple[str, ...]
    replaced: tuple[str, ...]
    unpainted: tuple[str, ...]
    class_pixels: dict[str, int]


@dataclass(frozen=True, eq=False)
class PaintedLabel:
    """A sample with the label map that was painted over it.

    Attributes:
        sample: the sample, or the photo.
        label_map: [H, W] uint8 class ids, `IGNORE_INDEX` where nobody painted.
    """

    sample: Picture
    label_map: NDArray[np.uint8]


def import_labels(
    layout: ProjectLayout, source: Path, *, taxonomy: ClassTaxonomy, label_format: str
) -> LabelImport:
    """Copy label maps into a project; all are read and checked before any is written.

    The arguments and errors are those of `Project.import_labels`. Where the disk is full,
    every label map is the old or the new one, whole.
    """
    read = label_reader(label_format)
    sizes = sizes_to_mark(layout, "label")
    counts = np.zeros(256, dtype=np.int64)
    # Kept as PNG bytes: small, however many masks there are.
    encoded: dict[str, bytes] = {}
    for found in read(source, LabelTarget(sizes, taxonomy)):
        encoded[found.key] = encode_label_png(found.label_map, taxonomy)
        counts += np.bincount(found.label_map.reshape(-1), minlength=256)
    before = {key for key in sizes if layout.label(key).exists()}
    for key, data in encoded.items():
        write_atomic(layout.label(key), data)
    pixels = {c.name: int(counts[c.id]) for c in taxonomy.classes}
    return LabelImport(*by_import(sizes, found=encoded, before=before), pixels)


def save_label(
    layout: ProjectLayout, key: str, *, label_map: NDArray[np.integer], taxonomy: ClassTaxonomy
) -> None:
    """Write one sample's label map; arguments and errors are those of `Project.save_label`."""
    keys = [sample.key for sample in read_pictures(layout)]
    if key not in keys:
        raise LabelError(unknown_name("sample", key, keys))
    size = sample_size(layout.image(key))
    if label_map.shape != size:
        raise LabelError(
            f"the label map of {key} is {list(label_map.shape)}, expected {list(size)}: "
            "(height, width) of its image."
        )
    if (label_map == IGNORE_INDEX).all():
        raise LabelError(f"the label map of {key} is empty: no pixel is painted.")
    write_label_png(layout.label(key), label_map, taxonomy)


def painted_labels(layout: ProjectLayout, *, taxonomy: ClassTaxonomy) -> Iterator[PaintedLabel]:
    """Yield every painted sample in the order of the index, one label map in memory at a time.

    Raises:
        LabelError: a label map is of no sample, or does not fit it or the taxonomy.
        ProjectError: the image of a painted sample is missing.
    """
    samples = read_pictures(layout)
    keys = [sample.key for sample in samples]
    # A label map under a mistyped name would otherwise be lost without a word.
    for path in png_files(layout.labels) if layout.labels.is_dir() else []:
        if path.stem not in keys:
            raise LabelError(f"{path}: {unknown_name('sample', path.stem, keys)}")
    for sample in samples:
        path = layout.label(sample.key)
        if path.exists():
            size = sample_size(layout.image(sample.key))
            yield PaintedLabel(sample, read_label_png(path, taxonomy, size=size))


def painted_features(
    layout: ProjectLayout, source: FeatureSource, *, taxonomy: ClassTaxonomy
) -> Iterator[PaintedSample]:
    """Yield painted samples with features; the errors are those of `Project.painted_features`."""
    nothing = (
        f"{layout.folder} has no painted sample. Paint over the images in "
        f"{layout.folder / 'samples' / 'images'} and bring the masks in with "
        f"`datasetgan import-labels {layout.folder} MASKS`."
    )
    marked = painted_labels(layout, taxonomy=taxonomy)
    for painted, features in features_of(source, marked, otherwise=nothing):
        label_map = torch.from_numpy(painted.label_map).long()
        yield PaintedSample(features, label_map, key=painted.sample.key)
