"""Training a segmenter on a labelled dataset."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor
from torch.nn import functional as F

from datasetgan.dataset import LabelledDataset
from datasetgan.downstream.data import TrainingStream
from datasetgan.downstream.segmenter import Segmenter
from datasetgan.downstream.settings import SegmenterSettings
from datasetgan.downstream.state import run_digest
from datasetgan.downstream.training_loop import (
    StateFile,
    TrainProgress,
    check_training,
    train_network,
)
from datasetgan.errors import DatasetError
from datasetgan.runtime import Runtime
from datasetgan.serialization import to_plain
from datasetgan.taxonomy import IGNORE_INDEX

__all__ = ["segmentation_loss", "train_segmenter"]


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
        on_progress: called after every step; the loss is in nats per pixel.
        state: file that holds the run while it is unfinished. Where it exists, training
            goes on from it; it is removed at the end.
        state_interval: seconds between two writings of `state`.

    Returns:
        The segmenter, ready to predict.

    Raises:
        DatasetError: the dataset holds no sample, one that cannot be read, or no label.
        UsageError: the loss is no longer finite, the precision is float16, the images
            need another `image_size`, or `state` belongs to another run.
        CheckpointError: `state` is damaged.
        StorageError: `state` cannot be written.
    """
    runtime = runtime or Runtime()
    settings = settings or SegmenterSettings()
    image_size = settings.image_size or (dataset.manifest.height, dataset.manifest.width)
    check_training(dataset, runtime=runtime, image_size=image_size)
    if not any(any(record.class_pixels) for record in dataset.kept):
        raise DatasetError(
            f"{dataset.folder} holds no painted pixel: it was generated with keypoints alone. "
            "Fit an interpreter to painted samples and generate with it, or run train-keypoints."
        )
    run = run_digest(
        to_plain(settings),
        to_plain(dataset.taxonomy),
        [[record.image_sha256, record.label_sha256] for record in dataset.kept],
    )
    module = train_network(
        TrainingStream(
            dataset,
            length=settings.steps * settings.batch,
            size=image_size,
            augmentation=settings.augmentation,
            seed=settings.seed,
        ),
        num_outputs=len(dataset.taxonomy),
        loss=segmentation_loss,
        settings=settings,
        runtime=runtime,
        state=StateFile(state, state_interval, run),
        on_progress=on_progress,
    )
    return Segmenter(
        taxonomy=dataset.taxonomy,
        settings=settings,
        image_size=image_size,
        module=module,
        runtime=runtime,
    )


def segmentation_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy over labelled pixels, in nats; 0 where there are none.

    Args:
        logits: [N, K, H, W].
        labels: [N, H, W] int64; `IGNORE_INDEX` is left out.
    """
    total = F.cross_entropy(logits.float(), labels, ignore_index=IGNORE_INDEX, reduction="sum")
    return total / (labels != IGNORE_INDEX).sum().clamp(min=1)
