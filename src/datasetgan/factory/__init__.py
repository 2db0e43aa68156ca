"""The factory: labelled samples out of latents."""

from datasetgan.factory.generate import (
    GenerationProgress,
    GenerationSettings,
    generate_samples,
)

__all__ = ["GenerationProgress", "GenerationSettings", "generate_samples"]
