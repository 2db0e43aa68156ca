"""Training any of the networks: the loop, its schedule, and going on where it stopped."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import cos, pi
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from datasetgan.dataset import KeypointSchema, LabelledDataset, SampleRecord
from datasetgan.downstream.data import Target, TrainingStream
from datasetgan.downstream.inference import autocast
from datasetgan.downstream.models import build_network
from datasetgan.downstream.settings import NetworkTraining, check_image_size
from datasetgan.downstream.state import Position, load_state, run_digest, save_state
from datasetgan.errors import DatasetError, TrainingError, UsageError
from datasetgan.runtime import Runtime, Stream, random_state
from datasetgan.serialization import to_plain
from datasetgan.taxonomy import ClassTaxonomy

__all__ = ["Task", "TrainProgress", "Trained", "learning_rate_at", "train_network"]

_WARMUP = 0.05


Size = tuple[int, int]
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Task:
    """What a network learns out of a dataset.

    Attributes:
        names: what its outputs are, one each: a taxonomy or the names of keypoints.
        target: what to learn of each sample, for a (height, width) of its image.
        loss: likewise the loss, of outputs [N, outputs, H, W] and the stacked targets.
        digests: what of a record decides the examples, plain values.
    """

    names: ClassTaxonomy | KeypointSchema
    target: Callable[[Size], Target[Any]]
    loss: Callable[[Size], Loss]
    digests: Callable[[SampleRecord], list[Any]]


class Trained(NamedTuple):
    """What a training made: the network in evaluation mode, where and at which size it runs."""

    image_size: Size
    module: nn.Module
    runtime: Runtime


@dataclass(frozen=True)
class TrainProgress:
    """What one step tells.

    Attributes:
        step: steps done.
        steps: steps planned; a run with `max_seconds` may end earlier.
        loss: of this step; what it is, the network's training says.
        learning_rate: of this step.
        seconds: since training began, earlier sittings included.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    seconds: float


def train_network(
    dataset: LabelledDataset,
    task: Task,
    *,
    settings: Any,
    training: NetworkTraining,
    runtime: Runtime | None,
    on_progress: Callable[[TrainProgress], None] | None,
    state: Path | None,
    state_interval: float,
) -> Trained:
    """Train a network from random weights; see `train_segmenter` for what holds of a run.

    Args:
        settings: the dataclass of everything that fixes the run, `training` within it.

    Raises:
        DatasetError: the dataset holds no sample.
        TrainingError: the loss is no longer finite.
        UsageError: the precision is float16, the images need another `image_size`, or
            the state belongs to another run.
        CheckpointError: the state is damaged.
        StorageError: the state cannot be written.
    """
    runtime = runtime or Runtime()
    size = training.image_size or (dataset.manifest.height, dataset.manifest.width)
    _check(dataset, runtime=runtime, image_size=size)
    records = [task.digests(record) for record in dataset.kept]
    run = run_digest(to_plain(settings), to_plain(task.names), records)
    examples = TrainingStream(
        dataset,
        task.target(size),
        length=training.steps * training.batch,
        size=size,
        augmentation=training.augmentation,
        seed=training.seed,
    )
    module: nn.Module = _fresh_network(training, len(task.names)).to(
        runtime.torch_device, memory_format=torch.channels_last
    )  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
    )
    position = Position(run)
    if state is not None and state.exists():
        position = load_state(state, module, optimizer=optimizer, run=run)
    module.train()
    written = monotonic()
    start = written - position.seconds
    while (done := _share_done(position, training)) < 1:
        rate = learning_rate_at(done, settings=training)
        images, targets = _batch(examples, position.step, training.batch)
        value = _step(
            module,
            optimizer,
            images=images.to(runtime.torch_device),
            targets=targets.to(runtime.torch_device),
            loss=task.loss(size),
            rate=rate,
            dropout_seed=_draw(training, Stream.SEGMENTER_DROPOUT, position.step),
            runtime=runtime,
        )
        now = monotonic()
        position = replace(position, step=position.step + 1, seconds=now - start)
        if state is not None and now - written >= state_interval:
            save_state(state, module, optimizer=optimizer, position=position)
            written = now
        if on_progress is not None:
            on_progress(TrainProgress(position.step, training.steps, value, rate, position.seconds))
    if state is not None:
        state.unlink(missing_ok=True)
    return Trained(size, module.requires_grad_(False).eval(), runtime)


def learning_rate_at(done: float, *, settings: NetworkTraining) -> float:
    """Return the learning rate after a share `done` of the run, in [0, 1]."""
    if settings.schedule == "constant":
        return settings.learning_rate
    if done < _WARMUP:
        # Not zero at the very first step, which would be wasted.
        return settings.learning_rate * (0.1 + 0.9 * done / _WARMUP)
    return settings.learning_rate * 0.5 * (1 + cos(pi * (done - _WARMUP) / (1 - _WARMUP)))


def _check(dataset: LabelledDataset, *, runtime: Runtime, image_size: Size) -> None:
    if not len(dataset):
        raise DatasetError(
            f"{dataset.folder} holds no sample to train on. Generate more, or drop fewer."
        )
    if runtime.precision == "float16":
        raise UsageError(
            "networks train in float32 or bfloat16: float16 loses small gradients. "
            "Choose another precision."
        )
    check_image_size(image_size)


def _fresh_network(settings: NetworkTraining, num_outputs: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_draw(settings, Stream.SEGMENTER_WEIGHTS, 0))
        return build_network(settings.model, num_outputs)


def _draw(settings: NetworkTraining, stream: Stream, index: int) -> int:
    return int(random_state(settings.seed, stream, index).randint(2**31))


def _share_done(position: Position, settings: NetworkTraining) -> float:
    done = position.step / settings.steps
    if settings.max_seconds is None or position.step == 0:
        return done
    return max(done, position.seconds / settings.max_seconds)


def _batch(examples: TrainingStream[Any], step: int, size: int) -> tuple[Tensor, Tensor]:
    numbers = range(step * size, (step + 1) * size)
    images, targets = zip(*(examples[i] for i in numbers), strict=True)
    return torch.stack(images).contiguous(memory_format=torch.channels_last), torch.stack(targets)


def _step(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    images: Tensor,
    targets: Tensor,
    loss: Loss,
    rate: float,
    dropout_seed: int,
    runtime: Runtime,
) -> float:
    """Update the weights once; return the loss."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    # Dropout draws from the global stream of its device; a seed per step makes a run
    # that goes on equal to one that never stopped.
    devices = [runtime.torch_device] if runtime.torch_device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(dropout_seed)
        with autocast(runtime):
            outputs = module(images)
    error = loss(outputs, targets)
    value = error.item()
    if not torch.isfinite(error):
        raise TrainingError(
            f"training diverged: the loss is {value} at a learning rate of {rate:.2g}. "
            "Train again with a smaller learning_rate."
        )
    optimizer.zero_grad(set_to_none=True)
    error.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return value
