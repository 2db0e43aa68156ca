"""How far a fit is, what it saw and how it ended."""

from dataclasses import dataclass
from typing import Literal

from datasetgan.keypoints import KeypointSchema
from datasetgan.taxonomy import ClassTaxonomy

__all__ = ["FitProgress", "FitReport", "KeypointReport"]


@dataclass(frozen=True)
class FitProgress:
    """How far a fit has come.

    Attributes:
        stage: ``"read"``, gathering samples; then ``"fit"``.
        done: samples read, or steps made.
        total: steps to make; None while reading, where nobody knows how many come.
        loss: mean loss of the members' last batches, while fitting.
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


@dataclass(frozen=True)
class KeypointReport:
    """What a fit of keypoints saw and how it ended.

    Attributes:
        images: annotated samples read.
        pixels: pixels fitted on.
        points: visible points of each name, over all samples, in the order of the schema.
        steps: optimizer steps made.
        final_loss: mean squared error of the heat over the last tenth of the steps.
        seconds: wall-clock time, reading included.
    """

    images: int
    pixels: int
    points: tuple[int, ...]
    steps: int
    final_loss: float
    seconds: float

    def unseen(self, schema: KeypointSchema) -> tuple[str, ...]:
        """Return the names that no sample shows: they cannot be learned."""
        return tuple(n for n, count in zip(schema.names, self.points, strict=True) if count == 0)
