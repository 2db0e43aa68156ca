"""How an interpreter is fitted, and what came of it."""

from dataclasses import dataclass
from typing import Literal, get_args

from datasetgan.errors import UsageError, unknown_name
from datasetgan.features.block_means import Context, InputChoice
from datasetgan.interpreter.ensemble.heads import HEADS, HeadName
from datasetgan.taxonomy import ClassTaxonomy

__all__ = [
    "FitProgress",
    "FitReport",
    "FitSettings",
    "Normalization",
    "ResolvedSettings",
    "Sampling",
]

_PAPER_BATCH, _PAPER_RATE = 64, 1e-3
# The best of what docs/experiments.md lists among those that take seconds.
_BATCH, _RATE = 512, 3e-3
_STEPS = 300
_PIXELS = 4096


Sampling = Literal["uniform", "regions", "balanced"]
"""Which painted pixels a step sees: all alike, or more of small regions or of rare classes."""

Normalization = Literal["none", "levels", "channels"]
"""What is brought to unit size before the first layer: nothing, each level, or each channel."""


@dataclass(frozen=True)
class FitSettings:
    """How an interpreter is fitted.

    Training ends after `max_epochs` or `max_steps`, whichever comes first; the learning
    rate falls to zero along half a cosine, and all members see the same batches.

    The head ``"paper"`` follows the official code: raw features, all painted pixels in
    batches of 64 of every member's own, a steady learning rate, and its stop rule.
    `sampling`, `normalization`, `level_falloff` and `context` may not be set for it.

    Attributes:
        head: kind of classifier; see `HEADS`.
        num_members: classifiers in the ensemble; the paper's 10.
        learning_rate: of Adam, at the start. None: 1e-3 for ``"paper"``, else 3e-3.
        batch: pixels per step. None is the head's own: 64 for ``"paper"``, else 512.
        max_epochs: passes over the sampled pixels; the paper's limit.
        max_steps: optimizer steps. None: no limit for ``"paper"``, else 300.
        warm_steps: optimizer steps of a fit that starts from an earlier interpreter.
        pixels_per_image: sampled of every image, beside one of each painted region.
            None: all that are painted for ``"paper"``, else 4096.
        sampling: with ``"regions"`` or ``"balanced"``, a region, or a class, of four times
            the pixels of another is drawn twice as often instead of four times. None:
            ``"uniform"`` for ``"paper"``, else ``"balanced"``.
        normalization: taken from the pixels; folded into the weights after the fit.
        level_falloff: from 0 on; a level of half the finest one's height is scaled by
            ``2**-falloff`` before the first layer. Members differ, by 2 at most: see
            `spread_falloffs`. None: what serves held-out images best, see
            `choose_inputs`; 0 for ``"paper"`` and without normalization.
        context: what is read beside a pixel's own features; see `Context`. None: what
            serves held-out images best; ``"none"`` for ``"paper"`` and without
            normalization.
        cache_mb: MiB of features held in memory; the rest lies in temporary files.
        seed: of initial weights, sampled pixels and their order.

    Raises:
        UsageError: a value out of range, or one that the head has no use for.
    """

    head: HeadName = "mlp"
    num_members: int = 10
    learning_rate: float | None = None
    batch: int | None = None
    max_epochs: int = 100
    max_steps: int | None = None
    warm_steps: int = 40
    pixels_per_image: int | None = None
    sampling: Sampling | None = None
    normalization: Normalization | None = None
    level_falloff: float | None = None
    context: Context | None = None
    cache_mb: int = 4096
    seed: int = 0

    def __post_init__(self) -> None:
        # A batch normalisation needs two values to normalise.
        least = {
            "num_members": 1,
            "batch": 2,
            "max_epochs": 1,
            "max_steps": 1,
            "warm_steps": 1,
            "pixels_per_image": 1,
            "cache_mb": 0,
            "seed": 0,
        }
        for name, limit in least.items():
            value = getattr(self, name)
            if value is not None and value < limit:
                raise UsageError(f"fit setting {name} must be at least {limit}, got {value}.")
        if self.learning_rate is not None and not 0 < self.learning_rate < float("inf"):
            raise UsageError(
                f"fit setting learning_rate must be above 0, got {self.learning_rate}."
            )
        if self.head not in HEADS:
            raise UsageError(unknown_name("head", self.head, HEADS))
        named = {"sampling": Sampling, "normalization": Normalization, "context": Context}
        for name, choices in named.items():
            if (value := getattr(self, name)) is not None and value not in get_args(choices):
                raise UsageError(unknown_name(name, value, get_args(choices)))
        if self.level_falloff is not None and not 0 <= self.level_falloff < float("inf"):
            raise UsageError(
                f"fit setting level_falloff must be 0 or more, got {self.level_falloff}."
            )
        if self.head == "paper":
            self._check_paper()
        elif self.level_falloff and self.normalization == "none":
            raise UsageError(
                "fit setting level_falloff scales normalized levels, and normalization is "
                "'none'. Leave one of them out."
            )

    def _check_paper(self) -> None:
        set_ones = []
        if self.sampling not in (None, "uniform"):
            set_ones.append("sampling")
        if self.normalization not in (None, "none"):
            set_ones.append("normalization")
        if self.level_falloff:
            set_ones.append("level_falloff")
        if self.context not in (None, "none"):
            set_ones.append("context")
        if set_ones:
            raise UsageError(
                f"the head 'paper' follows the official code, which knows no {set_ones[0]}. "
                f"Leave fit setting {set_ones[0]} out, or choose the head 'mlp'."
            )

    @property
    def resolved(self) -> "ResolvedSettings":
        """The values in force where a setting is left to the head."""
        paper = self.head == "paper"
        raw = paper or self.normalization == "none"
        return ResolvedSettings(
            learning_rate=self.learning_rate or (_PAPER_RATE if paper else _RATE),
            sampling=self.sampling or ("uniform" if paper else "balanced"),
            batch=self.batch or (_PAPER_BATCH if paper else _BATCH),
            max_steps=self.max_steps or (None if paper else _STEPS),
            pixels_per_image=self.pixels_per_image or (None if paper else _PIXELS),
            normalization=self.normalization or ("none" if paper else "levels"),
            level_falloff=0.0 if raw else self.level_falloff,
            context=self.context or ("none" if raw else None),
        )


@dataclass(frozen=True)
class ResolvedSettings:
    """What `FitSettings` leaves to the head; None is no limit, or a choice still to make."""

    learning_rate: float
    sampling: Sampling
    batch: int
    max_steps: int | None
    pixels_per_image: int | None
    normalization: Normalization
    level_falloff: float | None
    context: Context | None

    @property
    def context_read(self) -> Context:
        """What is read, so that a choice can still be made."""
        return "blocks" if self.context is None else self.context


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
        inputs: what the members read, as given or chosen; see `FitSettings`.
    """

    images: int
    pixels: int
    class_pixels: tuple[int, ...]
    steps: int
    epochs: float
    final_loss: float
    seconds: float
    inputs: InputChoice

    def unpainted_classes(self, taxonomy: ClassTaxonomy) -> tuple[str, ...]:
        """Return the names of classes that no sample shows: they cannot be learned."""
        return tuple(
            name
            for name, count in zip(taxonomy.names, self.class_pixels, strict=True)
            if count == 0
        )
