"""What a classifier reads: how much coarse levels may say, and what it heeds of its surroundings.

A coarse level has few independent values in a handful of images: a 4 x 4 level of 16
images 256, for 128 channels and more. At full size it lends itself to remembering those
images. So levels are scaled down by their height over the finest one's, to a power. That
power, and whether surroundings tell more than they mislead, depend on the images; both
are chosen on some that are held out.
"""

from dataclasses import replace
from itertools import product
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from datasetgan.features import InputSpec, Surroundings
from datasetgan.interpreter.ensemble.stacked import StackedHead
from datasetgan.interpreter.fitting.folds import split_folds
from datasetgan.interpreter.fitting.losses import PixelLoss
from datasetgan.interpreter.fitting.pixel_source import PixelSource
from datasetgan.interpreter.fitting.trainer import (
    InputScaling,
    Task,
    exported,
    train_members,
)

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
    task: Task,
    *,
    level_falloff: float | Literal["choose"] = "choose",
    surroundings: Surroundings | Literal["choose"] = "choose",
) -> InputSpec:
    """Try powers, with and without surroundings, on three folds of whole images.

    One member per candidate is trained for a short while, all from the same start and
    in the same batches. Judged is the mean loss over held-out images, weighed as the
    fit's sampling weighs pixels: surroundings are those of the lowest, and of their
    candidates the highest power within 5 % is taken. Classes that a fold's other images
    do not show are left out there. What is given is not tried.

    Args:
        source: pixels of the images to fit on; no others are looked at.
        task: what is to be fitted.
        level_falloff: the centre of the members' powers, if it is to be that one.
        surroundings: what they heed, if it is to be that.

    Returns:
        The source's inputs with the choice; the middle one of `FALLOFFS`, and the
        surroundings that are read, if there is one image alone.
    """
    powers = FALLOFFS if level_falloff == "choose" else (level_falloff,)
    heeded = get_args(Surroundings) if surroundings == "choose" else (surroundings,)
    candidates = [source.inputs.weighing(*pair) for pair in product(powers, heeded)]
    if len(candidates) == 1:
        return candidates[0]
    images = source.images
    shown = [source.restricted_to([image]).shown for image in images]
    folds = split_folds(len(images), folds=_FOLDS, seed=task.seed, classes=shown)
    if not folds:
        return source.inputs.weighing(powers[len(powers) // 2], heeded[-1])
    short = replace(task, num_members=len(candidates))
    losses = torch.zeros(len(candidates), dtype=torch.float64)
    for fold in folds:
        held_out = source.restricted_to([images[i] for i in fold])
        rest = source.restricted_to([image for i, image in enumerate(images) if i not in fold])
        scaling = InputScaling.measured(
            rest, normalization=task.recipe.normalization, members=candidates
        )
        head = short.build(source)
        with torch.no_grad():
            for parameter in head.parameters():
                parameter.copy_(parameter[:1].clone())
        for _ in train_members(head, rest, task=short, steps=_STEPS, scaling=scaling):
            pass
        losses += _mean_losses(exported(head, scaling), held_out, task.loss, known=rest.shown)
    best = candidates[int(losses.argmin())]
    good = (losses <= _TOLERANCE * losses.min()).tolist()
    alike = [
        candidate
        for candidate, is_good in zip(candidates, good, strict=True)
        if is_good and candidate.heeded == best.heeded
    ]
    return max(alike, key=lambda candidate: candidate.level_falloff or 0.0)


@torch.no_grad()
def _mean_losses(
    head: StackedHead, source: PixelSource, loss: PixelLoss, *, known: frozenset[int]
) -> Tensor:
    """Return each member's weighed mean loss [M], float64, over the known outputs."""
    wanted = source.wanted()
    weighed = torch.ones(len(source)).double() if wanted is None else torch.from_numpy(wanted)
    losses = torch.zeros(head.num_members, dtype=torch.float64)
    weight = 0.0
    side = source.pixels_per_item
    few = torch.arange(0, len(source), max(1, source.pixels // _SCORED))
    for items in torch.split(few, max(1, _PIECE // side)):
        drawn = source.read(items)
        outputs = head(drawn.features).reshape(head.num_members, -1, head.num_outputs)
        found, counted = loss(outputs, drawn.targets, known=known)
        own = weighed[items].repeat_interleave(side)
        losses += found.cpu().double() @ own
        weight += float(own[counted[0].cpu()].sum())
    return losses / max(weight, 1e-12)
