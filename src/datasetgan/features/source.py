"""Where features come from: a network that says something about every pixel of a sample.

What a sample is differs: a generator draws it from a seed, an encoder reads it from a
photo. The rooms above know the contract alone, so a diffusion U-Net or another generator
comes in by fulfilling it.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from datasetgan.errors import UsageError
from datasetgan.features.pyramid import FeatureLevel, FeaturePyramid

__all__ = ["Drawn", "FeatureSource", "Origin", "Photo"]


@dataclass(frozen=True)
class Drawn:
    """A sample that a generator draws.

    Attributes:
        seed: of its latent and of its noise inputs.
    """

    seed: int


@dataclass(frozen=True)
class Photo:
    """A sample that is a photo in a file.

    Attributes:
        path: relative to the project's folder, with forward slashes.
        sha256: digest of the file: the features are those of these bytes.

    Raises:
        UsageError: a path that leaves the folder, or no digest.
    """

    path: str
    sha256: str

    def __post_init__(self) -> None:
        path = PurePosixPath(self.path)
        if (
            path.is_absolute()
            or {".", ".."} & set(self.path.split("/"))
            or {"\\", ":"} & set(self.path)
        ):
            raise UsageError(f"{self.path!r} is no path within the project.")
        if len(self.sha256) != 64 or set(self.sha256) - set("0123456789abcdef"):
            raise UsageError(f"sha256 must be 64 hexadecimal digits, got {self.sha256!r}.")


Origin = Drawn | Photo
"""What a sample is made from again. Those that are inverted into a generator may follow."""


class FeatureSource(Protocol):
    """A network that gives the features of one sample, and always the same ones."""

    @property
    def digest(self) -> str:
        """SHA-256 of the network's checkpoint; an interpreter remembers it."""

    @property
    def feature_levels(self) -> tuple[FeatureLevel, ...]:
        """The levels, coarse to fine; each covers the whole picture on a grid of its own.

        Names, channels and heights relative to each other are the same for every sample.
        Where samples differ in size, these are the heights and widths of a square one.
        """

    def features(self, origin: Origin) -> FeaturePyramid:
        """Return the features of one sample (batch size 1), without gradients.

        Raises:
            UsageError: samples of this origin are another source's.
        """
