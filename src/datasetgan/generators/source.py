"""A generator as a source of features."""

from dataclasses import dataclass

import torch

from datasetgan.errors import UsageError
from datasetgan.features.pyramid import FeatureLevel, FeaturePyramid
from datasetgan.features.source import Drawn, Origin
from datasetgan.generators.base import Generator
from datasetgan.generators.latents import sample_latents

__all__ = ["GeneratorSource"]


@dataclass(frozen=True, eq=False)
class GeneratorSource:
    """What a generator draws from seeds; a `FeatureSource`.

    Attributes:
        generator: draws.
        truncation_psi: see `sample_latents`.
        truncation_cutoff: the same.
    """

    generator: Generator
    truncation_psi: float = 0.7
    truncation_cutoff: int | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the generator's checkpoint."""
        return self.generator.digest

    @property
    def feature_levels(self) -> tuple[FeatureLevel, ...]:
        """The generator's levels."""
        return self.generator.feature_levels

    def features(self, origin: Origin) -> FeaturePyramid:
        """Draw one sample and return its features.

        Raises:
            UsageError: the sample is not drawn from a seed.
        """
        if not isinstance(origin, Drawn):
            raise UsageError(f"a generator draws samples from seeds, got {origin}.")
        latents = sample_latents(
            self.generator,
            [origin.seed],
            truncation_psi=self.truncation_psi,
            truncation_cutoff=self.truncation_cutoff,
        )
        with torch.no_grad():
            return self.generator.synthesize(latents.ws, noise=latents.noise).features
