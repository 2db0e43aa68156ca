"""Features: what a network says about every pixel of a picture, and what reads them.

The lowest room that knows tensors of features: it holds no generator and no classifier.
"""

from datasetgan.features.cache import FeatureCache
from datasetgan.features.input_spec import InputSpec, Surroundings
from datasetgan.features.painted import PaintedImages, PaintedSample, cache_samples
from datasetgan.features.pyramid import FeatureLevel, FeaturePyramid
from datasetgan.features.reading import sample_pixel_features

__all__ = [
    "FeatureCache",
    "FeatureLevel",
    "FeaturePyramid",
    "InputSpec",
    "PaintedImages",
    "PaintedSample",
    "Surroundings",
    "cache_samples",
    "sample_pixel_features",
]
