"""Training a segmenter on a labelled dataset."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor
from torch.nn import functional as F

from datasetgan.dataset import LabelledDataset
from datasetgan.downstream.data import LABEL_MAPS
from datasetgan.downstream.segmenter import Segmenter
from datasetgan.downstream.settings import SegmenterSettings
from datasetgan.downstream.training_loop import Task, TrainProgress, train_network
from datasetgan.errors import DatasetError
from datasetgan.runtime import Runtime
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
        TrainingError: the loss is no longer finite.
        UsageError: the precision is float16, the images need another `image_size`, or
            `state` belongs to another run.
        CheckpointError: `state` is damaged.
        StorageError: `state` cannot be written.
    """
    settings = settings or SegmenterSettings()
    if dataset.kept and not any(any(record.class_pixels) for record in dataset.kept):
        raise DatasetError(
            f"{dataset.folder} holds no painted pixel: it was generated with keypoints alone. "
            "Fit an interpreter to painted samples and generate with it, or run train-keypoints."
        )
    task = Task(
        names=dataset.taxonomy,
        target=lambda _: LABEL_MAPS,
        loss=lambda _: segmentation_loss,
        digests=lambda record: [record.image_sha256, record.label_sha256],
    )
    trained = train_network(
        dataset,
        task,
        settings=settings,
        training=settings,
        runtime=runtime,
        on_progress=on_progress,
        state=state,
        state_interval=state_interval,
    )
    return Segmenter(dataset.taxonomy, settings, *trained)


def segmentation_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy over labelled pixels, in nats; 0 where there are none.

    Args:
        logits: [N, K, H, W].
        labels: [N, H, W] int64; `IGNORE_INDEX` is left out.
    """
    total = F.cross_entropy(logits.float(), labels, ignore_index=IGNORE_INDEX, reduction="sum")
    return total / (labels != IGNORE_INDEX).sum().clamp(min=1)
