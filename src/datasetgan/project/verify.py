"""Do the stored latents still give the images that were painted?

Users of the official code painted images that its latents did not give again:
noise was drawn anew at every pass, and rows of files were shifted against each
other. Noise seeds are stored here; this check proves it.
"""

from dataclasses import dataclass

import numpy as np

from datasetgan.dataset.pairs import read_photo
from datasetgan.errors import ProjectError
from datasetgan.generators import Generator
from datasetgan.project.layout import ProjectLayout
from datasetgan.project.samples import Synthesizer, read_samples

__all__ = ["MAX_DIFFERENCE", "SampleCheck", "verify_samples"]

MAX_DIFFERENCE = 8
"""Largest difference of a pixel, of 255, that still counts as rounding.

Measured on the 64 px blood-cell generator: 1 between batch sizes, up to 7 in bfloat16,
120 and more with another latent.
"""


@dataclass(frozen=True)
class SampleCheck:
    """A stored image beside the one that its latent gives now.

    Attributes:
        key: of the sample.
        max_difference: largest absolute difference of a pixel's channel, 0 to 255.
        mean_difference: mean absolute difference, 0 to 255.
    """

    key: str
    max_difference: int
    mean_difference: float

    @property
    def matches(self) -> bool:
        """Whether the two show the same picture."""
        return self.max_difference <= MAX_DIFFERENCE


def verify_samples(layout: ProjectLayout, generator: Generator) -> tuple[SampleCheck, ...]:
    """Generate every sample again; the errors are those of `Project.verify_samples`."""
    synthesize = Synthesizer(layout, generator)
    checks = []
    for sample in read_samples(layout):
        again = synthesize(sample).to_uint8()[0]  # [HWC]
        path = layout.image(sample.key)
        stored = read_photo(path)
        if stored.shape != again.shape:
            raise ProjectError(
                f"{path} is {stored.shape[1]}x{stored.shape[0]} pixels, the generator's images "
                f"are {again.shape[1]}x{again.shape[0]}. "
                "Take the image back from version control or a copy of the project."
            )
        difference = np.abs(stored.astype(np.int16) - again)
        checks.append(
            SampleCheck(sample.key, int(difference.max()), round(float(difference.mean()), 4))
        )
    return tuple(checks)
