"""Pixels of several images and what they are to become, scaled and drawn in batches."""

from collections.abc import Collection, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasetgan.features import FeatureCache, InputSpec
from datasetgan.interpreter.ensemble.stacked import StackedHead, StackedLinear
from datasetgan.interpreter.fitting.recipe import Normalization
from datasetgan.runtime import Stream, random_state

__all__ = ["ChosenPixels", "InputScaling", "PixelBatch", "PixelSource", "draw_items"]


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

    def restricted_to(self, images: Collection[int]) -> "PixelSource":
        """Return the items of some of the images; what was gathered is shared."""
        part = copy(self)
        part._chosen = torch.isin(self._images, torch.tensor(list(images))).nonzero().flatten()
        return part

    def without(self, images: Collection[int]) -> "PixelSource":
        """Return the items of all other images."""
        return self.restricted_to([image for image in self.images if image not in images])

    @property
    def images(self) -> list[int]:
        """Numbers of the images, ascending."""
        return list(np.unique(self._images[self._chosen].numpy()).tolist())

    @property
    def shown_by_image(self) -> list[frozenset[int]]:
        """`shown` of each image."""
        return [self._shown[image] for image in self.images]

    @property
    def shown(self) -> frozenset[int]:
        """The outputs that can be learned here: classes, or visible points."""
        return frozenset[int]().union(*self.shown_by_image)

    @property
    def pixels_per_item(self) -> int:
        """Targets of one item: 1, or the pixels of a crop without its halo."""
        return self._targets.shape[1]

    @property
    def pixels(self) -> int:
        """Targets of all items."""
        return len(self) * self.pixels_per_item

    def per_step(self, batch: int) -> int:
        """Return the pixels of a step that wants so many: whole items, at least one."""
        return max(1, batch // self.pixels_per_item) * self.pixels_per_item

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

    def batches(
        self, batch: int, *, seed: int, stream: Stream, own: int | None = None
    ) -> Iterator[PixelBatch]:
        """Yield batches without end; see `draw_items`.

        Args:
            batch: pixels wanted at once.
            seed: of the order.
            stream: of random numbers, below the seed, for that order.
            own: members that get a batch each, features [M, B, C] and targets [M, B, ...];
                by default all share one.
        """
        count = self.per_step(batch) // self.pixels_per_item
        wanted = self.wanted()
        orders = [
            draw_items(len(self), batch=count, seed=seed, member=m, stream=stream, wanted=wanted)
            for m in range(own or 1)
        ]
        while True:
            drawn = self.read(torch.cat([next(order) for order in orders]))
            if own is not None:
                parts = (x.view(own, count, *x.shape[1:]) for x in (drawn.features, drawn.targets))
                drawn = PixelBatch(*parts)
            yield drawn

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
    stream: Stream = Stream.PIXEL_ORDER,
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


@dataclass(frozen=True, eq=False)
class InputScaling:
    """What is done to features before the first layer while training.

    A member reads ``(x - mean) * scale * member_scale[m]``.

    Attributes:
        mean: [C].
        scale: [C], above 0.
        member_scale: [M, C], what each member multiplies by in addition; 0 for channels
            that it does without.
    """

    mean: Tensor
    scale: Tensor
    member_scale: Tensor

    @classmethod
    def measured(
        cls, source: PixelSource, *, normalization: Normalization, members: Sequence[InputSpec]
    ) -> Self | None:
        """Measure on a source's pixels.

        ``"levels"`` divides each level by the root mean square of its values,
        ``"channels"`` brings each channel to mean 0 and deviation 1.

        Args:
            source: what is trained on.
            normalization: ``"none"`` gives None.
            members: what each of them makes of the source's inputs.
        """
        if normalization == "none":
            return None
        mean, square = source.moments()
        tiny = 1e-12
        if normalization == "channels":
            scale = (square - mean.square()).clamp(min=tiny).rsqrt()
            # A channel that hardly moves says nothing; it must not be blown up.
            scale = scale.clamp(max=1e3 * float(scale.median()))
        else:
            mean = torch.zeros_like(mean)
            levels = torch.split(square, list(source.inputs.channels))
            scale = torch.cat([x.mean().clamp(min=tiny).rsqrt().expand(len(x)) for x in levels])
        member_scale = torch.stack([inputs.weights() for inputs in members])
        device = source.device
        return cls(mean.float().to(device), scale.float().to(device), member_scale.to(device))

    @torch.no_grad()
    def fold_into(self, head: StackedHead) -> None:
        """Change a head's first layer so that it reads raw features."""
        first = head.layers[0]
        assert isinstance(first, StackedLinear)
        first.weight.mul_(self.member_scale[:, None] * self.scale)
        first.bias.sub_(first.weight @ self.mean)

    @torch.no_grad()
    def unfold_from(self, head: StackedHead) -> None:
        """Undo `fold_into`."""
        first = head.layers[0]
        assert isinstance(first, StackedLinear)
        first.bias.add_(first.weight @ self.mean)
        # What was multiplied by 0 is 0 and stays so.
        first.weight.div_((self.member_scale[:, None] * self.scale).clamp(min=1e-30))
