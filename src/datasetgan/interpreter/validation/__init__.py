"""How good are the labels, and when should a fit stop? Scores of held-out images."""

from datasetgan.interpreter.validation.report import ValidationReport
from datasetgan.interpreter.validation.validate import (
    FitFolds,
    HeldOutPyramids,
    ValidationSettings,
    validate_fit,
)

__all__ = [
    "FitFolds",
    "HeldOutPyramids",
    "ValidationReport",
    "ValidationSettings",
    "validate_fit",
]
