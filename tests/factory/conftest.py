"""A small factory: the tiny generator and an interpreter with random weights."""

import pytest
import torch

from datasetgan.factory import GenerationSettings
from datasetgan.features.input_spec import InputSpec
from datasetgan.generators import StyleGAN2
from datasetgan.interpreter import Interpreter, StackedClassifiers
from datasetgan.interpreter.ensemble.ensemble import Ensemble
from datasetgan.taxonomy import ClassTaxonomy


@pytest.fixture
def interpreter(tiny_generator: StyleGAN2, taxonomy: ClassTaxonomy) -> Interpreter:
    levels = tiny_generator.feature_levels
    classifiers = StackedClassifiers(3, sum(level.channels for level in levels), len(taxonomy))
    random = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in sorted(classifiers.named_parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=random) * 0.3)
            if name.endswith("bias"):
                parameter.mul_(0.1)
    classifiers = classifiers.eval().requires_grad_(False)
    return Interpreter(taxonomy, Ensemble(InputSpec(levels), classifiers, tiny_generator.digest))


@pytest.fixture
def settings() -> GenerationSettings:
    """Three batches, the last one smaller."""
    return GenerationSettings(num_samples=8, batch=3, uncertainty="map", label_precision="float32")
