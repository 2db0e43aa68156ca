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

import torch

from datasetgan.features import InputSpec, Surroundings
from datasetgan.interpreter.fitting.folds import split_folds
from datasetgan.interpreter.fitting.pixel_source import PixelSource
from datasetgan.interpreter.fitting.trainer import Task, Training

__all__ = ["FALLOFFS", "choose_inputs"]

FALLOFFS = (0.0, 2.0, 4.0)
"""The powers that `choose_inputs` tries."""

_FOLDS = 3
_STEPS = 120
# What a member remembers of its images costs it later than these few steps show.
_TOLERANCE = 1.05


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
    images, shown = source.images, source.shown_by_image
    folds = split_folds(len(images), folds=_FOLDS, seed=task.seed, classes=shown)
    if not folds:
        return source.inputs.weighing(powers[len(powers) // 2], heeded[-1])
    short = replace(task, num_members=len(candidates))
    losses = torch.zeros(len(candidates), dtype=torch.float64)
    for fold in folds:
        out = [images[i] for i in fold]
        training = Training.begin(
            source.without(out), short, members=candidates, steps=_STEPS, starts_alike=True
        )
        training.drive()
        losses += training.judge(source.restricted_to(out))
    best = candidates[int(losses.argmin())]
    good = (losses <= _TOLERANCE * losses.min()).tolist()
    alike = [
        candidate
        for candidate, is_good in zip(candidates, good, strict=True)
        if is_good and candidate.heeded == best.heeded
    ]
    return max(alike, key=lambda candidate: candidate.level_falloff or 0.0)
