"""Regimes of training: the paper's, and what serves better here."""

from dataclasses import dataclass
from typing import Literal

from datasetgan.interpreter.ensemble.heads import HeadName

__all__ = ["RECIPES", "Normalization", "Recipe", "Sampling"]

Sampling = Literal["uniform", "regions", "balanced"]
"""Which painted pixels a step sees: all alike, or more of small regions or of rare classes."""

Normalization = Literal["none", "levels", "channels"]
"""What is brought to unit size before the first layer: nothing, each level, or each channel."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a kind of head is trained.

    Attributes:
        batch: pixels per step.
        batches: whether all members see the same ones, or each its own.
        learning_rate: of Adam, at the start.
        schedule: whether it falls to zero along half a cosine, or stays.
        max_steps: of the optimizer; None where epochs alone are counted.
        stop_rule: none, or the official code's; see `StopRule`.
        pixels_per_image: read of every image, at least; None for all that are painted.
        sampling: which of them a step sees.
        normalization: of what the first layer reads.
        products: their type; the fastest is bfloat16 where the processor multiplies in it.
    """

    batch: int = 512
    batches: Literal["shared", "own"] = "shared"
    learning_rate: float = 3e-3
    schedule: Literal["cosine", "steady"] = "cosine"
    max_steps: int | None = 300
    stop_rule: Literal["none", "official"] = "none"
    pixels_per_image: int | None = 4096
    sampling: Sampling = "balanced"
    normalization: Normalization = "levels"
    products: Literal["float32", "fastest"] = "fastest"


# The best of what docs/experiments.md lists among those that take seconds.
_QUICK = Recipe()
_PAPER = Recipe(
    batch=64,
    batches="own",
    learning_rate=1e-3,
    schedule="steady",
    max_steps=None,
    stop_rule="official",
    pixels_per_image=None,
    sampling="uniform",
    normalization="none",
    products="float32",
)

RECIPES: dict[HeadName, Recipe] = {
    "paper": _PAPER,
    "linear": _QUICK,
    "mlp": _QUICK,
    "conv": _QUICK,
}
"""The regime of each head: the official code's for the paper's own."""
