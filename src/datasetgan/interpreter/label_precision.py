"""Whether labelling may multiply in bfloat16: where that is fast, and labels hardly change."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from datasetgan.features import FeaturePyramid
from datasetgan.interpreter.labelling import LabelEngine
from datasetgan.interpreter.predict import Interpreter
from datasetgan.runtime import training_precision

__all__ = [
    "LabelPrecision",
    "PrecisionChoice",
    "choose_label_precision",
    "compare_precisions",
]

LabelPrecision = Literal["float32", "bfloat16"]
"""Type of the products that labels come from."""

# bfloat16 is taken where it changes fewer labels than this. Of the embedded cells it
# changes 0.003 to 0.04 %.
_CHANGED_SHARE = 0.002


@dataclass(frozen=True)
class PrecisionChoice:
    """How labels are made.

    Attributes:
        precision: of the products.
        engine: that labels.
        changed_share: of the labels that bfloat16 changes against float32, in [0, 1];
            None where nobody measured it.
    """

    precision: LabelPrecision
    engine: LabelEngine
    changed_share: float | None = None


def choose_label_precision(
    interpreter: Interpreter, draw_features: Callable[[], FeaturePyramid], *, size: tuple[int, int]
) -> PrecisionChoice:
    """Choose bfloat16 where it is faster and safe, else float32.

    It is faster with the compiled loops on a CPU that multiplies in bfloat16, and safe
    if it changes fewer than 0.2 % of the labels. GPUs are quick enough in float32.

    Args:
        interpreter: that is to label.
        draw_features: returns the features to measure on; called only if there is a choice.
        size: (height, width) of the label maps.
    """
    engine = interpreter.labeller.engine
    if engine != "numba" or training_precision("cpu") != "bfloat16":
        return PrecisionChoice("float32", engine)
    share = compare_precisions(interpreter, draw_features(), size=size)
    return PrecisionChoice("bfloat16" if share < _CHANGED_SHARE else "float32", engine, share)


def compare_precisions(
    interpreter: Interpreter, features: FeaturePyramid, *, size: tuple[int, int] | None = None
) -> float:
    """Return the share of the labels that bfloat16 changes against float32, in [0, 1].

    Args:
        interpreter: to label with both, by its fastest engine.
        features: of the generator that the interpreter was fitted on.
        size: (height, width) of the label maps; the finest level's by default.

    Raises:
        UsageError: the engine has no bfloat16, as plain PyTorch, or see `Interpreter.predict`.
    """
    exact, rounded = (
        interpreter.predict(features, size=size, precision=precision).label_map.to(torch.uint8)
        for precision in ("float32", "bfloat16")
    )
    return float((exact != rounded).double().mean())
