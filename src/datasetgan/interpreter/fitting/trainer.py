"""Training all members of a head together."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import cos, isfinite, pi
from typing import Self

import torch
from torch import Tensor

from datasetgan.errors import TrainingError
from datasetgan.features import InputSpec
from datasetgan.interpreter.ensemble.heads import HeadName, build_head
from datasetgan.interpreter.ensemble.stacked import StackedHead, StackedLinear
from datasetgan.interpreter.fitting.losses import PixelLoss
from datasetgan.interpreter.fitting.optimizer import Adam, StopRule
from datasetgan.interpreter.fitting.pixel_source import (
    LABEL_ORDER_STREAM,
    PixelSource,
    draw_items,
)
from datasetgan.interpreter.fitting.recipe import Normalization, Recipe
from datasetgan.runtime import training_precision

__all__ = ["InputScaling", "Task", "TrainingStep", "exported", "train_members"]

_CHECK_EVERY = 10


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is trained, and how: everything but the pixels.

    Attributes:
        head: kind of the members.
        num_members: how many.
        num_outputs: of each: classes, or keypoints.
        loss: that their outputs are judged by.
        recipe: of the training.
        seed: of initial weights and of the order of pixels.
        order_stream: of random numbers, below the seed, for that order.
    """

    head: HeadName
    num_members: int
    num_outputs: int
    loss: PixelLoss
    recipe: Recipe
    seed: int
    order_stream: int = LABEL_ORDER_STREAM

    def build(self, source: PixelSource) -> StackedHead:
        """Build the members for a source's inputs, on its device."""
        return build_head(
            self.head,
            num_members=self.num_members,
            in_channels=sum(source.inputs.channels),
            num_outputs=self.num_outputs,
            seed=self.seed,
        ).to(source.device)


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
        cls, source: PixelSource, *, normalization: Normalization, members: Sequence[InputSpec]
    ) -> Self | None:
        """Measure on a source's pixels.

        ``"levels"`` divides each level by the root mean square of its values,
        ``"channels"`` brings each channel to mean 0 and deviation 1.

        Args:
            source: what is trained on.
            normalization: ``"none"`` gives None.
            members: what each of them makes of the source's inputs.
        """
        if normalization == "none":
            return None
        mean, square = source.moments()
        tiny = 1e-12
        if normalization == "channels":
            scale = (square - mean.square()).clamp(min=tiny).rsqrt()
            # A channel that hardly moves says nothing; it must not be blown up.
            scale = scale.clamp(max=1e3 * float(scale.median()))
        else:
            mean = torch.zeros_like(mean)
            levels = torch.split(square, list(source.inputs.channels))
            scale = torch.cat([x.mean().clamp(min=tiny).rsqrt().expand(len(x)) for x in levels])
        member_scale = torch.stack([inputs.weights() for inputs in members])
        device = source.device
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
    task: Task,
    steps: int,
    scaling: InputScaling | None,
) -> Iterator[TrainingStep]:
    """Train all members in place, one step per value drawn from the iterator.

    Args:
        head: as the task builds it; in training mode after every step.
        source: what to train on.
        task: with the recipe.
        steps: the whole budget, along which the learning rate may fall.
        scaling: of the features.

    Raises:
        TrainingError: the training diverged.
    """
    recipe = task.recipe
    batch = max(1, recipe.batch // source.pixels_per_item)
    wanted = source.wanted()
    orders = [
        draw_items(
            len(source),
            batch=batch,
            seed=task.seed,
            member=m,
            stream=task.order_stream,
            wanted=wanted,
        )
        for m in range(head.num_members if recipe.batches == "own" else 1)
    ]
    optimizer = Adam(head.parameters())
    stops = _EarlyStops(head) if recipe.stop_rule == "official" else None
    fast = recipe.products == "fastest" and training_precision(source.device.type) == "bfloat16"
    for step in range(steps):
        head.train()
        drawn = source.read(torch.cat([next(order) for order in orders]))
        x, targets = drawn.features, drawn.targets
        if scaling is not None:
            x = (x - scaling.mean) * scaling.scale
        if recipe.batches == "own":
            x, targets = (part.view(len(orders), batch, *part.shape[1:]) for part in (x, targets))
        with torch.autocast(source.device.type, torch.bfloat16, enabled=fast):
            outputs = head(x, input_scale=None if scaling is None else scaling.member_scale)
        outputs = outputs.float().reshape(head.num_members, -1, head.num_outputs)  # [M, B', K]
        losses, counted = task.loss(outputs, targets)
        # Members share no parameter: a sum over them trains each on its own loss.
        losses = losses.sum(dim=1) / counted.sum(dim=1).clamp(min=1)  # [M]
        losses.sum().backward()  # type: ignore[no-untyped-call]
        falling = (1 + cos(pi * step / steps)) / 2
        optimizer.step(recipe.learning_rate * (falling if recipe.schedule == "cosine" else 1.0))
        losses = losses.detach()
        finished = step + 1 == steps
        if (step + 1) % _CHECK_EVERY == 0 or finished:
            _check(losses, step + 1, steps, recipe.learning_rate)
        if stops is not None:
            finished = stops.update(step * batch // len(source), losses) or finished
            if finished:
                stops.restore()
        yield TrainingStep(step + 1, losses, finished)
        if finished:
            return


def _check(losses: Tensor, step: int, steps: int, learning_rate: float) -> None:
    current = float(losses.mean())
    if not isfinite(current):
        raise TrainingError(
            f"the fit diverged at step {step} of {steps} (loss {current}): "
            f"set a learning_rate below {learning_rate}."
        )


class _EarlyStops:
    """The official rule for each member; one that has stopped is trained on with the rest."""

    def __init__(self, head: StackedHead) -> None:
        self._head = head
        self._rules = [StopRule() for _ in range(head.num_members)]
        self._stopped: dict[int, dict[str, Tensor]] = {}

    def update(self, epoch: int, losses: Tensor) -> bool:
        """Take the members' losses [M]; return whether all have stopped."""
        for m, loss in enumerate(losses.tolist()):
            if m not in self._stopped and self._rules[m].update(epoch, loss):
                state = self._head.state_dict()
                self._stopped[m] = {name: tensor[m].clone() for name, tensor in state.items()}
        return len(self._stopped) == self._head.num_members

    def restore(self) -> None:
        """Put every member back to where it stopped."""
        state = self._head.state_dict()
        for m, own in self._stopped.items():
            for name, tensor in own.items():
                state[name][m] = tensor


def exported(head: StackedHead, scaling: InputScaling | None) -> StackedHead:
    """Return a copy of a head in training that reads raw features, ready to predict."""
    copy = deepcopy(head)
    if scaling is not None:
        scaling.fold_into(copy)
    return copy.eval().requires_grad_(False)
