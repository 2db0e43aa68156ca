"""One training, from the choice of inputs to the ensemble, driven step by step."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal, Self

import torch
from torch import Tensor

from datasetgan.errors import UsageError
from datasetgan.features import FeatureLevel, InputSpec, Surroundings
from datasetgan.features.pyramid import check_levels
from datasetgan.interpreter.ensemble.ensemble import Ensemble
from datasetgan.interpreter.ensemble.stacked import StackedHead
from datasetgan.interpreter.fitting.choose_inputs import choose_inputs, spread_falloffs
from datasetgan.interpreter.fitting.pixel_source import PixelSource
from datasetgan.interpreter.fitting.trainer import (
    InputScaling,
    Task,
    TrainingStep,
    exported,
    train_members,
)
from datasetgan.interpreter.reports import FitProgress

__all__ = ["FitRun", "InputChoice", "drive_folds"]

_REPORT_EVERY = 10


@dataclass(frozen=True)
class InputChoice:
    """What a fit may choose about its inputs: by the settings, or an earlier fit.

    Attributes:
        level_falloff: as `FitSettings` has it.
        surroundings: the same.
        start: the ensemble to go on from, whose choice is kept.
    """

    level_falloff: float | Literal["choose"]
    surroundings: Surroundings | Literal["choose"]
    start: Ensemble | None = None

    def to_read(self, levels: tuple[FeatureLevel, ...]) -> InputSpec:
        """Return what has to be read of the levels, so that a choice can still be made.

        Raises:
            UsageError: an ensemble to go on from that knows other levels.
        """
        if self.start is not None:
            check_levels(levels, self.start.inputs.levels, source="the painted samples' features")
            return replace(self.start.inputs, levels=levels)
        read: Surroundings = "blocks" if self.surroundings == "choose" else self.surroundings
        return InputSpec(levels, read)

    def made(self, source: PixelSource, task: Task) -> InputSpec:
        """Return the source's inputs with the choice: kept, given, or searched for."""
        inputs = source.inputs
        if inputs.level_falloff is not None and inputs.heeded is not None:
            return inputs
        heeded = "none" if inputs.surroundings == "none" else self.surroundings
        return choose_inputs(source, task, level_falloff=self.level_falloff, surroundings=heeded)


@dataclass(frozen=True, eq=False)
class FitRun:
    """One training that waits to be driven.

    Attributes:
        source: pixels that it trains on.
        inputs: what its members read, with the choice of what counts.
        steps: the whole budget.
        pixels_per_step: that every member sees.
        training: makes a step whenever it is asked for one.
    """

    source: PixelSource
    inputs: InputSpec
    steps: int
    pixels_per_step: int
    training: Iterator[TrainingStep]
    _head: StackedHead
    _scaling: InputScaling | None

    @classmethod
    def begin(cls, source: PixelSource, task: Task, *, choice: InputChoice, steps: int) -> Self:
        """Set up a training of new members, or of those that the choice goes on from.

        Args:
            source: what to train on; it reads what the choice wants read.
            task: what to train.
            choice: of what counts among the inputs.
            steps: the whole budget.

        Raises:
            UsageError: an ensemble to go on from that does not fit the task.
        """
        inputs = choice.made(source, task)
        assert inputs.level_falloff is not None
        assert inputs.heeded is not None
        powers = spread_falloffs(inputs.level_falloff, task.num_members)
        scaling = InputScaling.measured(
            source,
            normalization=task.recipe.normalization,
            members=[inputs.weighing(power, inputs.heeded) for power in powers],
        )
        head = task.build(source)
        if choice.start is not None:
            _go_on_from(choice.start.members, head)
            if scaling is not None:
                scaling.unfold_from(head)
        side = source.pixels_per_item
        per_step = max(1, task.recipe.batch // side) * side
        training = train_members(head, source, task=task, steps=steps, scaling=scaling)
        return cls(source, inputs, steps, per_step, training, head, scaling)

    def drive(
        self, *, stop: int | None = None, on_progress: Callable[[FitProgress], None] | None = None
    ) -> tuple[int, float]:
        """Train to the end, or to an earlier step.

        Returns:
            Steps made, and the members' mean loss over the last tenth of them.
        """
        stop = self.steps if stop is None else min(stop, self.steps)
        losses: list[Tensor] = []
        for at in self.training:
            losses.append(at.losses.mean())
            ends = at.finished or at.step == stop
            if on_progress is not None and (at.step % _REPORT_EVERY == 0 or ends):
                on_progress(FitProgress("fit", at.step, stop, float(losses[-1])))
            if ends:
                break
        return len(losses), float(torch.stack(losses[-ceil(len(losses) / 10) :]).mean())

    def ensemble(self, generator_digest: str = "") -> Ensemble:
        """Return a copy of the members as they are now, ready to predict."""
        return Ensemble(self.inputs, exported(self._head, self._scaling), generator_digest)


def drive_folds(
    runs: Sequence[FitRun],
    checkpoints: Sequence[int],
    *,
    on_step: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[int, list[Ensemble]]]:
    """Train runs in turn from checkpoint to checkpoint; yield the ensembles at each.

    One whose stop rule ends it early stays as it is.

    Args:
        runs: one per fold.
        checkpoints: steps, ascending.
        on_step: called with (steps made, steps to make), over all runs.
    """
    made, before = 0, 0
    for checkpoint in checkpoints:
        ensembles = []
        with torch.inference_mode(mode=False), torch.enable_grad():
            for run in runs:
                for _ in range(checkpoint - before):
                    if next(run.training, None) is None:
                        break
                    made += 1
                    if on_step is not None and made % _REPORT_EVERY == 0:
                        on_step(made, checkpoints[-1] * len(runs))
                ensembles.append(run.ensemble())
        before = checkpoint
        yield checkpoint, ensembles


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
