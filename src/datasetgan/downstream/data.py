"""Training examples out of a labelled dataset, and what networks see of a picture."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from datasetgan.dataset import Keypoints, LabelledDataset, LabelledSample
from datasetgan.downstream.augment import AugmentationSettings, augment
from datasetgan.runtime import Stream, random_state

__all__ = [
    "LABEL_MAPS",
    "Target",
    "TrainingStream",
    "normalize",
    "resize_image",
    "resize_label_map",
]

T = TypeVar("T", Tensor, Keypoints)

# Of ImageNet, as every published backbone expects.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


def normalize(images: Tensor) -> Tensor:
    """Turn images [..., 3, H, W] in [0, 1] into what networks see: ImageNet's statistics."""
    mean = images.new_tensor(_MEAN).view(3, 1, 1)
    std = images.new_tensor(_STD).view(3, 1, 1)
    return (images - mean) / std


def resize_image(image: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    """Stretch a picture [H, W, 3] to (height, width), antialiased; [3, height, width] uint8."""
    pixels = torch.from_numpy(image.transpose(2, 0, 1).copy())
    if pixels.shape[1:] == size:
        return pixels
    stretched = F.interpolate(
        pixels[None].float(), size, mode="bilinear", align_corners=False, antialias=True
    )
    return stretched[0].round().clamp(0, 255).to(torch.uint8)


def resize_label_map(label_map: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    """Stretch a label map [H, W] to (height, width) by nearest pixel centres; int64."""
    ids = torch.from_numpy(label_map.copy())
    if ids.shape != size:
        ids = F.interpolate(ids[None, None], size, mode="nearest-exact")[0, 0]
    return ids.long()


@dataclass(frozen=True)
class Target(Generic[T]):
    """What a network learns of a sample.

    Attributes:
        read: out of a sample, stretched to a (height, width): a label map or keypoints.
        finish: makes a tensor of it once it was augmented.
    """

    read: Callable[[LabelledSample, tuple[int, int]], T]
    finish: Callable[[T], Tensor]


LABEL_MAPS: Target[Tensor] = Target(
    read=lambda sample, size: resize_label_map(sample.label_map, size),
    finish=lambda label_map: label_map,
)
"""Class ids per pixel, [H, W] int64."""


class TrainingStream(Dataset[tuple[Tensor, Tensor]], Generic[T]):
    """Endless shuffled passes over a dataset, cut to a length, each example augmented anew.

    Example `i` depends on the dataset, the settings, the seed and `i` alone. So a run
    can stop anywhere and go on, and any number of loader processes gives the same.

    Args:
        dataset: where samples come from; the filtered ones are left out.
        target: what is shown of each sample beside its image.
        length: number of examples; each pass shows every kept sample once.
        size: (height, width) to stretch to.
        augmentation: random changes.
        seed: of order and augmentation.
    """

    def __init__(
        self,
        dataset: LabelledDataset,
        target: Target[T],
        *,
        length: int,
        size: tuple[int, int],
        augmentation: AugmentationSettings,
        seed: int,
    ) -> None:
        self._dataset = dataset
        self._target: Target[T] = target
        self._length = length
        self._size = size
        self._augmentation = augmentation
        self._seed = seed
        self._pass = -1
        self._order: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return image [3, H, W], float32, normalised, and target."""
        if not 0 <= index < self._length:
            raise IndexError(index)
        sample = self._dataset.load(self._dataset.kept[self.position(index)])
        image, target = augment(
            resize_image(sample.image, self._size),
            self._target.read(sample, self._size),
            settings=self._augmentation,
            seed=int(random_state(self._seed, Stream.AUGMENTATION, index).randint(2**31)),
        )
        return normalize(image), self._target.finish(target)

    def position(self, index: int) -> int:
        """Return which of the kept records example `index` shows."""
        number, place = divmod(index, len(self._dataset))
        if number != self._pass:
            stream = random_state(self._seed, Stream.DATASET_ORDER, number)
            self._pass, self._order = number, stream.permutation(len(self._dataset))
        return int(self._order[place])
