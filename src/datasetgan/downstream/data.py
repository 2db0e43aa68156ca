"""Training examples out of a labelled dataset, and what networks see of a picture."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from datasetgan.dataset import LabelledDataset
from datasetgan.downstream.augment import AugmentationSettings, augment
from datasetgan.runtime import Stream, random_state

__all__ = [
    "ShuffledPasses",
    "TrainingStream",
    "augmentation_seed",
    "normalize",
    "resize_image",
    "resize_label_map",
]

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


def augmentation_seed(seed: int, index: int) -> int:
    """Return the seed of the random changes to example `index` of a run."""
    return int(random_state(seed, Stream.AUGMENTATION, index).randint(2**31))


class ShuffledPasses:
    """Endless passes over so many items, each in a random order of its own.

    Args:
        count: of the items.
        seed: of the orders.
    """

    def __init__(self, count: int, *, seed: int) -> None:
        self._count = count
        self._seed = seed
        self._pass = -1
        self._order: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def item(self, index: int) -> int:
        """Return which item comes at place `index`; it depends on count, seed and index alone."""
        number, place = divmod(index, self._count)
        if number != self._pass:
            stream = random_state(self._seed, Stream.DATASET_ORDER, number)
            self._pass, self._order = number, stream.permutation(self._count)
        return int(self._order[place])


class TrainingStream(Dataset[tuple[Tensor, Tensor]]):
    """Endless shuffled passes over a dataset, cut to a length, each example augmented anew.

    Example `i` depends on the dataset, the settings, the seed and `i` alone. So a run
    can stop anywhere and go on, and any number of loader processes gives the same.

    Args:
        dataset: where samples come from; the filtered ones are left out.
        length: number of examples; each pass shows every kept sample once.
        size: (height, width) to stretch to.
        augmentation: random changes.
        seed: of order and augmentation.
    """

    def __init__(
        self,
        dataset: LabelledDataset,
        *,
        length: int,
        size: tuple[int, int],
        augmentation: AugmentationSettings,
        seed: int,
    ) -> None:
        self._dataset = dataset
        self._length = length
        self._size = size
        self._augmentation = augmentation
        self._seed = seed
        self._passes = ShuffledPasses(len(dataset), seed=seed)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return image [3, H, W], float32, normalised, and label map [H, W], int64."""
        if not 0 <= index < self._length:
            raise IndexError(index)
        sample = self._dataset.load(self._dataset.kept[self.position(index)])
        image, label_map = augment(
            resize_image(sample.image, self._size),
            resize_label_map(sample.label_map, self._size),
            settings=self._augmentation,
            seed=augmentation_seed(self._seed, index),
        )
        return normalize(image), label_map

    def position(self, index: int) -> int:
        """Return which of the kept records example `index` shows."""
        return self._passes.item(index)
