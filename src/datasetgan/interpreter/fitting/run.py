"""One fit, from the choice of its inputs to the ensemble; the folds of a validation."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import torch

from datasetgan.features import FeatureLevel, InputSpec, Surroundings
from datasetgan.features.input_spec import check_levels
from datasetgan.interpreter.ensemble.ensemble import Ensemble
from datasetgan.interpreter.fitting.choose_inputs import choose_inputs
from datasetgan.interpreter.fitting.pixel_source import PixelSource
from datasetgan.interpreter.fitting.trainer import Task, Training

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
    """A training, and what its members read.

    Attributes:
        inputs: with the choice of what counts.
        training: that waits to be driven.
    """

    inputs: InputSpec
    training: Training

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
        training = Training.begin(
            source,
            task,
            members=inputs.spread(task.num_members),
            steps=steps,
            start=None if choice.start is None else choice.start.members,
        )
        return cls(inputs, training)

    def ensemble(self, generator_digest: str = "") -> Ensemble:
        """Return a copy of the members as they are now, ready to predict."""
        return Ensemble(self.inputs, self.training.exported(), generator_digest)


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
                    if next(run.training.going, None) is None:
                        break
                    made += 1
                    if on_step is not None and made % _REPORT_EVERY == 0:
                        on_step(made, checkpoints[-1] * len(runs))
                ensembles.append(run.ensemble())
        before = checkpoint
        yield checkpoint, ensembles
