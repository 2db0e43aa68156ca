"""Fits that are made by hand: interpreters of known quality for every fold and checkpoint."""

import weakref
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from datasetgan.features import FeaturePyramid
from datasetgan.features.input_spec import InputSpec
from datasetgan.interpreter import Interpreter, PixelClassifier, StackedClassifiers
from datasetgan.interpreter.ensemble.ensemble import Ensemble
from datasetgan.interpreter.fitting.folds import Fold
from datasetgan.interpreter.validation import FitFolds
from datasetgan.taxonomy import ClassTaxonomy
from tests.interpreter.conftest import make_pyramid

THREE = ClassTaxonomy.from_names(["middle", "low", "high"])
FOUR = ClassTaxonomy.from_names(["middle", "low", "high", "rare"])
CHANNEL = 15  # the first of the finest level, which `painted_value` reads


class Pyramids:
    """Features of images whose seeds are their numbers; one at a time may be alive."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.alive: weakref.ref[Tensor] | None = None

    def __len__(self) -> int:
        return self.count

    def pyramid(self, image: int) -> FeaturePyramid:
        assert self.alive is None or self.alive() is None
        features = make_pyramid(image)
        self.alive = weakref.ref(features.tensors[0])
        return features


def truth_of(image: int) -> Tensor:
    """0 near zero, 1 below, 2 above; the first rows unpainted."""
    value = make_pyramid(image).tensors[3][0, 0]
    label_map = torch.where(value < -0.5, 1, 0) + torch.where(value > 0.5, 2, 0)
    label_map[:3] = 255
    return label_map


def reader(*thresholds: float, taxonomy: ClassTaxonomy = THREE) -> Interpreter:
    """One member per threshold, which calls values beyond it low or high; 0.5 is right."""
    members = []
    for threshold in thresholds:
        member = PixelClassifier(18, len(taxonomy))
        with torch.no_grad():
            for parameter in member.parameters():
                parameter.zero_()
            first, _, norm1, second, _, norm2, third = member.layers
            first.weight[0, CHANNEL], first.weight[1, CHANNEL] = 1, -1
            norm1.weight.fill_(1)
            norm2.weight.fill_(1)
            second.weight[0, 0] = second.weight[1, 1] = 1
            third.weight[2, 0], third.weight[2, 1] = 4, -4
            third.weight[1, 0], third.weight[1, 1] = -4, 4
            third.bias[:] = -100
            third.bias[0], third.bias[1], third.bias[2] = 0, -4 * threshold, -4 * threshold
        members.append(member.eval())
    stacked = StackedClassifiers.from_members(members).eval().requires_grad_(False)
    return Interpreter(taxonomy, Ensemble(InputSpec(make_pyramid().levels), stacked))


def readers(threshold: Callable[[int, int], float], taxonomy: ClassTaxonomy = THREE) -> FitFolds:
    """Fold and step to the threshold of that fold's interpreter."""

    def fit_folds(
        folds: tuple[Fold, ...], checkpoints: tuple[int, ...]
    ) -> Iterator[tuple[int, Sequence[Interpreter]]]:
        for step in checkpoints:
            t = [threshold(fold, step) for fold in range(len(folds))]
            yield step, [reader(value, value + 0.2, taxonomy=taxonomy) for value in t]

    return fit_folds
