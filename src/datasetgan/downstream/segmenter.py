"""A trained segmenter: photo in, label map out; and its file."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from datasetgan.checkpoints.native import WeightCard, write_checkpoint
from datasetgan.downstream.inference import network_outputs
from datasetgan.downstream.network_files import load_network
from datasetgan.downstream.settings import SegmenterSettings, check_image_size
from datasetgan.runtime import Runtime
from datasetgan.taxonomy import ClassTaxonomy

__all__ = ["Segmenter", "load_segmenter"]

_KIND = "segmenter"


@dataclass(frozen=True)
class _Config:
    """What the header of a segmenter's file holds."""

    taxonomy: ClassTaxonomy
    settings: SegmenterSettings
    image_size: tuple[int, int]

    def __post_init__(self) -> None:
        check_image_size(self.image_size)

    @property
    def num_outputs(self) -> int:
        return len(self.taxonomy)


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A trained network with all that using it takes.

    Attributes:
        taxonomy: the classes of its label maps.
        settings: how it was trained.
        image_size: (height, width) that it works at; photos are stretched to it.
        module: the network, in evaluation mode, on the device of `runtime`.
        runtime: where and in which precision it runs.
    """

    taxonomy: ClassTaxonomy
    settings: SegmenterSettings
    image_size: tuple[int, int]
    module: nn.Module
    runtime: Runtime = field(default_factory=Runtime)

    def predict(self, photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Segment one photo.

        The photo is stretched to the size of training, antialiased; the logits are
        brought back bilinearly, so that borders follow the photo's own pixels.

        Args:
            photo: [H, W, 3] uint8 RGB of any size.

        Returns:
            [H, W] uint8 class ids; ties go to the smallest id.

        Raises:
            UsageError: the photo has another shape or type.
        """
        logits = network_outputs(
            self.module, photo, image_size=self.image_size, runtime=self.runtime
        )
        return _largest(logits, photo.shape[:2]).cpu().numpy()

    def save(self, path: Path, *, card: WeightCard) -> None:
        """Write a native checkpoint of kind ``"segmenter"``, atomically.

        Raises:
            StorageError: the disk is full or the place cannot be written.
        """
        write_checkpoint(
            path,
            self.module.state_dict(),
            kind=_KIND,
            architecture=self.settings.model,
            config=_Config(self.taxonomy, self.settings, self.image_size),
            card=card,
        )


def load_segmenter(path: Path, *, runtime: Runtime | None = None) -> Segmenter:
    """Load a segmenter that `Segmenter.save` wrote.

    Args:
        runtime: where it runs; the CPU in float32 by default.

    Raises:
        CheckpointError: the file is missing, truncated, of another kind, or does not
            fit its configuration; every difference is listed.
    """
    runtime = runtime or Runtime()
    config, module = load_network(path, kind=_KIND, config=_Config, runtime=runtime)
    return Segmenter(config.taxonomy, config.settings, config.image_size, module, runtime)


def _largest(logits: Tensor, size: tuple[int, ...]) -> Tensor:
    """Return the class of the largest logit after bilinear resizing, [height, width] uint8.

    One class at a time, so that a large photo with many classes needs the memory of
    two maps, not of one map per class.
    """
    best = logits.new_full(size, -torch.inf)
    label_map = torch.zeros(size, dtype=torch.uint8, device=logits.device)
    for id_ in range(logits.shape[1]):
        resized = F.interpolate(
            logits[:, id_ : id_ + 1], size, mode="bilinear", align_corners=False
        )
        larger = resized[0, 0] > best
        best[larger] = resized[0, 0][larger]
        label_map[larger] = id_
    return label_map
