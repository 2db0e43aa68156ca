"""Which painted pixels an interpreter is fitted on, and the class ids that they carry."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasetgan.errors import UsageError
from datasetgan.features import InputSpec, PaintedImages
from datasetgan.interpreter.fitting.pixel_source import ChosenPixels, PixelSource
from datasetgan.interpreter.fitting.recipe import Sampling
from datasetgan.runtime import Stream, random_state
from datasetgan.taxonomy import IGNORE_INDEX

__all__ = ["label_regions", "painted_pixels", "select_pixels"]

_CROP_SIDE = 8


def painted_pixels(
    painted: PaintedImages,
    images: Sequence[int],
    *,
    inputs: InputSpec,
    pixels_per_image: int | None,
    sampling: Sampling,
    halo: int,
    seed: int,
    device: torch.device,
) -> PixelSource:
    """Choose painted pixels of some images, or crops around them.

    Args:
        painted: all images.
        images: numbers of those to read; the others are held out.
        inputs: what is read of a pixel.
        pixels_per_image: wanted of each; None takes all that are painted.
        sampling: which of them are drawn more often.
        halo: pixels around a crop that a head reads; single pixels where it reads none.
        seed: of the choice.
        device: where batches go.
    """
    side = _CROP_SIDE if halo else 1
    inner = torch.arange(side) - side // 2
    chosen: list[ChosenPixels] = []
    regions = 0
    for image in images:
        label_map = painted.label_maps[image]
        wanted = label_map.numel() if pixels_per_image is None else pixels_per_image
        # The stream is the image's own: folds choose alike.
        own = int(random_state(seed, Stream.PIXELS, image).randint(2**31))
        points = select_pixels(label_map, count=max(1, wanted // side**2), seed=own)
        # One byte each: label maps are read here, not pixel by pixel in every step.
        targets = _labels(label_map, points, torch.cartesian_prod(inner, inner)).to(torch.uint8)
        groups: NDArray[np.int64] | None = None
        if sampling == "regions":
            numbers = torch.from_numpy(label_regions(label_map.numpy()))
            groups = numbers[points[:, 0], points[:, 1]].numpy() + regions
            regions = int(groups.max()) + 1
        elif sampling == "balanced":
            groups = label_map[points[:, 0], points[:, 1]].numpy()
        shown = frozenset(np.unique(targets.numpy()).tolist()) - {IGNORE_INDEX}
        size = (label_map.shape[0], label_map.shape[1])
        chosen.append(ChosenPixels(image, size, points, targets, shown, groups))
    window = torch.arange(-halo, side + halo) - side // 2 if halo else None
    return PixelSource(painted.cache, chosen, inputs=inputs, window=window, device=device)


def _labels(label_map: Tensor, points: Tensor, offsets: Tensor) -> Tensor:
    """Return the class ids [P, len(offsets)] at offsets from points; 255 off the map."""
    places = points[:, None] + offsets
    limit = torch.tensor(label_map.shape)
    inside = ((places >= 0) & (places < limit)).all(dim=2)
    rows, columns = places.clamp(min=torch.zeros(2).long(), max=limit - 1).unbind(dim=2)
    return torch.where(inside, label_map[rows, columns], IGNORE_INDEX)


def label_regions(label_map: NDArray[np.integer]) -> NDArray[np.int64]:
    """Number the connected regions of equal class.

    Two pixels are neighbours where they share an edge (4-connectivity), so
    regions that touch at a corner alone count as two.

    Args:
        label_map: [H, W] class ids; 255 is unpainted.

    Returns:
        [H, W] region numbers from 0 in reading order; -1 where unpainted.
    """
    painted = label_map != IGNORE_INDEX
    pixels = np.arange(label_map.size).reshape(label_map.shape)
    # 1. Edges of the graph: neighbours of one class.
    right = painted[:, 1:] & (label_map[:, 1:] == label_map[:, :-1])
    down = painted[1:] & (label_map[1:] == label_map[:-1])
    a = np.concatenate([pixels[:, :-1][right], pixels[:-1][down]])
    b = np.concatenate([pixels[:, 1:][right], pixels[1:][down]])
    # 2. Union by rounds: hook every root to the smallest root beside it, then
    #    shorten all paths. Each round joins every region that is still in parts.
    parent = pixels.reshape(-1).copy()
    while a.size:
        root_a, root_b = parent[a], parent[b]
        np.minimum.at(parent, np.maximum(root_a, root_b), np.minimum(root_a, root_b))
        while not np.array_equal(parent, parent[parent]):
            parent = parent[parent]
        apart = parent[a] != parent[b]
        a, b = a[apart], b[apart]
    # 3. Number the roots in order; each is the first pixel of its region.
    regions = np.full(label_map.size, -1, dtype=np.int64)
    flat = painted.reshape(-1)
    regions[flat] = np.unique(parent[flat], return_inverse=True)[1]
    return regions.reshape(label_map.shape)


def select_pixels(label_map: Tensor, *, count: int, seed: int) -> Tensor:
    """Choose pixels to fit on: one of every painted region, the rest at random.

    The paper samples pixels at random, but one or more of every labelled region
    (Zhang et al. 2021, sec. 3): small parts would be missed otherwise.

    Args:
        label_map: [H, W] integer class ids; 255 is unpainted and never chosen.
        count: pixels wanted. More come where there are more regions, fewer
            where fewer pixels are painted.
        seed: a non-negative integer; the same seed chooses the same pixels.

    Returns:
        [P, 2] int64 rows and columns on the CPU, distinct, in reading order.

    Raises:
        UsageError: the map is not [H, W], `count` < 1 or a negative seed.
    """
    if label_map.ndim != 2:
        raise UsageError(f"a label map must be [H, W], got {list(label_map.shape)}.")
    if count < 1:
        raise UsageError(f"the count of pixels must be at least 1, got {count}.")
    regions = label_regions(label_map.cpu().numpy()).reshape(-1)
    order = random_state(seed, Stream.REGIONS).permutation(np.flatnonzero(regions >= 0))
    # In a random order, the first pixel of a region is a uniform draw from it.
    ahead = np.zeros(len(order), dtype=bool)
    ahead[np.unique(regions[order], return_index=True)[1]] = True
    order = np.concatenate([order[ahead], order[~ahead]])
    chosen = np.sort(order[: max(count, int(ahead.sum()))])
    rows, columns = np.divmod(chosen, label_map.shape[1])
    return torch.from_numpy(np.stack([rows, columns], axis=1).astype(np.int64))
