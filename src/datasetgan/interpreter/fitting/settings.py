"""How an interpreter is fitted."""

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import AliasChoices, Field

from datasetgan.errors import UsageError, check_literals, unknown_name
from datasetgan.interpreter.ensemble.heads import HeadName
from datasetgan.interpreter.fitting.recipe import RECIPES, Normalization, Recipe, Sampling

__all__ = [
    "FitSettings",
    "SurroundingsChoice",
    "check_at_least",
    "check_rate",
    "settle_inputs",
]

SurroundingsChoice = Literal["choose", "none", "blocks"]
"""`Surroundings`, or to be chosen on held-out images."""

# Never seen in settings: what is left out is the head's recipe's.
_OF_RECIPE: Any = None
_OF_RECIPE_FIELDS = (
    "learning_rate",
    "batch",
    "max_steps",
    "pixels_per_image",
    "sampling",
    "normalization",
)


@dataclass(frozen=True)
class FitSettings:
    """How an interpreter is fitted.

    A head has a `Recipe`, and what is left out here is the recipe's: `FitSettings()` holds
    the values of ``"mlp"``, `FitSettings.paper()` the official code's: raw features, all
    painted pixels in batches of 64 of every member's own, a steady learning rate, and its
    stop rule. `sampling`, `normalization`, `level_falloff` and `surroundings` may not be set
    for that one.

    Training ends after `max_epochs` or `max_steps`, whichever comes first.

    Attributes:
        head: kind of classifier; see `HEADS`.
        num_members: classifiers in the ensemble; the paper's 10.
        learning_rate: of Adam, at the start.
        batch: pixels per step.
        max_epochs: passes over the sampled pixels; the paper's limit.
        max_steps: optimizer steps; None is no limit.
        warm_steps: optimizer steps of a fit that starts from an earlier interpreter.
        pixels_per_image: sampled of every image, beside one of each painted region; None
            takes all that are painted.
        sampling: with ``"regions"`` or ``"balanced"``, a region, or a class, of four times
            the pixels of another is drawn twice as often instead of four times.
        normalization: taken from the pixels; folded into the weights after the fit.
        level_falloff: from 0 on; a level of half the finest one's height is scaled by
            ``2**-falloff`` before the first layer. Members differ, by 2 at most: see
            `InputSpec.spread`. ``"choose"`` takes what serves held-out images best, see
            `choose_inputs`; 0 where nothing is normalized.
        surroundings: what is read beside a pixel's own features; ``"choose"`` likewise, and
            ``"none"`` where nothing is normalized. Older projects say `context`.
        cache_mb: MiB of features held in memory; the rest lies in temporary files.
        seed: of initial weights, sampled pixels and their order.

    Raises:
        UsageError: a value out of range, or one that the head has no use for.
    """

    head: HeadName = "mlp"
    num_members: int = 10
    learning_rate: float = _OF_RECIPE
    batch: int = _OF_RECIPE
    max_epochs: int = 100
    max_steps: int | None = _OF_RECIPE
    warm_steps: int = 40
    pixels_per_image: int | None = _OF_RECIPE
    sampling: Sampling = _OF_RECIPE
    normalization: Normalization = _OF_RECIPE
    level_falloff: float | Literal["choose"] = "choose"
    surroundings: Annotated[
        SurroundingsChoice, Field(validation_alias=AliasChoices("surroundings", "context"))
    ] = "choose"
    cache_mb: int = 4096
    seed: int = 0

    @classmethod
    def paper(cls, *, num_members: int = 10, seed: int = 0) -> Self:
        """Return the regime of the paper and its official code (Zhang et al. 2021, sec. 3)."""
        return cls(head="paper", num_members=num_members, seed=seed)

    def __post_init__(self) -> None:
        if self.head not in RECIPES:
            raise UsageError(unknown_name("head", self.head, RECIPES))
        recipe = RECIPES[self.head]
        for name in _OF_RECIPE_FIELDS:
            if getattr(self, name) is _OF_RECIPE:
                object.__setattr__(self, name, getattr(recipe, name))
        # A batch normalisation needs two values to normalise.
        check_at_least(
            self,
            "fit",
            num_members=1,
            batch=2,
            max_epochs=1,
            max_steps=1,
            warm_steps=1,
            pixels_per_image=1,
            cache_mb=0,
            seed=0,
        )
        check_rate(self.learning_rate, "fit")
        check_literals(self)
        if self.head == "paper":
            self._check_paper()
        settle_inputs(self, "fit")

    def _check_paper(self) -> None:
        wanted: dict[str, tuple[object, ...]] = {
            "sampling": (RECIPES["paper"].sampling,),
            "normalization": (RECIPES["paper"].normalization,),
            "level_falloff": ("choose", 0),
            "surroundings": ("choose", "none"),
        }
        for name, allowed in wanted.items():
            if getattr(self, name) not in allowed:
                raise UsageError(
                    f"the head 'paper' follows the official code, which knows no {name}. "
                    f"Leave fit setting {name} out, or choose the head 'mlp'."
                )

    @property
    def recipe(self) -> Recipe:
        """The head's recipe with what is set here."""
        values = {name: getattr(self, name) for name in _OF_RECIPE_FIELDS}
        return replace(RECIPES[self.head], **values)


class ReadsInputs(Protocol):
    """Settings that say what members read."""

    @property
    def normalization(self) -> Normalization: ...
    @property
    def level_falloff(self) -> float | Literal["choose"]: ...
    @property
    def surroundings(self) -> SurroundingsChoice: ...


def check_at_least(settings: object, kind: str, **least: int) -> None:
    """Raise `UsageError` where a setting lies below its limit; None is no number.

    Args:
        kind: of the settings, for the message.
    """
    for name, limit in least.items():
        value = getattr(settings, name)
        if value is not None and value < limit:
            raise UsageError(f"{kind} setting {name} must be at least {limit}, got {value}.")


def check_rate(learning_rate: float, kind: str) -> None:
    """Raise `UsageError` unless a learning rate is above 0."""
    if not 0 < learning_rate < float("inf"):
        raise UsageError(f"{kind} setting learning_rate must be above 0, got {learning_rate}.")


def settle_inputs(settings: "ReadsInputs", kind: str) -> None:
    """Check what settings say of inputs; nothing is left to choose where nothing is normalized.

    Args:
        settings: under construction.
        kind: of the settings, for the message.

    Raises:
        UsageError: an unknown name, or a falloff below 0 or of features as they are.
    """
    falloff = settings.level_falloff
    if isinstance(falloff, str):
        if falloff != "choose":
            raise UsageError(unknown_name("level_falloff", falloff, ("choose",)))
    elif not 0 <= falloff < float("inf"):
        raise UsageError(
            f"{kind} setting level_falloff must be 0 or more, or 'choose', got {falloff}."
        )
    if settings.normalization != "none":
        return
    if falloff not in ("choose", 0):
        raise UsageError(
            f"{kind} setting level_falloff scales normalized levels, and normalization is "
            "'none'. Leave one of them out."
        )
    object.__setattr__(settings, "level_falloff", 0.0)
    if settings.surroundings == "choose":
        object.__setattr__(settings, "surroundings", "none")
