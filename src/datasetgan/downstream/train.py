"""Training a segmenter on a labelled dataset."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import cos, pi
from pathlib import Path
from time import monotonic

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from datasetgan.dataset import LabelledDataset
from datasetgan.downstream.data import TrainingStream
from datasetgan.downstream.models import build_segmenter
from datasetgan.downstream.segmenter import Segmenter, autocast
from datasetgan.downstream.settings import SegmenterSettings, check_image_size
from datasetgan.downstream.state import Position, load_state, run_digest, save_state
from datasetgan.errors import DatasetError, UsageError
from datasetgan.runtime import Runtime, random_state
from datasetgan.taxonomy import IGNORE_INDEX

__all__ = ["TrainProgress", "learning_rate_at", "segmentation_loss", "train_segmenter"]

_WARMUP = 0.05
# Streams of random numbers below the seed; `data` uses 0 and 1.
_WEIGHTS, _DROPOUT = 2, 3


@dataclass(frozen=True)
class TrainProgress:
    """What one step tells.

    Attributes:
        step: steps done.
        steps: steps planned; a run with `max_seconds` may end earlier.
        loss: cross-entropy of this step in nats per pixel.
        learning_rate: of this step.
        seconds: since training began, earlier sittings included.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    seconds: float


def train_segmenter(
    dataset: LabelledDataset,
    *,
    settings: SegmenterSettings | None = None,
    runtime: Runtime | None = None,
    on_progress: Callable[[TrainProgress], None] | None = None,
    state: Path | None = None,
    state_interval: float = 30.0,
) -> Segmenter:
    """Train a segmenter from random weights by cross-entropy per pixel (Zhang et al. 2021).

    On a CPU the same arguments give the same weights to the bit, interrupted or not,
    unless `max_seconds` cuts the run short.

    Args:
        dataset: labelled samples, the uncertain ones left out.
        settings: what fixes the run; `SegmenterSettings()` by default.
        runtime: where it runs; bfloat16 runs the convolutions in it, weights stay
            float32. The CPU in float32 by default.
        on_progress: called after every step.
        state: file that holds the run while it is unfinished. Where it exists, training
            goes on from it; it is removed at the end.
        state_interval: seconds between two writings of `state`.

    Returns:
        The segmenter, ready to predict.

    Raises:
        DatasetError: the dataset holds no sample, or one that cannot be read.
        UsageError: the loss is no longer finite, the precision is float16, the images
            need another `image_size`, or `state` belongs to another run.
        CheckpointError: `state` is damaged.
        StorageError: `state` cannot be written.
    """
    runtime = runtime or Runtime()
    settings = settings or SegmenterSettings()
    image_size = settings.image_size or (dataset.manifest.height, dataset.manifest.width)
    _check(dataset, runtime=runtime, image_size=image_size)
    module = _fresh_network(settings, len(dataset.taxonomy)).to(
        runtime.torch_device, memory_format=torch.channels_last
    )  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    position = Position(run_digest(dataset, settings))
    if state is not None and state.exists():
        position = load_state(state, module, optimizer=optimizer, run=position.run)

    stream = TrainingStream(
        dataset,
        length=settings.steps * settings.batch,
        size=image_size,
        augmentation=settings.augmentation,
        seed=settings.seed,
    )
    module.train()
    written = monotonic()
    start = written - position.seconds
    while (done := _share_done(position, settings)) < 1:
        rate = learning_rate_at(done, settings=settings)
        images, labels = _batch(stream, position.step, settings.batch)
        loss = _step(
            module,
            optimizer,
            images=images.to(runtime.torch_device),
            labels=labels.to(runtime.torch_device),
            rate=rate,
            dropout_seed=_draw(settings, _DROPOUT, position.step),
            runtime=runtime,
        )
        now = monotonic()
        position = replace(position, step=position.step + 1, seconds=now - start)
        if state is not None and now - written >= state_interval:
            save_state(state, module, optimizer=optimizer, position=position)
            written = now
        if on_progress is not None:
            on_progress(TrainProgress(position.step, settings.steps, loss, rate, position.seconds))
    if state is not None:
        state.unlink(missing_ok=True)
    return Segmenter(
        taxonomy=dataset.taxonomy,
        settings=settings,
        image_size=image_size,
        module=module.requires_grad_(False).eval(),
        runtime=runtime,
    )


def learning_rate_at(done: float, *, settings: SegmenterSettings) -> float:
    """Return the learning rate after a share `done` of the run, in [0, 1]."""
    if settings.schedule == "constant":
        return settings.learning_rate
    if done < _WARMUP:
        # Not zero at the very first step, which would be wasted.
        return settings.learning_rate * (0.1 + 0.9 * done / _WARMUP)
    return settings.learning_rate * 0.5 * (1 + cos(pi * (done - _WARMUP) / (1 - _WARMUP)))


def segmentation_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy over labelled pixels, in nats; 0 where there are none.

    Args:
        logits: [N, K, H, W].
        labels: [N, H, W] int64; `IGNORE_INDEX` is left out.
    """
    total = F.cross_entropy(logits.float(), labels, ignore_index=IGNORE_INDEX, reduction="sum")
    return total / (labels != IGNORE_INDEX).sum().clamp(min=1)


def _check(dataset: LabelledDataset, *, runtime: Runtime, image_size: tuple[int, int]) -> None:
    if not len(dataset):
        raise DatasetError(
            f"{dataset.folder} holds no sample to train on. Generate more, or drop fewer."
        )
    if runtime.precision == "float16":
        raise UsageError(
            "segmenters train in float32 or bfloat16: float16 loses small gradients. "
            "Choose another precision."
        )
    check_image_size(image_size)


def _fresh_network(settings: SegmenterSettings, num_classes: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_draw(settings, _WEIGHTS, 0))
        return build_segmenter(settings.model, num_classes)


def _draw(settings: SegmenterSettings, purpose: int, index: int) -> int:
    return int(random_state(settings.seed, purpose, index).randint(2**31))


def _share_done(position: Position, settings: SegmenterSettings) -> float:
    done = position.step / settings.steps
    if settings.max_seconds is None or position.step == 0:
        return done
    return max(done, position.seconds / settings.max_seconds)


def _batch(stream: TrainingStream, step: int, size: int) -> tuple[Tensor, Tensor]:
    images, labels = zip(*(stream[i] for i in range(step * size, (step + 1) * size)), strict=True)
    return torch.stack(images).contiguous(memory_format=torch.channels_last), torch.stack(labels)


def _step(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    images: Tensor,
    labels: Tensor,
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
            logits = module(images)
    loss = segmentation_loss(logits, labels)
    value = loss.item()
    if not torch.isfinite(loss):
        raise UsageError(
            f"training diverged: the loss is {value} at a learning rate of {rate:.2g}. "
            "Train again with a smaller learning_rate."
        )
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return value
