"""The factory: labelled samples out of latents, and of photos."""

from datasetgan.factory.generate import generate_samples
from datasetgan.factory.photos import label_photos
from datasetgan.factory.settings import GenerationProgress, GenerationSettings

__all__ = ["GenerationProgress", "GenerationSettings", "generate_samples", "label_photos"]
