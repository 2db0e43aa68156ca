"""What to generate, and how far a generation is."""

from dataclasses import dataclass

from datasetgan.choices import LabelPrecisionChoice, UncertaintyOutput
from datasetgan.errors import UsageError, check_literals
from datasetgan.generators import Sampling
from datasetgan.interpreter import ScoreRule

__all__ = ["GenerationProgress", "GenerationSettings"]


@dataclass(frozen=True)
class _Seeds:
    num_samples: int = 10_000
    first_seed: int = 1_000_000


@dataclass(frozen=True)
class GenerationSettings(Sampling, _Seeds):  # fields in the order of the bases from the right
    """What to generate, and how its samples are drawn: the attributes of `Sampling` too.

    Attributes:
        num_samples: labelled images; the paper uses 10,000 in most experiments.
        first_seed: sample `i` has the seed ``first_seed + i``. Images to paint have
            seeds from 0, so by default none of them recurs.
        batch: images at a time; memory grows with it.
        uncertainty: keep each image's ``"score"`` alone, or its ``"map"`` as well.
        score_rule: how a map becomes the score of an image: the mean of its highest
            tenth (official code), or the sum over its pixels (paper).
        label_precision: of the products that labels come from. ``"auto"`` measures on
            the first batch whether bfloat16 is safe, where it is faster at all.
        label_resolution: rows and columns of label and uncertainty maps; the picture's
            by default. Keypoints are in pixels of the picture whatever it is.

    Raises:
        UsageError: a value is out of range.
    """

    batch: int = 16
    uncertainty: UncertaintyOutput = "score"
    score_rule: ScoreRule = "top_decile_mean"
    label_precision: LabelPrecisionChoice = "auto"
    label_resolution: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_literals(self)
        for name, least in (
            ("num_samples", 1),
            ("batch", 1),
            ("first_seed", 0),
            ("label_resolution", 1),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"{name} must be at least {least}, got {value}.")

    @property
    def num_batches(self) -> int:
        """Batches that the samples make, the last one perhaps smaller."""
        return -(-self.num_samples // self.batch)

    def samples_of_batch(self, index: int) -> range:
        """Return the indices of a batch's samples; they do not depend on interruptions."""
        return range(index * self.batch, min((index + 1) * self.batch, self.num_samples))


@dataclass(frozen=True)
class GenerationProgress:
    """How far a generation is.

    Attributes:
        done: samples that lie on disk, those of earlier runs included.
        total: samples to be.
    """

    done: int
    total: int
