"""How an interpreter is fitted, and what came of it."""

from dataclasses import dataclass
from typing import Literal

from datasetgan.errors import UsageError
from datasetgan.taxonomy import ClassTaxonomy

__all__ = ["FitProgress", "FitReport", "FitSettings"]


@dataclass(frozen=True)
class FitSettings:
    """The budget of a fit. It is fixed before the first step: no early stop.

    Training ends after `max_epochs` or `max_steps`, whichever comes first; the
    learning rate falls to zero along half a cosine. (The paper's stop rule waits for a
    streak of lucky batches; see `reference`.)

    Attributes:
        num_members: classifiers in the ensemble; the paper's 10.
        learning_rate: of Adam, at the start; the paper's 1e-3.
        batch: pixels per member and step.
        max_epochs: passes over the sampled pixels; the paper's limit.
        max_steps: optimizer steps; keeps many images within minutes.
        pixels_per_image: sampled of every image, beside one of each painted region.
            Memory is this x images x channels x 4 bytes.
        seed: of initial weights, sampled pixels and their order.

    Raises:
        UsageError: a value out of range.
    """

    num_members: int = 10
    learning_rate: float = 1e-3
    batch: int = 256
    max_epochs: int = 100
    max_steps: int = 1000
    pixels_per_image: int = 2048
    seed: int = 0

    def __post_init__(self) -> None:
        # A batch normalisation needs two values to normalise.
        least = {
            "num_members": 1,
            "batch": 2,
            "max_epochs": 1,
            "max_steps": 1,
            "pixels_per_image": 1,
            "seed": 0,
        }
        for name, limit in least.items():
            value = getattr(self, name)
            if value < limit:
                raise UsageError(f"fit setting {name} must be at least {limit}, got {value}.")
        if not 0 < self.learning_rate < float("inf"):
            raise UsageError(
                f"fit setting learning_rate must be above 0, got {self.learning_rate}."
            )


@dataclass(frozen=True)
class FitProgress:
    """How far a fit has come.

    Attributes:
        stage: ``"read"``, gathering pixels of painted samples; then ``"fit"``.
        done: samples read, or steps made.
        total: steps to make; None while reading, where nobody knows how many come.
        loss: mean cross-entropy of the members' last batches, while fitting.
    """

    stage: Literal["read", "fit"]
    done: int
    total: int | None = None
    loss: float | None = None


@dataclass(frozen=True)
class FitReport:
    """What a fit saw and how it ended.

    Attributes:
        images: painted samples read.
        pixels: pixels fitted on.
        class_pixels: painted pixels of each class, over all samples, in the order of ids.
        steps: optimizer steps made.
        epochs: passes over the pixels that those steps amount to.
        final_loss: mean cross-entropy of the members over the last tenth of the steps.
        seconds: wall-clock time, reading included.
    """

    images: int
    pixels: int
    class_pixels: tuple[int, ...]
    steps: int
    epochs: float
    final_loss: float
    seconds: float

    def unpainted_classes(self, taxonomy: ClassTaxonomy) -> tuple[str, ...]:
        """Return the names of classes that no sample shows: they cannot be learned."""
        return tuple(
            name
            for name, count in zip(taxonomy.names, self.class_pixels, strict=True)
            if count == 0
        )
