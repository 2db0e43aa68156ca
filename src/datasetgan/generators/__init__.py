"""Generators: latents in, an image and the features of every synthesis layer out."""

from datasetgan.generators.base import (
    FeatureLevel,
    FeaturePyramid,
    Generator,
    Noise,
    NoiseSeed,
    Synthesis,
)
from datasetgan.generators.latents import Latents, draw_z, sample_latents
from datasetgan.generators.stylegan2 import StyleGAN2, StyleGAN2Config

__all__ = [
    "FeatureLevel",
    "FeaturePyramid",
    "Generator",
    "Latents",
    "Noise",
    "NoiseSeed",
    "StyleGAN2",
    "StyleGAN2Config",
    "Synthesis",
    "draw_z",
    "sample_latents",
]
