"""Generators: latents in, an image and the features of every synthesis layer out."""

from datasetgan.features.pyramid import FeatureLevel, FeaturePyramid
from datasetgan.generators.base import (
    Generator,
    Noise,
    NoiseSeed,
    Synthesis,
)
from datasetgan.generators.latents import Latents, draw_z, sample_latents
from datasetgan.generators.stylegan1 import StyleGAN1, StyleGAN1Config
from datasetgan.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from datasetgan.generators.stylegan3 import StyleGAN3, StyleGAN3Config

__all__ = [
    "FeatureLevel",
    "FeaturePyramid",
    "Generator",
    "Latents",
    "Noise",
    "NoiseSeed",
    "StyleGAN1",
    "StyleGAN1Config",
    "StyleGAN2",
    "StyleGAN2Config",
    "StyleGAN3",
    "StyleGAN3Config",
    "Synthesis",
    "draw_z",
    "sample_latents",
]
