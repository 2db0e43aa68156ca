"""The style interpreter: an ensemble of pixel classifiers on a generator's features.

`fit_interpreter` makes one out of a few painted samples, `Interpreter.predict` labels
any number of images with it. `reference` is the same method to the letter, slow and
readable; tests hold the two together.
"""

from datasetgan.interpreter.classifier import PixelClassifier, StackedClassifiers
from datasetgan.interpreter.features import sample_pixel_features
from datasetgan.interpreter.fit import PaintedSample, fit_interpreter
from datasetgan.interpreter.predict import (
    Interpreter,
    Prediction,
    ProbabilityOutput,
    load_interpreter,
)
from datasetgan.interpreter.regions import select_pixels
from datasetgan.interpreter.settings import FitProgress, FitReport, FitSettings
from datasetgan.interpreter.uncertainty import ScoreRule, score_uncertainty

__all__ = [
    "FitProgress",
    "FitReport",
    "FitSettings",
    "Interpreter",
    "PaintedSample",
    "PixelClassifier",
    "Prediction",
    "ProbabilityOutput",
    "ScoreRule",
    "StackedClassifiers",
    "fit_interpreter",
    "load_interpreter",
    "sample_pixel_features",
    "score_uncertainty",
    "select_pixels",
]
