"""Generators: latents in, an image and the features of every synthesis layer out."""

from datasetgan.features.pyramid import FeatureLevel, FeaturePyramid
from datasetgan.generators.base import Generator, GeneratorConfig, Synthesis
from datasetgan.generators.noise import Noise, NoiseSeed
from datasetgan.generators.registry import ARCHITECTURES, architecture_of, build_generator
from datasetgan.generators.sampling import (
    Latents,
    Sampling,
    draw_z,
    sample_images,
    sample_latents,
)
from datasetgan.generators.stylegan1 import StyleGAN1, StyleGAN1Config
from datasetgan.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from datasetgan.generators.stylegan3 import StyleGAN3, StyleGAN3Config

__all__ = [
    "ARCHITECTURES",
    "FeatureLevel",
    "FeaturePyramid",
    "Generator",
    "GeneratorConfig",
    "Latents",
    "Noise",
    "NoiseSeed",
    "Sampling",
    "StyleGAN1",
    "StyleGAN1Config",
    "StyleGAN2",
    "StyleGAN2Config",
    "StyleGAN3",
    "StyleGAN3Config",
    "Synthesis",
    "architecture_of",
    "build_generator",
    "draw_z",
    "sample_images",
    "sample_latents",
]
