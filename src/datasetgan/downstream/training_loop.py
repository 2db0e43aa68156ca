"""Training any of the networks: the loop, its schedule, and going on where it stopped."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import cos, pi
from pathlib import Path
from time import monotonic
from typing import Protocol

import torch
from torch import Tensor, nn

from datasetgan.dataset import LabelledDataset
from datasetgan.downstream.inference import autocast
from datasetgan.downstream.models import build_network
from datasetgan.downstream.settings import SegmenterSettings, check_image_size
from datasetgan.downstream.state import Position, load_state, save_state
from datasetgan.errors import DatasetError, UsageError
from datasetgan.runtime import Runtime, Stream, random_state

__all__ = [
    "Examples",
    "StateFile",
    "TrainProgress",
    "check_training",
    "learning_rate_at",
    "train_network",
]

_WARMUP = 0.05


class Examples(Protocol):
    """Training examples by number: an image [3, H, W], float32, normalised, and its target."""

    def __getitem__(self, index: int, /) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class StateFile:
    """The file that holds a run while it is unfinished.

    Attributes:
        path: where it lies; where it exists, training goes on from it. It is removed
            at the end. None keeps no state.
        interval: seconds between two writings.
        run: digest of everything that decides the run's result.
    """

    path: Path | None
    interval: float
    run: str


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
    examples: Examples,
    *,
    num_outputs: int,
    loss: Callable[[Tensor, Tensor], Tensor],
    settings: SegmenterSettings,
    runtime: Runtime,
    state: StateFile,
    on_progress: Callable[[TrainProgress], None] | None,
) -> nn.Module:
    """Train a network from random weights; see `train_segmenter` for what holds of a run.

    Args:
        examples: at least ``settings.steps * settings.batch`` of them.
        num_outputs: of the network.
        loss: of outputs [N, num_outputs, H, W] and the stacked targets.

    Returns:
        The network in evaluation mode on the runtime's device.

    Raises:
        UsageError: the loss is no longer finite, or the state belongs to another run.
        CheckpointError: the state is damaged.
        StorageError: the state cannot be written.
    """
    module: nn.Module = _fresh_network(settings, num_outputs).to(
        runtime.torch_device, memory_format=torch.channels_last
    )  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    position = Position(state.run)
    if state.path is not None and state.path.exists():
        position = load_state(state.path, module, optimizer=optimizer, run=position.run)
    module.train()
    written = monotonic()
    start = written - position.seconds
    while (done := _share_done(position, settings)) < 1:
        rate = learning_rate_at(done, settings=settings)
        images, targets = _batch(examples, position.step, settings.batch)
        value = _step(
            module,
            optimizer,
            images=images.to(runtime.torch_device),
            targets=targets.to(runtime.torch_device),
            loss=loss,
            rate=rate,
            dropout_seed=_draw(settings, Stream.SEGMENTER_DROPOUT, position.step),
            runtime=runtime,
        )
        now = monotonic()
        position = replace(position, step=position.step + 1, seconds=now - start)
        if state.path is not None and now - written >= state.interval:
            save_state(state.path, module, optimizer=optimizer, position=position)
            written = now
        if on_progress is not None:
            on_progress(TrainProgress(position.step, settings.steps, value, rate, position.seconds))
    if state.path is not None:
        state.path.unlink(missing_ok=True)
    return module.requires_grad_(False).eval()


def learning_rate_at(done: float, *, settings: SegmenterSettings) -> float:
    """Return the learning rate after a share `done` of the run, in [0, 1]."""
    if settings.schedule == "constant":
        return settings.learning_rate
    if done < _WARMUP:
        # Not zero at the very first step, which would be wasted.
        return settings.learning_rate * (0.1 + 0.9 * done / _WARMUP)
    return settings.learning_rate * 0.5 * (1 + cos(pi * (done - _WARMUP) / (1 - _WARMUP)))


def check_training(
    dataset: LabelledDataset, *, runtime: Runtime, image_size: tuple[int, int]
) -> None:
    """Check what a training is about to start with.

    Raises:
        DatasetError: the dataset holds no sample.
        UsageError: the precision is float16, or the images need another size.
    """
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


def _fresh_network(settings: SegmenterSettings, num_outputs: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_draw(settings, Stream.SEGMENTER_WEIGHTS, 0))
        return build_network(settings.model, num_outputs)


def _draw(settings: SegmenterSettings, stream: Stream, index: int) -> int:
    return int(random_state(settings.seed, stream, index).randint(2**31))


def _share_done(position: Position, settings: SegmenterSettings) -> float:
    done = position.step / settings.steps
    if settings.max_seconds is None or position.step == 0:
        return done
    return max(done, position.seconds / settings.max_seconds)


def _batch(examples: Examples, step: int, size: int) -> tuple[Tensor, Tensor]:
    numbers = range(step * size, (step + 1) * size)
    images, targets = zip(*(examples[i] for i in numbers), strict=True)
    return torch.stack(images).contiguous(memory_format=torch.channels_last), torch.stack(targets)


def _step(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    images: Tensor,
    targets: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
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
        raise UsageError(
            f"training diverged: the loss is {value} at a learning rate of {rate:.2g}. "
            "Train again with a smaller learning_rate."
        )
    optimizer.zero_grad(set_to_none=True)
    error.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return value
