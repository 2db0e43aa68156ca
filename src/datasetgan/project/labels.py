"""The painted label maps of a project: in from other tools, and out again."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasetgan.dataset.label_maps import encode_label_png, read_label_png
from datasetgan.errors import LabelError, ProjectError, unknown_name
from datasetgan.project.label_formats import LabelTarget, label_reader
from datasetgan.project.label_formats.png import png_files
from datasetgan.project.layout import ProjectLayout
from datasetgan.project.samples import Sample, read_samples, sample_size
from datasetgan.serialization import write_atomic
from datasetgan.taxonomy import ClassTaxonomy

__all__ = ["LabelImport", "PaintedLabel", "import_labels", "painted_labels"]


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
        sample: the sample.
        label_map: [H, W] uint8 class ids, `IGNORE_INDEX` where nobody painted.
    """

    sample: Sample
    label_map: NDArray[np.uint8]


def import_labels(
    layout: ProjectLayout, source: Path, *, taxonomy: ClassTaxonomy, label_format: str
) -> LabelImport:
    """Copy label maps into a project; all are read and checked before any is written.

    Args:
        source: a file or a folder, see the format's reader.
        label_format: a name in `label_formats.LABEL_FORMATS`.

    Raises:
        UsageError: an unknown format.
        ProjectError: the project has no samples yet.
        LabelError: a label map is of no sample, or does not fit it or the taxonomy.
        StorageError: the disk is full; every label map is the old or the new one, whole.
    """
    read = label_reader(label_format)
    keys = [sample.key for sample in read_samples(layout)]
    if not keys:
        raise ProjectError(
            f"{layout.folder} has no samples to label yet. "
            f"Draw some with `datasetgan sample {layout.folder}`."
        )
    sizes = {key: sample_size(layout.image(key)) for key in keys}
    counts = np.zeros(256, dtype=np.int64)
    # Kept as PNG bytes: small, however many masks there are.
    encoded: dict[str, bytes] = {}
    for found in read(source, LabelTarget(sizes, taxonomy)):
        encoded[found.key] = encode_label_png(found.label_map, taxonomy)
        counts += np.bincount(found.label_map.reshape(-1), minlength=256)
    before = {key for key in keys if layout.label(key).exists()}
    for key, data in encoded.items():
        write_atomic(layout.label(key), data)
    return LabelImport(
        added=tuple(key for key in keys if key in encoded and key not in before),
        replaced=tuple(key for key in keys if key in encoded and key in before),
        unpainted=tuple(key for key in keys if key not in encoded and key not in before),
        class_pixels={c.name: int(counts[c.id]) for c in taxonomy.classes},
    )


def painted_labels(layout: ProjectLayout, *, taxonomy: ClassTaxonomy) -> Iterator[PaintedLabel]:
    """Yield every painted sample in the order of the index, one label map in memory at a time.

    Raises:
        LabelError: a label map is of no sample, or does not fit it or the taxonomy.
        ProjectError: the image of a painted sample is missing.
    """
    samples = read_samples(layout)
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
