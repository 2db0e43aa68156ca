"""Painted pixels of several images, drawn in batches."""

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasetgan.features.block_means import Context, input_levels
from datasetgan.features.painted import PaintedImages
from datasetgan.interpreter.fitting.regions import label_regions, select_pixels
from datasetgan.interpreter.fitting.settings import Sampling
from datasetgan.runtime import Stream, random_state
from datasetgan.taxonomy import IGNORE_INDEX

__all__ = ["PixelBatch", "PixelSource", "draw_items"]


# Vectors of this many bytes are gathered once; beyond, each batch reads the cache.
_POOL_BYTES = 1 << 30
_CROP_SIDE = 8
# Items read from the cache at once.
_PIECE = 2048


@dataclass(frozen=True, eq=False)
class PixelBatch:
    """Some pixels, or crops of pixels with a halo.

    Attributes:
        features: [B, C], or crops [B, R, R, C].
        targets: [B'] class ids, 255 where unpainted: one per pixel less the halo, in
            the order of the crops' rows.
    """

    features: Tensor
    targets: Tensor


class PixelSource:
    """Painted pixels of some images, or crops around them, to draw batches from.

    Args:
        painted: the images.
        images: numbers of those to read; the others are held out.
        pixels_per_image: wanted of each; None takes all that are painted.
        halo: pixels around a crop that a head reads; single pixels where it reads none.
        seed: of the choice of pixels.
        device: where batches go.
        context: what is read beside a pixel's own features.
    """

    def __init__(
        self,
        painted: PaintedImages,
        images: Sequence[int],
        *,
        pixels_per_image: int | None,
        halo: int,
        seed: int,
        device: torch.device,
        context: Context = "none",
    ) -> None:
        self._painted, self.device, self.context = painted, device, context
        side = _CROP_SIDE if halo else 1
        steps = torch.arange(-halo, side + halo) - side // 2
        self._window = torch.cartesian_prod(steps, steps)  # [R * R, 2] rows and columns
        self._inner = (
            torch.cartesian_prod(steps, steps)
            .view(len(steps), -1, 2)[halo : halo + side, halo : halo + side]
            .reshape(-1, 2)
        )
        self._grid = (len(steps), len(steps)) if halo else ()
        points, numbers = [], []
        for image in images:
            label_map = painted.label_maps[image]
            wanted = label_map.numel() if pixels_per_image is None else pixels_per_image
            # The stream is the image's own: folds choose alike.
            own = int(random_state(seed, Stream.PIXELS, image).randint(2**31))
            chosen = select_pixels(label_map, count=max(1, wanted // side**2), seed=own)
            points.append(chosen)
            numbers.append(torch.full((len(chosen),), image))
        self._points = torch.cat(points)  # [N, 2]
        self._images = torch.cat(numbers)  # [N], ascending
        self._chosen = torch.arange(len(self._points))
        # One byte each: all label maps are read here, not pixel by pixel in every step.
        self._targets = self._labels(self._chosen, self._inner).to(torch.uint8)  # [N, r * r]
        self._pool: Tensor | None = None
        levels = input_levels(painted.cache.levels, context)
        size = len(self) * len(self._window) * sum(level.channels for level in levels) * 2
        if size <= _POOL_BYTES:
            self._pool = torch.cat(
                [self._read(part).half() for part in torch.split(self._chosen, _PIECE)]
            ).to(device)

    def __len__(self) -> int:
        return len(self._chosen)

    def restricted_to(self, images: Sequence[int]) -> "PixelSource":
        """Return the items of some of the images; what was gathered is shared."""
        part = copy(self)
        part._chosen = torch.isin(self._images, torch.tensor(images)).nonzero().flatten()
        return part

    @property
    def item_images(self) -> Tensor:
        """Number of the image of each item, [N], ascending."""
        return self._images[self._chosen]

    @property
    def classes(self) -> frozenset[int]:
        """Ids that are painted in the items."""
        return frozenset(np.unique(self._targets[self._chosen].numpy()).tolist()) - {IGNORE_INDEX}

    @property
    def pixels_per_item(self) -> int:
        """Targets of one item: 1, or the pixels of a crop without its halo."""
        return len(self._inner)

    def read(self, items: Tensor) -> PixelBatch:
        """Read items by number, [B] int64."""
        chosen = self._chosen[items]
        features = self._read(chosen) if self._pool is None else self._pool[chosen.to(self.device)]
        targets = self._targets[chosen].long()  # [B, r * r]
        return PixelBatch(
            features=features.float().to(self.device),
            targets=targets.flatten().to(self.device),
        )

    def _read(self, items: Tensor) -> Tensor:
        """Return [B, C] or [B, R, R, C] float32 out of the cache."""
        cache, found = self._painted.cache, None
        images = self._images[items]
        for image in np.unique(images.numpy()).tolist():
            own = (images == image).nonzero().flatten()
            size = tuple(self._painted.label_maps[image].shape)
            points = self._points[items[own], None] + self._window  # [b, R * R, 2]
            # Beyond the picture its edge pixels repeat, as `FoldedHead` has it.
            points = points.clamp(min=torch.zeros(2).long(), max=torch.tensor(size) - 1)
            values = cache.read(
                image, points.view(-1, 2), size=(size[0], size[1]), context=self.context
            )
            if len(own) == len(items):
                found = values
                break
            if found is None:
                found = values.new_empty(len(items) * len(self._window), values.shape[1])
            found.view(len(items), -1, values.shape[1])[own] = values.view(
                len(own), -1, values.shape[1]
            )
        assert found is not None
        return found.view(len(items), *self._grid, found.shape[1])

    def _labels(self, items: Tensor, offsets: Tensor) -> Tensor:
        """Return the class ids [B, len(offsets)] at offsets from items; 255 off the map."""
        found = torch.full((len(items), len(offsets)), IGNORE_INDEX)
        images = self._images[items]
        for image in np.unique(images.numpy()).tolist():
            own = (images == image).nonzero().flatten()
            label_map = self._painted.label_maps[image]
            points = self._points[items[own], None] + offsets
            limit = torch.tensor(label_map.shape)
            inside = ((points >= 0) & (points < limit)).all(dim=2)
            rows, columns = points.clamp(min=torch.zeros(2).long(), max=limit - 1).unbind(dim=2)
            found[own] = torch.where(inside, label_map[rows, columns], IGNORE_INDEX)
        return found

    def moments(self, channels: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return mean and mean square [C] of features over a fixed few items."""
        step = max(1, len(self) // 4096)
        sums = [torch.zeros(sum(channels), dtype=torch.float64) for _ in range(2)]
        count = 0
        for part in torch.split(torch.arange(0, len(self), step), 1024):
            x = self.read(part).features.flatten(0, -2)
            sums[0] += x.sum(dim=0).cpu()
            sums[1] += x.square().sum(dim=0).cpu()
            count += len(x)
        return sums[0] / count, sums[1] / count

    def weights(self, sampling: Sampling) -> NDArray[np.float64] | None:
        """Return how often each item is wanted, [N], summing to 1; None if all alike."""
        if sampling == "uniform":
            return None
        groups = np.empty(len(self), dtype=np.int64)
        offset = 0
        points, images = self._points[self._chosen], self.item_images
        for image in np.unique(images.numpy()).tolist():
            own = (images == image).numpy()
            rows, columns = points[torch.from_numpy(own)].T.numpy()
            label_map = self._painted.label_maps[image].numpy()
            if sampling == "regions":
                groups[own] = label_regions(label_map)[rows, columns] + offset
                offset = int(groups[own].max()) + 1
            else:
                groups[own] = label_map[rows, columns]
        _, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
        wanted = 1 / np.sqrt(counts[inverse])
        return np.asarray(wanted / wanted.sum(), dtype=np.float64)


def draw_items(
    count: int, *, batch: int, seed: int, member: int, weights: NDArray[np.float64] | None = None
) -> Iterator[Tensor]:
    """Yield batches [batch] of item numbers without end.

    Without weights, epoch after epoch in a random order; a batch that an epoch cannot
    fill goes on with the next one. With weights, drawn with replacement.

    Args:
        count: items.
        batch: wanted at once.
        seed: of the order.
        member: whose order it is.
        weights: [count] summing to 1.
    """
    random = random_state(seed, Stream.PIXEL_ORDER, member)
    if weights is not None:
        edges = weights.cumsum()
        while True:
            drawn = np.searchsorted(edges, random.random_sample(batch), side="right")
            yield torch.from_numpy(drawn.clip(max=count - 1))
    waiting = np.empty(0, dtype=np.int64)
    while True:
        while len(waiting) < batch:
            waiting = np.concatenate([waiting, random.permutation(count)])
        yield torch.from_numpy(waiting[:batch])
        waiting = waiting[batch:]
