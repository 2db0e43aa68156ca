"""Labelled datasets on disk: writing, reading, filtering. Knows no generator."""

from datasetgan.dataset.filtering import split_by_uncertainty
from datasetgan.dataset.images import (
    UNCERTAINTY_SCALE,
    encode_image_png,
    encode_uncertainty_png,
    read_image_png,
    read_uncertainty_png,
)
from datasetgan.dataset.label_maps import encode_label_png, read_label_png, write_label_png
from datasetgan.dataset.manifest import DatasetManifest, SampleRecord, read_manifest
from datasetgan.dataset.pairs import PhotoPair, find_pairs, read_photo
from datasetgan.dataset.reader import LabelledDataset, read_dataset, verify_dataset
from datasetgan.dataset.sample import LabelledSample
from datasetgan.dataset.writer import (
    begin_dataset,
    find_dataset,
    finish_dataset,
    part_is_done,
    write_part,
    write_sample,
)
from datasetgan.keypoints import (
    KeypointRecord,
    Keypoints,
    KeypointSchema,
    check_keypoints,
)

__all__ = [
    "UNCERTAINTY_SCALE",
    "DatasetManifest",
    "KeypointRecord",
    "KeypointSchema",
    "Keypoints",
    "LabelledDataset",
    "LabelledSample",
    "PhotoPair",
    "SampleRecord",
    "begin_dataset",
    "check_keypoints",
    "encode_image_png",
    "encode_label_png",
    "encode_uncertainty_png",
    "find_dataset",
    "find_pairs",
    "finish_dataset",
    "part_is_done",
    "read_dataset",
    "read_image_png",
    "read_label_png",
    "read_manifest",
    "read_photo",
    "read_uncertainty_png",
    "split_by_uncertainty",
    "verify_dataset",
    "write_label_png",
    "write_part",
    "write_sample",
]
