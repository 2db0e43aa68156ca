"""Training all members of a head together."""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import ceil, cos, isfinite, pi
from typing import Self

import torch
from torch import Tensor

from datasetgan.errors import TrainingError, UsageError
from datasetgan.features import InputSpec
from datasetgan.interpreter.ensemble.heads import HeadName, build_head
from datasetgan.interpreter.ensemble.stacked import StackedHead
from datasetgan.interpreter.fitting.losses import PixelLoss
from datasetgan.interpreter.fitting.optimizer import Adam, StopRule
from datasetgan.interpreter.fitting.pixel_source import (
    InputScaling,
    PixelSource,
)
from datasetgan.interpreter.fitting.recipe import Recipe
from datasetgan.interpreter.reports import FitProgress
from datasetgan.runtime import Stream, training_precision

__all__ = ["Task", "Training", "TrainingStep", "train_members"]

_CHECK_EVERY = 10
# Pixels that `judge` looks at, and how many at once.
_SCORED = 8192
_PIECE = 1024


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
    order_stream: Stream = Stream.PIXEL_ORDER


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


@dataclass(frozen=True, eq=False)
class Training:
    """Members in training, which wait to be driven.

    Attributes:
        source: what they train on.
        steps: the whole budget.
        going: makes a step whenever it is asked for one.
    """

    source: PixelSource
    steps: int
    going: Iterator[TrainingStep]
    _task: Task
    _head: StackedHead
    _scaling: InputScaling | None

    @classmethod
    def begin(
        cls,
        source: PixelSource,
        task: Task,
        *,
        members: Sequence[InputSpec],
        steps: int,
        start: StackedHead | None = None,
        starts_alike: bool = False,
    ) -> Self:
        """Set up a training.

        Args:
            source: what to train on.
            task: what to train.
            members: what each of them makes of the source's inputs.
            steps: the whole budget.
            start: members to go on from; new ones by default.
            starts_alike: whether new ones all start as the first does.

        Raises:
            UsageError: members to go on from that do not fit the task.
        """
        head = build_head(
            task.head,
            num_members=task.num_members,
            in_channels=sum(source.inputs.channels),
            num_outputs=task.num_outputs,
            seed=task.seed,
        ).to(source.device)
        scaling = InputScaling.measured(
            source, normalization=task.recipe.normalization, members=members
        )
        if starts_alike:
            with torch.no_grad():
                for parameter in head.parameters():
                    parameter.copy_(parameter[:1].clone())
        if start is not None:
            _go_on_from(start, head)
            if scaling is not None:
                scaling.unfold_from(head)
        going = train_members(head, source, task=task, steps=steps, scaling=scaling)
        return cls(source, steps, going, task, head, scaling)

    def drive(
        self, *, stop: int | None = None, on_progress: Callable[[FitProgress], None] | None = None
    ) -> tuple[int, float]:
        """Train to the end, or to an earlier step.

        Returns:
            Steps made, and the members' mean loss over the last tenth of them.
        """
        stop = self.steps if stop is None else min(stop, self.steps)
        losses: list[Tensor] = []
        for at in self.going:
            losses.append(at.losses.mean())
            ends = at.finished or at.step == stop
            if on_progress is not None and (at.step % _CHECK_EVERY == 0 or ends):
                on_progress(FitProgress("fit", at.step, stop, float(losses[-1])))
            if ends:
                break
        return len(losses), float(torch.stack(losses[-ceil(len(losses) / 10) :]).mean())

    def exported(self) -> StackedHead:
        """Return a copy of the members as they are now, that reads raw features and predicts."""
        copy = deepcopy(self._head)
        if self._scaling is not None:
            self._scaling.fold_into(copy)
        return copy.eval().requires_grad_(False)

    @torch.no_grad()
    def judge(self, held_out: PixelSource) -> Tensor:
        """Return each member's mean loss [M], float64, over pixels that it was not trained on.

        Weighed as the sampling weighs pixels. Outputs that could not be learned are left out.

        Args:
            held_out: the pixels.
        """
        head = self.exported()
        wanted = held_out.wanted()
        weighed = torch.ones(len(held_out)).double() if wanted is None else torch.from_numpy(wanted)
        losses = torch.zeros(head.num_members, dtype=torch.float64)
        weight = 0.0
        side = held_out.pixels_per_item
        few = torch.arange(0, len(held_out), max(1, held_out.pixels // _SCORED))
        for items in torch.split(few, max(1, _PIECE // side)):
            drawn = held_out.read(items)
            outputs = head(drawn.features).reshape(head.num_members, -1, head.num_outputs)
            found, counted = self._task.loss(outputs, drawn.targets, known=self.source.shown)
            own = weighed[items].repeat_interleave(side)
            losses += found.cpu().double() @ own
            weight += float(own[counted[0].cpu()].sum())
        return losses / max(weight, 1e-12)


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
        head: in training mode after every step.
        source: what to train on.
        task: with the recipe.
        steps: the whole budget, along which the learning rate may fall.
        scaling: of the features.

    Raises:
        TrainingError: the training diverged.
    """
    recipe = task.recipe
    fast = recipe.products == "fastest" and training_precision(source.device.type) == "bfloat16"
    optimizer = Adam(head.parameters())
    stops = _EarlyStops(head) if recipe.stop_rule == "official" else None
    batches = source.batches(
        recipe.batch,
        seed=task.seed,
        stream=task.order_stream,
        own=head.num_members if recipe.batches == "own" else None,
    )
    for step, drawn in zip(range(steps), batches, strict=False):
        head.train()
        x = drawn.features
        if scaling is not None:
            x = (x - scaling.mean) * scaling.scale
        with torch.autocast(source.device.type, torch.bfloat16, enabled=fast):
            outputs = head(x, input_scale=None if scaling is None else scaling.member_scale)
        outputs = outputs.float().reshape(head.num_members, -1, head.num_outputs)  # [M, B', K]
        losses, counted = task.loss(outputs, drawn.targets)
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
            epoch = step * recipe.batch // len(source)
            finished = stops.update(epoch, losses) or finished
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


def _go_on_from(start: StackedHead, head: StackedHead) -> None:
    wanted = {name: tuple(tensor.shape) for name, tensor in head.state_dict().items()}
    came = {name: tuple(tensor.shape) for name, tensor in start.state_dict().items()}
    if wanted != came:
        raise UsageError(
            f"this fit has {head.num_members} members for {head.num_outputs} classes, the "
            f"interpreter to start from has {start.num_members} for "
            f"{start.num_outputs}, or another head. Use its settings, or fit anew."
        )
    head.load_state_dict(start.state_dict())


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
