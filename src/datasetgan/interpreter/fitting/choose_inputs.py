"""What a classifier reads: how much coarse levels may say, and whether it heeds a context.

A coarse level has few independent values in a handful of images: a 4 x 4 level of 16
images 256, for 128 channels and more. At full size it lends itself to remembering those
images. So levels are scaled down by their height over the finest one's, to a power. That
power, and whether surroundings tell more than they mislead, depend on the images; both
are chosen on some that are held out.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from datasetgan.features import FeatureLevel
from datasetgan.features.block_means import Context, InputChoice, input_levels
from datasetgan.interpreter.ensemble.heads import build_head
from datasetgan.interpreter.ensemble.stacked import StackedHead
from datasetgan.interpreter.fitting.pixel_source import PixelSource
from datasetgan.interpreter.fitting.settings import FitSettings
from datasetgan.interpreter.fitting.trainer import InputScaling, exported, train_members
from datasetgan.interpreter.validation.folds import split_folds
from datasetgan.taxonomy import IGNORE_INDEX

__all__ = ["FALLOFFS", "choose_inputs", "spread_falloffs"]

FALLOFFS = (0.0, 2.0, 4.0)
"""The powers that `choose_inputs` tries."""

_SPREAD = 2.0
_FOLDS = 3
_STEPS = 120
# What a member remembers of its images costs it later than these few steps show.
_TOLERANCE = 1.05
_SCORED = 8192
_PIECE = 1024


def spread_falloffs(center: float, num_members: int) -> tuple[float, ...]:
    """Return one power per member, evenly from 2 below the center, or 0, to 2 above.

    Members that trust coarse levels to different degrees err in different places: their
    vote is better, and their disagreement says more, than that of ten alike. A center
    of 0 is everybody's: levels as they are.
    """
    if center == 0 or num_members == 1:
        return (center,) * num_members
    lowest = max(0.0, center - _SPREAD)
    return tuple(np.linspace(lowest, center + _SPREAD, num_members).tolist())


def choose_inputs(
    source: PixelSource,
    levels: Sequence[FeatureLevel],
    *,
    num_outputs: int,
    settings: FitSettings,
) -> InputChoice:
    """Try powers, with and without context, on three folds of whole images and return what to use.

    One member per candidate is trained for a short while, all from the same start and
    in the same batches. Judged is the mean cross-entropy over held-out images, weighed
    as the fit's sampling weighs pixels: the context is that of the lowest, and of its
    candidates the highest power within 5 % is taken. Classes that a fold's other images
    do not show are left out there. What the settings fix is not tried.

    Args:
        source: pixels of the images to fit on; no others are looked at.
        levels: of the generator.
        num_outputs: classes.
        settings: of the fit.

    Returns:
        The choice; the middle one of `FALLOFFS`, and the context that is read, if there
        is one image alone.
    """
    values = settings.resolved
    powers = FALLOFFS if values.level_falloff is None else (values.level_falloff,)
    contexts = get_args(Context) if values.context is None else (values.context,)
    candidates = [InputChoice(*pair) for pair in product(powers, contexts)]
    if len(candidates) == 1:
        return candidates[0]
    images = np.unique(source.item_images.numpy()).tolist()
    classes = [source.restricted_to([image]).classes for image in images]
    folds = split_folds(len(images), folds=_FOLDS, seed=settings.seed, classes=classes)
    short = replace(settings, num_members=len(candidates), max_steps=_STEPS)
    losses = torch.zeros(len(candidates), dtype=torch.float64)
    for fold in folds:
        held_out = source.restricted_to([images[i] for i in fold])
        rest = source.restricted_to([image for i, image in enumerate(images) if i not in fold])
        scaling = InputScaling.measured(
            rest,
            levels,
            normalization=values.normalization,
            falloffs=[c.level_falloff for c in candidates],
            contexts=[c.context for c in candidates],
        )
        head = build_head(
            settings.head,
            num_members=len(candidates),
            in_channels=sum(level.channels for level in input_levels(levels, source.context)),
            num_outputs=num_outputs,
            seed=settings.seed,
        ).to(source.device)
        with torch.no_grad():
            for parameter in head.parameters():
                parameter.copy_(parameter[:1].clone())
        for _ in train_members(head, rest, settings=short, steps=_STEPS, scaling=scaling):
            pass
        weights = held_out.weights(values.sampling)
        losses += _mean_losses(exported(head, scaling), held_out, weights, known=rest.classes)
    if not folds:
        return InputChoice(powers[len(powers) // 2], contexts[-1])
    context = candidates[int(losses.argmin())].context
    power = max(
        candidate.level_falloff
        for candidate, is_good in zip(
            candidates, (losses <= _TOLERANCE * losses.min()).tolist(), strict=True
        )
        if is_good and candidate.context == context
    )
    return InputChoice(power, context)


@torch.no_grad()
def _mean_losses(
    head: StackedHead,
    source: PixelSource,
    weights: NDArray[np.float64] | None,
    *,
    known: frozenset[int],
) -> Tensor:
    """Return each member's weighed mean cross-entropy [M], float64, over known classes."""
    weighed = torch.ones(len(source)).double() if weights is None else torch.from_numpy(weights)
    losses = torch.zeros(head.num_members, dtype=torch.float64)
    weight = 0.0
    side = source.pixels_per_item
    few = torch.arange(0, len(source), max(1, len(source) * side // _SCORED))
    for items in torch.split(few, max(1, _PIECE // side)):
        drawn = source.read(items)
        classes = torch.tensor(sorted(known), device=drawn.targets.device)
        targets = torch.where(torch.isin(drawn.targets, classes), drawn.targets, IGNORE_INDEX)
        outputs = head(drawn.features).reshape(-1, head.num_outputs)  # [M * B', K]
        found = F.cross_entropy(
            outputs,
            targets.repeat(head.num_members),
            ignore_index=IGNORE_INDEX,
            reduction="none",
        )
        own = weighed[items].repeat_interleave(side)
        losses += found.view(head.num_members, -1).cpu().double() @ own
        weight += float(own[(targets != IGNORE_INDEX).cpu()].sum())
    return losses / max(weight, 1e-12)
