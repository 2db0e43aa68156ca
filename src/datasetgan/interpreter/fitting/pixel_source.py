"""Pixels of several images and what they are to become, drawn in batches."""

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasetgan.features import FeatureCache, InputSpec
from datasetgan.runtime import random_state

__all__ = ["ChosenPixels", "PixelBatch", "PixelSource", "draw_items"]

# The first number of every random path says what the numbers are for.
LABEL_ORDER_STREAM = 5

# Vectors of this many bytes are gathered once; beyond, each batch reads the cache.
_POOL_BYTES = 1 << 30
# Items read from the cache at once.
_PIECE = 2048


@dataclass(frozen=True, eq=False)
class ChosenPixels:
    """Pixels of one image to fit on.

    Attributes:
        image: its number in the cache.
        size: (height, width) of the grid that the pixels are counted on.
        points: [P, 2] rows and columns; of crops, their middles.
        targets: [P, r * r, ...], what each pixel of an item, its halo excluded, is to become.
        shown: the outputs that can be learned here: classes, or visible points.
        groups: [P] numbers; pixels of a group four times as large are drawn twice as
            often. None where all pixels are alike.
    """

    image: int
    size: tuple[int, int]
    points: Tensor
    targets: Tensor
    shown: frozenset[int]
    groups: NDArray[np.int64] | None = None


@dataclass(frozen=True, eq=False)
class PixelBatch:
    """Some pixels, or crops of pixels with a halo.

    Attributes:
        features: [B, C], or crops [B, R, R, C].
        targets: [B', ...], one per pixel less the halo, in the order of the crops' rows.
    """

    features: Tensor
    targets: Tensor


class PixelSource:
    """Pixels of some images, or crops around them, to draw batches from.

    Args:
        cache: the images' features.
        images: the pixels of each to read, in the order of their numbers.
        inputs: what is read.
        window: rows and columns of a crop relative to its middle, halo included; None
            for single pixels.
        device: where batches go.
    """

    def __init__(
        self,
        cache: FeatureCache,
        images: Sequence[ChosenPixels],
        *,
        inputs: InputSpec,
        window: Tensor | None,
        device: torch.device,
    ) -> None:
        self._cache, self.inputs, self.device = cache, inputs, device
        self._grid = () if window is None else (len(window), len(window))
        steps = torch.zeros(1, dtype=torch.int64) if window is None else window
        self._window = torch.cartesian_prod(steps, steps)  # [R * R, 2] rows and columns
        self._sizes = {chosen.image: chosen.size for chosen in images}
        self._shown = {chosen.image: chosen.shown for chosen in images}
        self._points = torch.cat([chosen.points for chosen in images])  # [N, 2]
        self._targets = torch.cat([chosen.targets for chosen in images])  # [N, r * r, ...]
        self._images = torch.cat(
            [torch.full((len(chosen.points),), chosen.image) for chosen in images]
        )
        groups = [chosen.groups for chosen in images if chosen.groups is not None]
        self._groups = np.concatenate(groups) if groups else None
        self._chosen = torch.arange(len(self._points))
        self._scales = cache.scales(inputs)
        self._pool: Tensor | None = None
        if len(self) * len(self._window) * len(self._scales) * 2 <= _POOL_BYTES:
            parts = torch.split(self._chosen, _PIECE)
            pool = [(self._read(part) / self._scales).half() for part in parts]
            self._pool = torch.cat(pool).to(device)
        self._scales = self._scales.to(device)

    def __len__(self) -> int:
        return len(self._chosen)

    def restricted_to(self, images: Sequence[int]) -> "PixelSource":
        """Return the items of some of the images; what was gathered is shared."""
        part = copy(self)
        part._chosen = torch.isin(self._images, torch.tensor(images)).nonzero().flatten()
        return part

    @property
    def images(self) -> list[int]:
        """Numbers of the images, ascending."""
        return list(np.unique(self._images[self._chosen].numpy()).tolist())

    @property
    def shown(self) -> frozenset[int]:
        """The outputs that can be learned here: classes, or visible points."""
        return frozenset[int]().union(*(self._shown[image] for image in self.images))

    @property
    def pixels_per_item(self) -> int:
        """Targets of one item: 1, or the pixels of a crop without its halo."""
        return self._targets.shape[1]

    @property
    def pixels(self) -> int:
        """Targets of all items."""
        return len(self) * self.pixels_per_item

    def read(self, items: Tensor) -> PixelBatch:
        """Read items by number, [B] int64; what they hold is float32, or class ids int64."""
        chosen = self._chosen[items]
        if self._pool is None:
            features = self._read(chosen).to(self.device)
        else:
            features = self._pool[chosen.to(self.device)].float() * self._scales
        targets = self._targets[chosen].flatten(0, 1)  # [B * r * r, ...]
        if not targets.is_floating_point():
            targets = targets.long()
        return PixelBatch(features, targets.to(self.device))

    def _read(self, items: Tensor) -> Tensor:
        """Return [B, C] or [B, R, R, C] float32 out of the cache."""
        found = torch.empty(len(items) * len(self._window), len(self._scales))
        images = self._images[items]
        for image in np.unique(images.numpy()).tolist():
            own = (images == image).nonzero().flatten()
            size = self._sizes[image]
            points = self._points[items[own], None] + self._window  # [b, R * R, 2]
            # Beyond the picture its edge pixels repeat, as `FoldedHead` has it.
            points = points.clamp(min=torch.zeros(2).long(), max=torch.tensor(size) - 1)
            values = self._cache.read(image, points.view(-1, 2), size=size, inputs=self.inputs)
            rows = found.view(len(items), len(self._window), -1)
            rows[own] = values.view(len(own), len(self._window), -1)
        return found.view(len(items), *self._grid, found.shape[1])

    def moments(self) -> tuple[Tensor, Tensor]:
        """Return mean and mean square [C] of features over a fixed few items."""
        step = max(1, len(self) // 4096)
        sums = [torch.zeros(sum(self.inputs.channels), dtype=torch.float64) for _ in range(2)]
        count = 0
        for part in torch.split(torch.arange(0, len(self), step), 1024):
            x = self.read(part).features.flatten(0, -2)
            sums[0] += x.sum(dim=0).cpu()
            sums[1] += x.square().sum(dim=0).cpu()
            count += len(x)
        return sums[0] / count, sums[1] / count

    def wanted(self) -> NDArray[np.float64] | None:
        """Return how often each item is wanted, [N], summing to 1; None if all alike."""
        if self._groups is None:
            return None
        groups = self._groups[self._chosen.numpy()]
        _, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
        wanted = 1 / np.sqrt(counts[inverse])
        return np.asarray(wanted / wanted.sum(), dtype=np.float64)


def draw_items(
    count: int,
    *,
    batch: int,
    seed: int,
    member: int,
    stream: int = LABEL_ORDER_STREAM,
    wanted: NDArray[np.float64] | None = None,
) -> Iterator[Tensor]:
    """Yield batches [batch] of item numbers without end.

    Without weights, epoch after epoch in a random order; a batch that an epoch cannot
    fill goes on with the next one. With weights, drawn with replacement.

    Args:
        count: items.
        batch: wanted at once.
        seed: of the order.
        member: whose order it is.
        stream: of random numbers, below the seed.
        wanted: [count] summing to 1.
    """
    random = random_state(seed, stream, member)
    if wanted is not None:
        edges = wanted.cumsum()
        while True:
            drawn = np.searchsorted(edges, random.random_sample(batch), side="right")
            yield torch.from_numpy(drawn.clip(max=count - 1))
    waiting = np.empty(0, dtype=np.int64)
    while True:
        while len(waiting) < batch:
            waiting = np.concatenate([waiting, random.permutation(count)])
        yield torch.from_numpy(waiting[:batch])
        waiting = waiting[batch:]
