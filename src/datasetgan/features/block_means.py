"""What lies around a pixel, as further feature levels: block means of the fine ones.

A fine level tells what a pixel is made of, a coarse one where it lies; neither says
what the neighbourhood is made of. The means of the fine levels over an 8 x 8 grid do,
and they are levels like any other: read by four taps, projected at their own resolution.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from datasetgan.features.pyramid import FeatureLevel, FeaturePyramid
from datasetgan.features.reading import cropped_tensors

__all__ = [
    "Context",
    "InputChoice",
    "context_sources",
    "context_tensors",
    "input_levels",
    "input_tensors",
]

Context = Literal["none", "blocks"]
"""What a classifier reads beside a pixel's own features: nothing, or block means."""

_ROWS = 8


@dataclass(frozen=True)
class InputChoice:
    """What the members of an ensemble read.

    Attributes:
        level_falloff: the center of their powers; `spread_falloffs` makes them.
        context: whether they heed the context.
    """

    level_falloff: float
    context: Context


def context_sources(levels: Sequence[FeatureLevel]) -> tuple[FeatureLevel, ...]:
    """Return the levels whose block means are read: from half the picture's height on.

    A level of no more than 8 rows has none.
    """
    heights = [level.height - 2 * level.margin for level in levels]
    return tuple(
        level
        for level, height in zip(levels, heights, strict=True)
        if 2 * height >= max(heights) and height > _ROWS
    )


def context_tensors(features: FeaturePyramid) -> tuple[Tensor, ...]:
    """Return the block means of `context_sources`: [N, C, 8, w] float32, blocks nearly square."""
    wanted = context_sources(features.levels)
    means = []
    for level, tensor in zip(features.levels, cropped_tensors(features), strict=True):
        if level in wanted:
            columns = max(1, round(_ROWS * tensor.shape[3] / tensor.shape[2]))
            means.append(F.adaptive_avg_pool2d(tensor.float(), (_ROWS, columns)))
    return tuple(means)


def input_levels(levels: Sequence[FeatureLevel], context: Context) -> tuple[FeatureLevel, ...]:
    """Return where each part of a classifier's input comes from: the levels, then the context.

    A level that is read twice, itself and its block means, is listed twice.
    """
    return (*levels, *(context_sources(levels) if context == "blocks" else ()))


def input_tensors(features: FeaturePyramid, context: Context) -> tuple[Tensor, ...]:
    """Return what a classifier reads [N, C, h, w], margins cropped, as `input_levels` lists."""
    return (*cropped_tensors(features), *(context_tensors(features) if context == "blocks" else ()))
