"""The stages of the line, one function each, as the command line and notebooks call them.

The command X of the terminal is `X_project`. A stage takes a project or its folder, reads
its settings from ``project.toml``, does its work with the rooms below, leaves results and a
record in the project, and returns them. It prints nothing: what it tells on the way are
events (`Progress`, `Finished`, `Note`, `Result`), given to `on_event`.
"""

from datasetgan.pipeline.create import new_photo_project, new_project
from datasetgan.pipeline.demo import DemoResult, run_demo
from datasetgan.pipeline.evaluate import evaluate_project, evaluate_project_keypoints
from datasetgan.pipeline.events import Event, Finished, Note, OnEvent, Progress, Result
from datasetgan.pipeline.fit import Fitted, fit_project
from datasetgan.pipeline.generate import generate_project
from datasetgan.pipeline.generators import import_generator, train_generator_from_photos
from datasetgan.pipeline.label import LabelledIndex, LabelledPhoto, label_project
from datasetgan.pipeline.paint import (
    Suggested,
    import_project_keypoints,
    import_project_labels,
    sample_project,
    suggest_project,
)
from datasetgan.pipeline.report import report_project
from datasetgan.pipeline.settings import STAGE_SETTINGS, read_assignments
from datasetgan.pipeline.train import train_project, train_project_keypoints

__all__ = [
    "STAGE_SETTINGS",
    "DemoResult",
    "Event",
    "Finished",
    "Fitted",
    "LabelledIndex",
    "LabelledPhoto",
    "Note",
    "OnEvent",
    "Progress",
    "Result",
    "Suggested",
    "evaluate_project",
    "evaluate_project_keypoints",
    "fit_project",
    "generate_project",
    "import_generator",
    "import_project_keypoints",
    "import_project_labels",
    "label_project",
    "new_photo_project",
    "new_project",
    "read_assignments",
    "report_project",
    "run_demo",
    "sample_project",
    "suggest_project",
    "train_generator_from_photos",
    "train_project",
    "train_project_keypoints",
]
