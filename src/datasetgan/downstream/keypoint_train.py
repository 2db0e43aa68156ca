"""Training a heat-map network on a dataset whose samples carry keypoints."""

from collections.abc import Callable
from functools import partial
from math import pi
from pathlib import Path

from torch import Tensor

from datasetgan.dataset import Keypoints, KeypointSchema, LabelledDataset, LabelledSample
from datasetgan.downstream.data import Target
from datasetgan.downstream.keypoint_network import KeypointNetwork
from datasetgan.downstream.settings import KeypointNetworkSettings
from datasetgan.downstream.training_loop import Task, TrainProgress, train_network
from datasetgan.errors import DatasetError
from datasetgan.keypoints.heat_maps import gaussian_heat_maps, sigma_in_pixels
from datasetgan.runtime import Runtime
from datasetgan.serialization import to_plain

__all__ = ["heat_map_loss", "heat_map_target", "train_keypoint_network"]


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
        runtime: see `train_segmenter`, also for `state` and `state_interval`.
        on_progress: called after every step; the loss is that of `heat_map_loss`.

    Raises:
        DatasetError: the dataset carries no keypoints, holds no sample, or one that
            cannot be read.
        DatasetGANError: see `train_segmenter`.
    """
    settings = settings or KeypointNetworkSettings()
    schema = _schema_of(dataset)
    task = Task(
        names=schema,
        target=lambda size: heat_map_target(dataset, size=size, sigma_share=settings.sigma_share),
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


def heat_map_target(
    dataset: LabelledDataset, *, size: tuple[int, int], sigma_share: float
) -> Target[Keypoints]:
    """Return what a network learns of a sample's points: heat maps [J, H, W], float32.

    Args:
        dataset: where samples come from.
        size: (height, width) of the heat maps.
        sigma_share: see `KeypointNetworkSettings`.
    """
    sigma = sigma_in_pixels(sigma_share, size)

    def read(sample: LabelledSample, size: tuple[int, int]) -> Keypoints:
        if sample.keypoints is None:
            raise DatasetError(f"{dataset.folder}: sample {sample.key} has no keypoints.")
        height, width, _ = sample.image.shape
        return sample.keypoints.resized((height, width), to=size)

    return Target(read, lambda points: gaussian_heat_maps(points, size=size, sigma=sigma))
