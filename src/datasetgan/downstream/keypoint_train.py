"""Training a heat-map network on a dataset whose samples carry keypoints."""

from collections.abc import Callable
from functools import partial
from math import pi
from pathlib import Path

from torch import Tensor

from datasetgan.dataset import KeypointSchema, LabelledDataset
from datasetgan.downstream.augment import augment_keypoints
from datasetgan.downstream.data import (
    ShuffledPasses,
    augmentation_seed,
    normalize,
    resize_image,
)
from datasetgan.downstream.keypoint_network import KeypointNetwork
from datasetgan.downstream.settings import KeypointNetworkSettings
from datasetgan.downstream.training_loop import Task, TrainProgress, train_network
from datasetgan.errors import DatasetError
from datasetgan.keypoints.heat_maps import gaussian_heat_maps, sigma_in_pixels
from datasetgan.runtime import Runtime
from datasetgan.serialization import to_plain

__all__ = ["KeypointStream", "heat_map_loss", "train_keypoint_network"]


def train_keypoint_network(
    dataset: LabelledDataset,
    *,
    settings: KeypointNetworkSettings | None = None,
    runtime: Runtime | None = None,
    on_progress: Callable[[TrainProgress], None] | None = None,
    state: Path | None = None,
    state_interval: float = 30.0,
) -> KeypointNetwork:
    """Train a network from random weights to regress heat maps (Zhang et al. 2021, sec. 3.4).

    One heat map per keypoint and the squared error in place of the cross-entropy; all
    else is as for a segmenter, see `train_segmenter`. A point that is not visible has an
    empty map.

    Args:
        dataset: samples with keypoints, the uncertain ones left out.
        settings: what fixes the run; `KeypointNetworkSettings()` by default.
        runtime: where it runs. The CPU in float32 by default.
        on_progress: called after every step; the loss is that of `heat_map_loss`.
        state: file that holds the run while it is unfinished.
        state_interval: seconds between two writings of `state`.

    Returns:
        The network, ready to predict.

    Raises:
        DatasetError: the dataset carries no keypoints, holds no sample, or one that
            cannot be read.
        TrainingError: the loss is no longer finite.
        UsageError: the precision is float16, the images need another `image_size`, or
            `state` belongs to another run.
        CheckpointError: `state` is damaged.
        StorageError: `state` cannot be written.
    """
    settings = settings or KeypointNetworkSettings()
    schema = _schema_of(dataset)
    task = Task(
        names=schema,
        examples=lambda size: KeypointStream(dataset, size=size, settings=settings),
        loss=lambda size: partial(heat_map_loss, sigma=sigma_in_pixels(settings.sigma_share, size)),
        digests=lambda record: [
            record.image_sha256,
            record.keypoints and to_plain(record.keypoints),
        ],
    )
    trained = train_network(
        dataset,
        task,
        settings=settings,
        training=settings.training,
        runtime=runtime,
        on_progress=on_progress,
        state=state,
        state_interval=state_interval,
    )
    return KeypointNetwork(schema, settings, *trained)


def heat_map_loss(outputs: Tensor, heat: Tensor, *, sigma: float) -> Tensor:
    """Return the squared error as a share of a bump's own: an empty map scores 1.

    The sum of a bump's squares is pi sigma^2, whatever the size of the picture.

    Args:
        outputs: [N, J, H, W].
        heat: what they should be, likewise.
        sigma: of the bumps, in pixels.
    """
    error = (outputs.float() - heat).square().sum(dim=(2, 3))  # [N, J]
    return error.mean() / (pi * sigma**2)


def _schema_of(dataset: LabelledDataset) -> KeypointSchema:
    if dataset.keypoints is None:
        raise DatasetError(
            f"{dataset.folder} carries no keypoints. Fit keypoints in the project, then "
            "generate a dataset anew."
        )
    return dataset.keypoints


class KeypointStream:
    """Endless shuffled passes over a dataset, each example augmented anew.

    Example `i` depends on the dataset, the settings and `i` alone, as in `TrainingStream`.

    Args:
        dataset: where samples come from; the filtered ones are left out.
        size: (height, width) to stretch to.
        settings: augmentation, seed, and the width of the bumps.
    """

    def __init__(
        self, dataset: LabelledDataset, *, size: tuple[int, int], settings: KeypointNetworkSettings
    ) -> None:
        self._dataset = dataset
        self._size = size
        self._sigma = sigma_in_pixels(settings.sigma_share, size)
        self._training = settings.training
        self._passes = ShuffledPasses(len(dataset), seed=settings.training.seed)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return image [3, H, W], float32, normalised, and heat maps [J, H, W], float32."""
        record = self._dataset.kept[self._passes.item(index)]
        sample = self._dataset.load(record)
        if sample.keypoints is None:
            raise DatasetError(f"{self._dataset.folder}: sample {sample.key} has no keypoints.")
        height, width, _ = sample.image.shape
        image, keypoints = augment_keypoints(
            resize_image(sample.image, self._size),
            sample.keypoints.resized((height, width), to=self._size),
            settings=self._training.augmentation,
            seed=augmentation_seed(self._training.seed, index),
        )
        heat = gaussian_heat_maps(keypoints, size=self._size, sigma=self._sigma)
        return normalize(image), heat
