"""The user's folder on disk: settings, samples to paint, their label maps, records of runs."""

from datasetgan.project.keypoint_formats import KEYPOINT_FORMATS
from datasetgan.project.keypoints import KeypointImport, SampleKeypoints
from datasetgan.project.label_formats import LABEL_FORMATS
from datasetgan.project.labels import LabelImport, PaintedLabel
from datasetgan.project.layout import ProjectLayout, RunLayout
from datasetgan.project.photos import PhotoSample, Picture
from datasetgan.project.project import Project
from datasetgan.project.records import (
    RunNotes,
    RunRecord,
    Stage,
    peak_memory_mb,
    read_records,
    record_run,
)
from datasetgan.project.samples import Sample
from datasetgan.project.settings import (
    KeypointTable,
    PhotoTable,
    ProjectSettings,
    SamplingSettings,
    SettingsTable,
)
from datasetgan.project.verify import SampleCheck

__all__ = [
    "KEYPOINT_FORMATS",
    "LABEL_FORMATS",
    "KeypointImport",
    "KeypointTable",
    "LabelImport",
    "PaintedLabel",
    "PhotoSample",
    "PhotoTable",
    "Picture",
    "Project",
    "ProjectLayout",
    "ProjectSettings",
    "RunLayout",
    "RunNotes",
    "RunRecord",
    "Sample",
    "SampleCheck",
    "SampleKeypoints",
    "SamplingSettings",
    "SettingsTable",
    "Stage",
    "peak_memory_mb",
    "read_records",
    "record_run",
]
