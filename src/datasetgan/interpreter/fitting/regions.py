"""Painted regions of a label map, and a sample of pixels that leaves none of them out."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasetgan.errors import UsageError
from datasetgan.runtime import Stream, random_state
from datasetgan.taxonomy import IGNORE_INDEX

__all__ = ["label_regions", "select_pixels"]


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
