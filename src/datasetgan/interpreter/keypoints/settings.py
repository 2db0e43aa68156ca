"""How a keypoint interpreter is fitted."""

from dataclasses import dataclass
from typing import Literal

from datasetgan.errors import UsageError, check_literals
from datasetgan.interpreter.ensemble.heads import HeadName
from datasetgan.interpreter.fitting.recipe import Normalization, Recipe
from datasetgan.interpreter.fitting.settings import (
    SurroundingsChoice,
    check_at_least,
    check_rate,
    settle_inputs,
)
from datasetgan.keypoints.heat_maps import SIGMA_SHARE

__all__ = ["KeypointSettings"]

_KIND = "keypoint"


@dataclass(frozen=True)
class KeypointSettings:
    """The budget of a fit, what its members read, and what its heat maps are.

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
            each, the rest from everywhere else.
        normalization: of features, as `FitSettings` has it. Points lost by it on the cells.
        level_falloff: as `FitSettings` has it; 0 where nothing is normalized.
        surroundings: likewise; ``"none"`` where nothing is normalized.
        cache_mb: MiB of features held in memory; the rest lies in temporary files.
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
    normalization: Normalization = "none"
    level_falloff: float | Literal["choose"] = "choose"
    surroundings: SurroundingsChoice = "choose"
    cache_mb: int = 4096
    seed: int = 0

    def __post_init__(self) -> None:
        # A batch normalisation needs two values to normalise.
        check_at_least(
            self, _KIND, num_members=1, batch=2, steps=1, pixels_per_image=2, cache_mb=0, seed=0
        )
        check_literals(self)
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
        check_rate(self.learning_rate, _KIND)
        settle_inputs(self, _KIND)

    @property
    def recipe(self) -> Recipe:
        """The regime that these settings are."""
        return Recipe(
            batch=self.batch,
            learning_rate=self.learning_rate,
            max_steps=self.steps,
            pixels_per_image=self.pixels_per_image,
            sampling="uniform",
            normalization=self.normalization,
            products="float32",
        )
