"""A trained heat-map network: photo in, named points out; and its file."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from datasetgan.checkpoints.native import WeightCard, write_checkpoint
from datasetgan.dataset import Keypoints, KeypointSchema
from datasetgan.downstream.inference import network_outputs
from datasetgan.downstream.network_files import load_network
from datasetgan.downstream.settings import KeypointNetworkSettings, check_image_size
from datasetgan.keypoints.heat_maps import find_maxima
from datasetgan.runtime import Runtime

__all__ = ["KeypointNetwork", "PhotoKeypoints", "load_keypoint_network"]

_KIND = "keypoint-network"


@dataclass(frozen=True)
class _Config:
    """What the header of a heat-map network's file holds."""

    schema: KeypointSchema
    settings: KeypointNetworkSettings
    image_size: tuple[int, int]

    def __post_init__(self) -> None:
        check_image_size(self.image_size)

    @property
    def num_outputs(self) -> int:
        return len(self.schema)


@dataclass(frozen=True, eq=False)
class PhotoKeypoints:
    """The points that a network found in a photo.

    Attributes:
        keypoints: in pixels of the photo.
        scores: [J] float32, the heat at each point, about 0 to 1.
    """

    keypoints: Keypoints
    scores: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class KeypointNetwork:
    """A trained network with all that using it takes.

    Attributes:
        schema: the names of its points.
        settings: how it was trained.
        image_size: (height, width) that it works at; photos are stretched to it.
        module: the network, in evaluation mode, on the device of `runtime`.
        runtime: where and in which precision it runs.
    """

    schema: KeypointSchema
    settings: KeypointNetworkSettings
    image_size: tuple[int, int]
    module: nn.Module
    runtime: Runtime = field(default_factory=Runtime)

    def predict(self, photo: NDArray[np.uint8]) -> PhotoKeypoints:
        """Find the points of one photo.

        The highest place of each heat map is found finer than a pixel, then brought to
        the photo's own size.

        Args:
            photo: [H, W, 3] uint8 RGB of any size.

        Raises:
            UsageError: the photo has another shape or type.
        """
        heat = network_outputs(self.module, photo, image_size=self.image_size, runtime=self.runtime)
        points, scores, visible = find_maxima(heat, threshold=self.settings.threshold)
        found = Keypoints(points[0].cpu().numpy(), visible[0].cpu().numpy())
        size = (photo.shape[0], photo.shape[1])
        return PhotoKeypoints(found.resized(self.image_size, to=size), scores[0].cpu().numpy())

    def save(self, path: Path, *, card: WeightCard) -> None:
        """Write a native checkpoint of kind ``"keypoint-network"``, atomically.

        Raises:
            StorageError: the disk is full or the place cannot be written.
        """
        write_checkpoint(
            path,
            self.module.state_dict(),
            kind=_KIND,
            architecture=self.settings.training.model,
            config=_Config(self.schema, self.settings, self.image_size),
            card=card,
        )


def load_keypoint_network(path: Path, *, runtime: Runtime | None = None) -> KeypointNetwork:
    """Load a heat-map network that `KeypointNetwork.save` wrote.

    Args:
        runtime: where it runs; the CPU in float32 by default.

    Raises:
        CheckpointError: the file is missing, truncated, of another kind, or does not
            fit its configuration; every difference is listed.
    """
    runtime = runtime or Runtime()
    config, module = load_network(path, kind=_KIND, config=_Config, runtime=runtime)
    return KeypointNetwork(config.schema, config.settings, config.image_size, module, runtime)
