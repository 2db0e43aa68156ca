"""How a keypoint interpreter is fitted, and what came of it."""

from dataclasses import dataclass

from datasetgan.errors import UsageError, unknown_name
from datasetgan.interpreter.ensemble.heads import HEADS, HeadName
from datasetgan.keypoints import KeypointSchema
from datasetgan.keypoints.heat_maps import SIGMA_SHARE

__all__ = ["KeypointReport", "KeypointSettings"]


@dataclass(frozen=True)
class KeypointSettings:
    """The budget of a fit, and what its heat maps are.

    Attributes:
        num_members: of the ensemble; the paper's 10.
        head: kind of the members; one that looks at single pixels.
        sigma_share: standard deviation of a heat map's bump as a share of the picture's
            longer side.
        threshold: heat from which on a point counts as visible. Members that are not
            sure of a place spread its heat, so this lies far below 1.
        learning_rate: of Adam, at the start; it falls to zero along half a cosine.
        batch: pixels per step; all members see the same ones.
        steps: of the optimizer.
        pixels_per_image: up to half of them near visible points, an equal share near
            each, the rest from everywhere else. Memory is this x images x channels x 4 bytes.
        seed: of initial weights, sampled pixels and their order.

    Raises:
        UsageError: a value out of range.
    """

    num_members: int = 10
    head: HeadName = "paper"
    sigma_share: float = SIGMA_SHARE
    threshold: float = 0.05
    learning_rate: float = 1e-3
    batch: int = 256
    steps: int = 150
    pixels_per_image: int = 2048
    seed: int = 0

    def __post_init__(self) -> None:
        # A batch normalisation needs two values to normalise.
        least = {"num_members": 1, "batch": 2, "steps": 1, "pixels_per_image": 2, "seed": 0}
        for name, limit in least.items():
            value = getattr(self, name)
            if value < limit:
                raise UsageError(f"keypoint setting {name} must be at least {limit}, got {value}.")
        if self.head not in HEADS:
            raise UsageError(unknown_name("head", self.head, HEADS))
        if self.head == "conv":
            raise UsageError(
                "keypoints are fitted on single pixels: head 'conv' looks at neighbours. "
                "Choose 'paper', 'mlp' or 'linear'."
            )
        for name in ("sigma_share", "threshold"):
            if not 0 < getattr(self, name) < 1:
                raise UsageError(
                    f"keypoint setting {name} must be between 0 and 1, got {getattr(self, name)}."
                )
        if not 0 < self.learning_rate < float("inf"):
            raise UsageError(
                f"keypoint setting learning_rate must be above 0, got {self.learning_rate}."
            )


@dataclass(frozen=True)
class KeypointReport:
    """What a fit saw and how it ended.

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
