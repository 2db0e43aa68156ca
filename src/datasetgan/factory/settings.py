"""What to generate, and how far a generation is."""

from dataclasses import dataclass
from math import isfinite
from typing import Literal, get_args

from datasetgan.errors import UsageError, unknown_name
from datasetgan.interpreter import ScoreRule

__all__ = ["GenerationProgress", "GenerationSettings"]


@dataclass(frozen=True)
class GenerationSettings:
    """What to generate.

    Attributes:
        num_samples: labelled images; the paper uses 10,000 in most experiments.
        first_seed: sample `i` has the seed ``first_seed + i``. Images to paint have
            seeds from 0, so by default none of them recurs.
        truncation_psi: pulls latents towards the mean latent, 1 not at all, 0 wholly.
        truncation_cutoff: truncates the first so many rows of ws; all where None.
        batch: images at a time; memory grows with it.
        uncertainty: keep each image's ``"score"`` alone, or its ``"map"`` as well.
        score_rule: how a map becomes the score of an image: the mean of its highest
            tenth (official code), or the sum over its pixels (paper).
        label_precision: of the products that labels come from. ``"auto"`` measures on
            the first batch whether bfloat16 is safe, where it is faster at all.
        label_resolution: rows and columns of label and uncertainty maps; the picture's
            where None. Keypoints are in pixels of the picture whatever it is.

    Raises:
        UsageError: a value is out of range.
    """

    num_samples: int = 10_000
    first_seed: int = 1_000_000
    truncation_psi: float = 0.7
    truncation_cutoff: int | None = None
    batch: int = 16
    uncertainty: Literal["score", "map"] = "score"
    score_rule: ScoreRule = "top_decile_mean"
    label_precision: Literal["auto", "float32", "bfloat16"] = "auto"
    label_resolution: int | None = None

    def __post_init__(self) -> None:
        for name, least in (
            ("num_samples", 1),
            ("batch", 1),
            ("first_seed", 0),
            ("label_resolution", 1),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"{name} must be at least {least}, got {value}.")
        if not isfinite(self.truncation_psi):
            raise UsageError(f"truncation_psi must be a finite number, got {self.truncation_psi}.")
        if self.truncation_cutoff is not None and self.truncation_cutoff < 0:
            raise UsageError(f"truncation_cutoff must not be negative: {self.truncation_cutoff}.")
        for name in ("uncertainty", "score_rule", "label_precision"):
            valid = get_args(GenerationSettings.__annotations__[name])
            if getattr(self, name) not in valid:
                raise UsageError(unknown_name(name, getattr(self, name), valid))

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
