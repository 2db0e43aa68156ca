"""Training all members of a head together."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import cos, pi
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from datasetgan.errors import UsageError
from datasetgan.features import FeatureLevel
from datasetgan.features.block_means import Context, input_levels
from datasetgan.interpreter.ensemble.stacked import StackedHead, StackedLinear
from datasetgan.interpreter.fitting.optimizer import Adam, StopRule
from datasetgan.interpreter.fitting.pixel_source import PixelBatch, PixelSource, draw_items
from datasetgan.interpreter.fitting.settings import FitSettings, Normalization
from datasetgan.runtime import training_precision
from datasetgan.taxonomy import IGNORE_INDEX

__all__ = ["InputScaling", "TrainingStep", "exported", "train_members"]

_CHECK_EVERY = 10


@dataclass(frozen=True, eq=False)
class InputScaling:
    """What is done to features before the first layer while training.

    A member reads ``(x - mean) * scale * member_scale[m]``.

    Attributes:
        mean: [C].
        scale: [C], above 0.
        member_scale: [M, C], what each member multiplies by in addition; 0 for channels
            that it does without.
    """

    mean: Tensor
    scale: Tensor
    member_scale: Tensor

    @classmethod
    def measured(
        cls,
        source: PixelSource,
        levels: Sequence[FeatureLevel],
        *,
        normalization: Normalization,
        falloffs: Sequence[float],
        contexts: Sequence[Context],
    ) -> Self | None:
        """Measure on a source's pixels.

        ``"levels"`` divides each level by the root mean square of its values,
        ``"channels"`` brings each channel to mean 0 and deviation 1.

        Args:
            source: what is trained on.
            levels: of the generator.
            normalization: ``"none"`` gives None.
            falloffs: one per member: its power of a level's height over the finest one's.
            contexts: one per member: whether it heeds the context, where it is read.
        """
        if normalization == "none":
            return None
        own = sum(level.channels for level in levels)
        levels = input_levels(levels, source.context)
        channels = [level.channels for level in levels]
        mean, square = source.moments(channels)
        tiny = 1e-12
        if normalization == "channels":
            scale = (square - mean.square()).clamp(min=tiny).rsqrt()
            # A channel that hardly moves says nothing; it must not be blown up.
            scale = scale.clamp(max=1e3 * float(scale.median()))
        else:
            mean = torch.zeros_like(mean)
            scale = torch.cat(
                [
                    part.mean().clamp(min=tiny).rsqrt().expand(len(part))
                    for part in torch.split(square, channels)
                ]
            )
        device = source.device
        heights = torch.tensor([level.height - 2 * level.margin for level in levels])
        relative = (heights / heights.max()).repeat_interleave(torch.tensor(channels))  # [C]
        member_scale = relative ** torch.tensor(falloffs)[:, None]  # [M, C]
        member_scale[torch.tensor([context == "none" for context in contexts]), own:] = 0
        return cls(mean.float().to(device), scale.float().to(device), member_scale.to(device))

    @torch.no_grad()
    def fold_into(self, head: StackedHead) -> None:
        """Change a head's first layer so that it reads raw features."""
        first = head.layers[0]
        assert isinstance(first, StackedLinear)
        first.weight.mul_(self.member_scale[:, None] * self.scale)
        first.bias.sub_(first.weight @ self.mean)

    @torch.no_grad()
    def unfold_from(self, head: StackedHead) -> None:
        """Undo `fold_into`."""
        first = head.layers[0]
        assert isinstance(first, StackedLinear)
        first.bias.add_(first.weight @ self.mean)
        # What was multiplied by 0 is 0 and stays so.
        first.weight.div_((self.member_scale[:, None] * self.scale).clamp(min=1e-30))


@dataclass(frozen=True, eq=False)
class TrainingStep:
    """How far training has come.

    Attributes:
        step: optimizer steps made, from 1.
        losses: [M] of the step, still on the device.
        finished: whether it was the last one.
    """

    step: int
    losses: Tensor
    finished: bool


def train_members(
    head: StackedHead,
    source: PixelSource,
    *,
    settings: FitSettings,
    steps: int,
    scaling: InputScaling | None,
) -> Iterator[TrainingStep]:
    """Train all members in place, one step per value drawn from the iterator.

    Args:
        head: in training mode after every step.
        source: painted pixels.
        settings: of the fit.
        steps: the whole budget, along which the learning rate falls.
        scaling: of the features.

    Raises:
        UsageError: the training diverged.
    """
    official = settings.head == "paper"
    members = head.num_members
    batch = max(1, settings.resolved.batch // source.pixels_per_item)
    weights = source.weights(settings.resolved.sampling)
    orders = [
        draw_items(len(source), batch=batch, seed=settings.seed, member=m, weights=weights)
        for m in range(members if official else 1)
    ]
    optimizer = Adam(head.parameters())
    rules = [StopRule() for _ in range(members)]
    stopped: dict[int, dict[str, Tensor]] = {}
    # The official regime is float32; else matrix units where the processor has them.
    fast = not official and training_precision(source.device.type) == "bfloat16"
    for step in range(steps):
        head.train()
        drawn = source.read(torch.cat([next(order) for order in orders]))
        x = drawn.features
        if scaling is not None:
            x = (x - scaling.mean) * scaling.scale
        if official:
            x = x.view(members, batch, -1)  # [M, B, C]
        with torch.autocast(source.device.type, torch.bfloat16, enabled=fast):
            outputs = head(x, input_scale=None if scaling is None else scaling.member_scale)
        outputs = outputs.float().reshape(members, -1, head.num_outputs)  # [M, B', K]
        losses = _losses(outputs, drawn)
        losses.sum().backward()  # type: ignore[no-untyped-call]
        rate = 1.0 if official else (1 + cos(pi * step / steps)) / 2
        optimizer.step(settings.resolved.learning_rate * rate)
        losses = losses.detach()
        if (step + 1) % _CHECK_EVERY == 0 or step + 1 == steps:
            _check(losses, step + 1, steps, settings)
        finished = step + 1 == steps
        if official:
            epoch = step * batch // len(source)
            for m, loss in enumerate(losses.tolist()):
                if m not in stopped and rules[m].update(epoch, loss):
                    stopped[m] = {k: v[m].clone() for k, v in head.state_dict().items()}
            # A member that has stopped is trained on with the rest, and put back.
            finished = finished or len(stopped) == members
            if finished:
                _restore(head, stopped)
        yield TrainingStep(step + 1, losses, finished)
        if finished:
            return


def _losses(outputs: Tensor, drawn: PixelBatch) -> Tensor:
    """Return each member's mean cross-entropy [M] over the painted pixels."""
    members, pixels, _ = outputs.shape
    own = drawn.targets.numel() == members * pixels
    targets = drawn.targets.view(members, pixels) if own else drawn.targets.expand(members, -1)
    painted = targets != IGNORE_INDEX
    losses = F.cross_entropy(
        outputs.flatten(0, 1), targets.flatten(), ignore_index=IGNORE_INDEX, reduction="none"
    ).view(members, pixels)
    return losses.sum(dim=1) / painted.sum(dim=1).clamp(min=1)


def _check(losses: Tensor, step: int, steps: int, settings: FitSettings) -> None:
    current = float(losses.mean())
    if not np.isfinite(current):
        raise UsageError(
            f"the fit diverged at step {step} of {steps} (loss {current}): "
            f"set a learning_rate below {settings.resolved.learning_rate}."
        )


def _restore(head: StackedHead, stopped: dict[int, dict[str, Tensor]]) -> None:
    state = head.state_dict()
    for m, own in stopped.items():
        for name, tensor in own.items():
            state[name][m] = tensor


def exported(head: StackedHead, scaling: InputScaling | None) -> StackedHead:
    """Return a copy of a head in training that reads raw features, ready to predict."""
    copy = deepcopy(head)
    if scaling is not None:
        scaling.fold_into(copy)
    return copy.eval().requires_grad_(False)
