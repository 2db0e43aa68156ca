"""A generator as a source of features."""

from dataclasses import dataclass

from datasetgan.errors import UsageError
from datasetgan.features.pyramid import FeatureLevel, FeaturePyramid
from datasetgan.features.source import Drawn, Origin
from datasetgan.generators.base import Generator
from datasetgan.generators.sampling import Sampling, sample_images

__all__ = ["GeneratorSource"]


@dataclass(frozen=True, eq=False)
class GeneratorSource:
    """What a generator draws from seeds; a `FeatureSource`.

    Attributes:
        generator: draws.
        sampling: how, beside the seed.
    """

    generator: Generator
    sampling: Sampling

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
        return sample_images(self.generator, [origin.seed], self.sampling)[1].features
