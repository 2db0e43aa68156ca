"""What a classifier reads of a pixel: feature levels, and what lies around it.

A fine level tells what a pixel is made of, a coarse one where it lies; neither says
what the neighbourhood is made of. The means of the fine levels over an 8 x 8 grid do,
and they are levels like any other: read by four taps, projected at their own resolution.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Self, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from datasetgan.errors import UsageError, unknown_name
from datasetgan.features.pyramid import FeatureLevel, FeaturePyramid

__all__ = ["InputSpec", "Surroundings", "check_levels"]

Surroundings = Literal["none", "blocks"]
"""What is read beside a pixel's own features: nothing, or block means."""

_ROWS = 8
# Of the members' powers, to either side of their centre.
_SPREAD = 2.0
_MAX_LISTED = 8


@dataclass(frozen=True)
class InputSpec:
    """What all members of an ensemble read, and how much they make of it.

    Attributes:
        levels: the feature levels, coarse to fine, margins included.
        surroundings: what is read beside a pixel's own features.
        level_falloff: a level of half the finest one's height counts ``2**-falloff``; of
            an ensemble, the centre of its members' powers. None where nobody has chosen
            yet, and in files that do not say.
        heeded: the surroundings that have weight. A fit that compares reads them, and may
            find that they mislead. None as for `level_falloff`.

    Raises:
        UsageError: no levels, an unknown name, or surroundings that are heeded unread.
    """

    levels: tuple[FeatureLevel, ...]
    surroundings: Surroundings = "none"
    level_falloff: float | None = None
    heeded: Surroundings | None = None

    def __post_init__(self) -> None:
        if not self.levels:
            raise UsageError("an interpreter needs at least one feature level.")
        for name in (self.surroundings, self.heeded or "none"):
            if name not in get_args(Surroundings):
                raise UsageError(unknown_name("surroundings", name, get_args(Surroundings)))
        if self.heeded == "blocks" and self.surroundings == "none":
            raise UsageError("surroundings cannot be heeded that are not read.")

    def weighing(self, level_falloff: float, heeded: Surroundings) -> Self:
        """Return the same levels with a choice of what counts."""
        return replace(self, level_falloff=level_falloff, heeded=heeded)

    def spread(self, num_members: int) -> tuple[Self, ...]:
        """Return what each member makes of these inputs.

        Powers lie evenly from 2 below the centre, or 0, to 2 above. Members that trust
        coarse levels to different degrees err in different places: their vote is better,
        and their disagreement says more, than that of ten alike. A centre of 0 is
        everybody's: levels as they are.

        Args:
            num_members: at least 1.
        """
        center = self.level_falloff or 0.0
        if center == 0 or num_members == 1:
            powers = [center] * num_members
        else:
            lowest = max(0.0, center - _SPREAD)
            powers = np.linspace(lowest, center + _SPREAD, num_members).tolist()
        return tuple(replace(self, level_falloff=power) for power in powers)

    @cached_property
    def blocks(self) -> tuple[FeatureLevel, ...]:
        """The levels whose block means are read: from half the picture's height on.

        A level of no more than 8 rows has none.
        """
        if self.surroundings == "none":
            return ()
        tallest = max(level.rows for level in self.levels)
        return tuple(x for x in self.levels if 2 * x.rows >= tallest and x.rows > _ROWS)

    @property
    def sources(self) -> tuple[FeatureLevel, ...]:
        """Where each part of the input comes from: the levels, then those of the block means."""
        return (*self.levels, *self.blocks)

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each of the `sources`; the length of a pixel's vector is their sum."""
        return tuple(level.channels for level in self.sources)

    @property
    def heights(self) -> tuple[float, ...]:
        """Rows of each of the `sources`, less their margins, relative to the picture's: 0 to 1."""
        tallest = max(level.rows for level in self.levels)
        return tuple(level.rows / tallest for level in self.sources)

    def weights(self) -> Tensor:
        """Return what a channel counts by this choice: [C] float32, 0 where it is not heeded."""
        relative = torch.tensor(self.heights)
        relative = relative ** torch.full_like(relative, self.level_falloff or 0.0)
        if self.heeded != "blocks":
            relative[len(self.levels) :] = 0
        return relative.repeat_interleave(torch.tensor(self.channels))

    def tensors(self, features: FeaturePyramid, *, source: str) -> tuple[Tensor, ...]:
        """Return what is read of images: [N, C, h, w] each, margins cropped, as `sources` lists.

        Args:
            features: of levels with these names and channels.
            source: names the features in the message.

        Raises:
            UsageError: other levels; every difference is listed.
        """
        check_levels(features.levels, self.levels, source=source)
        own = features.cropped
        blocks = [
            _block_means(tensor)
            for level, tensor in zip(self.levels, own, strict=True)
            if level in self.blocks
        ]
        return (*own, *blocks)


def _block_means(level: Tensor) -> Tensor:
    """Return the means of a level over blocks that are nearly square: [N, C, 8, w] float32."""
    columns = max(1, round(_ROWS * level.shape[3] / level.shape[2]))
    return F.adaptive_avg_pool2d(level.float(), (_ROWS, columns))


def check_levels(
    came: tuple[FeatureLevel, ...], fitted: tuple[FeatureLevel, ...], *, source: str
) -> None:
    """Raise `UsageError` unless levels have the names and channels of the fitted ones.

    Args:
        source: names the features in the message, which lists every difference.
    """
    pairs = [(level.name, level.channels) for level in came]
    wanted = [(level.name, level.channels) for level in fitted]
    if pairs == wanted:
        return
    missing = [f"missing {_described(pair)}" for pair in wanted if pair not in pairs]
    unexpected = [f"unexpected {_described(pair)}" for pair in pairs if pair not in wanted]
    differences = missing + unexpected or ["the same levels in another order"]
    more = len(differences) - _MAX_LISTED
    listed = "; ".join(differences[:_MAX_LISTED]) + (f"; and {more} more" if more > 0 else "")
    raise UsageError(
        f"{source} do not fit the interpreter: {listed}. "
        "Use the generator that it was fitted on, or fit a new interpreter."
    )


def _described(pair: tuple[str, int]) -> str:
    name, channels = pair
    return f"{name} ({channels} channels)"
