"""The style interpreter: an ensemble of pixel classifiers on a generator's features.

`fit_interpreter` makes one out of a few painted samples, `Interpreter.predict` labels
any number of images with it. `reference` is the same method to the letter, slow and
readable; tests hold the two together.
"""

from datasetgan.features import (
    FeatureCache,
    InputSpec,
    PaintedImages,
    PaintedSample,
    cache_samples,
    sample_pixel_features,
)
from datasetgan.interpreter.ensemble.classifier import PixelClassifier, StackedClassifiers
from datasetgan.interpreter.ensemble.ensemble import Ensemble, check_fitted_on
from datasetgan.interpreter.ensemble.heads import HEADS, build_head
from datasetgan.interpreter.fitting.fit import FoldFitter, fit_interpreter
from datasetgan.interpreter.fitting.painted_pixels import select_pixels
from datasetgan.interpreter.fitting.settings import FitSettings
from datasetgan.interpreter.label_precision import (
    PrecisionChoice,
    choose_label_precision,
    compare_precisions,
)
from datasetgan.interpreter.predict import (
    Interpreter,
    Prediction,
    ProbabilityOutput,
    load_interpreter,
)
from datasetgan.interpreter.reports import FitProgress, FitReport
from datasetgan.interpreter.suggest import (
    ImageDescriptors,
    Suggestion,
    describe_images,
    describe_pyramids,
    suggest_images,
)
from datasetgan.interpreter.uncertainty import ScoreRule, score_uncertainty
from datasetgan.interpreter.validation import ValidationSettings, validate_fit
from datasetgan.interpreter.validation.report import ValidationReport

__all__ = [
    "HEADS",
    "Ensemble",
    "FeatureCache",
    "FitProgress",
    "FitReport",
    "FitSettings",
    "FoldFitter",
    "ImageDescriptors",
    "InputSpec",
    "Interpreter",
    "PaintedImages",
    "PaintedSample",
    "PixelClassifier",
    "PrecisionChoice",
    "Prediction",
    "ProbabilityOutput",
    "ScoreRule",
    "StackedClassifiers",
    "Suggestion",
    "ValidationReport",
    "ValidationSettings",
    "build_head",
    "cache_samples",
    "check_fitted_on",
    "choose_label_precision",
    "compare_precisions",
    "describe_images",
    "describe_pyramids",
    "fit_interpreter",
    "load_interpreter",
    "sample_pixel_features",
    "score_uncertainty",
    "select_pixels",
    "suggest_images",
    "validate_fit",
]
