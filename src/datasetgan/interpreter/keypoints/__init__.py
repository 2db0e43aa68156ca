"""Keypoints: an ensemble that regresses heat maps from a generator's features.

`fit_keypoint_interpreter` makes one out of a few annotated samples,
`KeypointInterpreter.predict` finds the points of any number of images.
"""

from datasetgan.interpreter.keypoints.annotated import (
    AnnotatedImages,
    AnnotatedSample,
    cache_annotated,
)
from datasetgan.interpreter.keypoints.fit import fit_keypoint_interpreter
from datasetgan.interpreter.keypoints.predict import (
    KeypointInterpreter,
    KeypointPrediction,
    load_keypoint_interpreter,
)
from datasetgan.interpreter.keypoints.settings import KeypointSettings
from datasetgan.interpreter.keypoints.validate import KeypointValidation, validate_keypoints
from datasetgan.interpreter.reports import KeypointReport

__all__ = [
    "AnnotatedImages",
    "AnnotatedSample",
    "KeypointInterpreter",
    "KeypointPrediction",
    "KeypointReport",
    "KeypointSettings",
    "KeypointValidation",
    "cache_annotated",
    "fit_keypoint_interpreter",
    "load_keypoint_interpreter",
    "validate_keypoints",
]
