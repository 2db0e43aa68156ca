"""The keypoints of a project's samples: in from other tools, and out again."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from datasetgan.errors import LabelError, unknown_name
from datasetgan.features.source import FeatureSource
from datasetgan.interpreter.keypoints import AnnotatedSample
from datasetgan.keypoints import (
    KeypointRecord,
    Keypoints,
    KeypointSchema,
    check_keypoints,
)
from datasetgan.project.keypoint_formats import KeypointTarget, read_keypoint_file
from datasetgan.project.layout import ProjectLayout
from datasetgan.project.marks import by_import, features_of, sizes_to_mark
from datasetgan.project.photos import Picture, read_pictures
from datasetgan.project.samples import sample_size
from datasetgan.serialization import read_json, write_json

__all__ = [
    "KeypointImport",
    "SampleKeypoints",
    "annotated_features",
    "import_keypoints",
    "sample_keypoints",
]


@dataclass(frozen=True)
class KeypointImport:
    """What an import of keypoints did.

    Attributes:
        added: keys of the samples that had no keypoints before.
        replaced: keys of those whose keypoints were replaced.
        missing: keys of the samples that still have none.
        visible: in how many of the imported samples each point is visible, by name.
    """

    added: tuple[str, ...]
    replaced: tuple[str, ...]
    missing: tuple[str, ...]
    visible: dict[str, int]


@dataclass(frozen=True, eq=False)
class SampleKeypoints:
    """A sample with the points that were marked in it.

    Attributes:
        sample: the sample.
        keypoints: its points, in pixels of its image.
    """

    sample: Picture
    keypoints: Keypoints


@dataclass(frozen=True)
class _File:
    """The content of ``labels/keypoints.json``."""

    names: tuple[str, ...]
    samples: dict[str, KeypointRecord] = field(default_factory=dict)


def import_keypoints(
    layout: ProjectLayout, source: Path, *, schema: KeypointSchema, keypoint_format: str
) -> KeypointImport:
    """Add a file's keypoints; the arguments and errors are those of `Project.import_keypoints`."""
    sizes = sizes_to_mark(layout, "annotate")
    target = KeypointTarget("sample", sizes, schema)
    found = read_keypoint_file(source, target, keypoint_format=keypoint_format)
    before = _read(layout, schema)
    records = before | {key: points.to_record() for key, points in found.items()}
    # In the order of the samples, so that versions of the file compare well.
    ordered = {key: records[key] for key in sizes if key in records}
    write_json(layout.keypoints, _File(schema.names, ordered))
    visible = {
        name: sum(bool(points.visible[j]) for points in found.values())
        for j, name in enumerate(schema.names)
    }
    return KeypointImport(*by_import(sizes, found=found, before=before), visible)


def sample_keypoints(layout: ProjectLayout, *, schema: KeypointSchema) -> Iterator[SampleKeypoints]:
    """Yield every sample that has keypoints, in the order of the index.

    Raises:
        ConfigError: ``labels/keypoints.json`` does not parse.
        LabelError: it holds points of no sample, of other names, or outside an image.
        ProjectError: the image of an annotated sample is missing.
    """
    records = _read(layout, schema)
    for sample in read_pictures(layout):
        if sample.key not in records:
            continue
        keypoints = records[sample.key].to_keypoints()
        size = sample_size(layout.image(sample.key))
        source = f"{layout.keypoints}: {sample.key}"
        check_keypoints(keypoints, schema, size=size, source=source)
        yield SampleKeypoints(sample, keypoints)


def annotated_features(
    layout: ProjectLayout, source: FeatureSource, *, schema: KeypointSchema
) -> Iterator[AnnotatedSample]:
    """Yield annotated samples with features; errors as of `Project.annotated_features`."""
    nothing = (
        f"{layout.folder} has no sample with keypoints. Mark them in the images of "
        f"{layout.folder / 'samples' / 'images'} and bring them in with "
        f"`datasetgan import-keypoints {layout.folder} FILE`."
    )
    marked = sample_keypoints(layout, schema=schema)
    for annotated, features in features_of(source, marked, otherwise=nothing):
        key = annotated.sample.key
        size = sample_size(layout.image(key))
        yield AnnotatedSample(features, annotated.keypoints, key=key, size=size)


def _read(layout: ProjectLayout, schema: KeypointSchema) -> dict[str, KeypointRecord]:
    path = layout.keypoints
    if not path.exists():
        return {}
    file = read_json(path, _File)
    if file.names != schema.names:
        raise LabelError(
            f"{path} holds the keypoints {', '.join(file.names)}, but {layout.settings} names "
            f"{', '.join(schema.names)}. Change the names back, or edit both files alike."
        )
    keys = [sample.key for sample in read_pictures(layout)]
    for key in file.samples:
        if key not in keys:
            raise LabelError(f"{path}: {unknown_name('sample', key, keys)}")
    return file.samples
