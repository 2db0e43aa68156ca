"""The factory: labelled samples out of latents."""

from datasetgan.factory.generate import generate_samples
from datasetgan.factory.settings import GenerationProgress, GenerationSettings

__all__ = ["GenerationProgress", "GenerationSettings", "generate_samples"]
