"""The nearest photograph of every sample: does the generator copy?"""

from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasetgan.choices import Symmetry
from datasetgan.encoders.pictures import to_float
from datasetgan.errors import UsageError, unknown_name
from datasetgan.gan_training.quality.feature_networks import extract_features
from datasetgan.gan_training.quality.measure import RealFeatures
from datasetgan.gan_training.quality.picture_batches import check_pictures, seeded_rows
from datasetgan.runtime import Stream

__all__ = ["MEMORISED_FRACTION", "Neighbours", "aligned_photographs", "nearest_photographs"]

MEMORISED_FRACTION = 0.5
"""A sample nearer to a photograph than this times `typical_distance` counts as a copy."""

# Numbered as `apply_symmetry` does: t % 4 quarter turns, then mirrored if t is 4 or more.
_TURNS: dict[str, tuple[int, ...]] = {
    "none": (0,),
    "flip": (0, 4),
    "dihedral": tuple(range(8)),
}
_BLOCK = 1024


@dataclass(frozen=True)
class Neighbours:
    """The nearest photograph of each of M samples, by features, under the symmetries.

    Attributes:
        indices: [M] int64, the photograph.
        turns: [M] int64, how the sample was turned to meet it: so many quarter turns,
            mirrored after them from 4 on.
        feature_distances: [M] float64, Euclidean.
        pixel_distances: [M] float64, root mean square difference of the turned sample and
            the photograph, 0 to 255.
        typical_distance: median distance of a photograph to its nearest other photograph.
        memorised_share: share of samples nearer than `MEMORISED_FRACTION` times that.
        photograph_share: share of photographs that are as near to another one. The
            photographs hold near-duplicates if it is above 0, and `memorised_share` is to
            be compared with it: a generator that copies has clearly more.
    """

    indices: NDArray[np.int64]
    turns: NDArray[np.int64]
    feature_distances: NDArray[np.float64]
    pixel_distances: NDArray[np.float64]
    typical_distance: float
    memorised_share: float
    photograph_share: float


def nearest_photographs(
    samples: NDArray[np.uint8],
    images: NDArray[np.uint8],
    *,
    real: RealFeatures,
    symmetry: Symmetry = "none",
    batch: int = 64,
    num_references: int = 256,
    seed: int = 0,
) -> Neighbours:
    """Find the nearest photograph of every sample, and say whether that is suspiciously near.

    How near is near? The same search is done for some photographs, each among all others;
    the median of what it finds is the yardstick.

    Args:
        samples: uint8 [M, R, R, 3].
        images: the photographs, uint8 [N, R, R, 3], may be memory-mapped.
        real: their features; the search is among these, all of them up to `MAX_REAL`.
        symmetry: ``"flip"`` also compares mirrored samples, ``"dihedral"`` all eight turns.
        batch: samples that are compared at a time; bounds the memory.
        num_references: photographs, drawn by `seed`, that give the yardstick.

    Raises:
        UsageError: misshapen or unequal pictures, an unknown symmetry, numbers below 1, or
            fewer than 2 photographs.
    """
    check_pictures("samples", samples)
    check_pictures("photographs", images)
    if samples.shape[1:] != images.shape[1:]:
        raise UsageError(
            f"samples and photographs must be of one size, got {samples.shape[1]} and "
            f"{images.shape[1]} pixels a side."
        )
    if symmetry not in get_args(Symmetry):
        raise UsageError(unknown_name("symmetry", symmetry, get_args(Symmetry)))
    if batch < 1 or num_references < 1:
        raise UsageError(
            f"expected a batch and references of at least 1, got {batch} and {num_references}."
        )
    if len(real.rows) < 2:
        raise UsageError("neighbours need at least 2 photographs to compare with, got 1.")
    drawn = seeded_rows(len(real.rows), num_references, seed=seed, stream=Stream.REFERENCE_PHOTOS)
    references = images[real.rows[drawn]]
    typical, _, _ = _search(references, real, symmetry=symmetry, batch=batch, left_out=drawn)
    distances, columns, turns = _search(samples, real, symmetry=symmetry, batch=batch)
    indices = real.rows[columns]
    limit = MEMORISED_FRACTION * float(np.median(typical))
    pairs = zip(samples, indices, turns, strict=True)
    pixel_distances = [_root_mean_square(_turn(s, t), images[i]) for s, i, t in pairs]
    return Neighbours(
        indices=indices,
        turns=turns,
        feature_distances=distances,
        pixel_distances=np.array(pixel_distances),
        typical_distance=float(np.median(typical)),
        memorised_share=float((distances <= limit).mean()),
        photograph_share=float((typical <= limit).mean()),
    )


def aligned_photographs(neighbours: Neighbours, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the nearest photographs uint8 [M, R, R, 3], turned as the samples stand."""
    pairs = zip(neighbours.indices, neighbours.turns, strict=True)
    return np.stack([_turn_back(images[index], turn) for index, turn in pairs])


def _turn(picture: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    turned = np.rot90(picture, turn % 4)
    return turned[:, ::-1] if turn >= 4 else turned


def _turn_back(picture: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    return np.rot90(picture[:, ::-1] if turn >= 4 else picture, -(turn % 4))


def _root_mean_square(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(np.sqrt(np.mean((a.astype(np.float64) - b) ** 2)))


def _search(
    pictures: NDArray[np.uint8],
    real: RealFeatures,
    *,
    symmetry: Symmetry,
    batch: int,
    left_out: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Return distance, row of `real.values` and turn of the nearest photograph, [M] each.

    Args:
        left_out: [M] the one row that each picture must not meet: itself.
    """
    turns = _TURNS[symmetry]
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for start in range(0, len(pictures), batch):
        part = pictures[start : start + batch]
        turned = (to_float(np.stack([_turn(p, t) for p in part])) for t in turns)
        queries = extract_features(real.network, turned).double()  # [T*B, D]
        best = torch.full((len(queries),), torch.inf, dtype=torch.float64)
        row = torch.zeros(len(queries), dtype=torch.int64)
        for first in range(0, len(real.values), _BLOCK):
            block = real.values[first : first + _BLOCK].double()
            # In float64 the fast way, by products, still finds copies at about 0.
            distances = torch.cdist(queries, block, compute_mode="use_mm_for_euclid_dist")
            if left_out is not None:
                own = torch.from_numpy(left_out[start : start + batch]).repeat(len(turns)) - first
                columns = torch.arange(len(block))
                distances = distances.masked_fill(own[:, None] == columns, torch.inf)
            nearest, column = distances.min(dim=1)
            closer = nearest < best
            best = torch.where(closer, nearest, best)
            row = torch.where(closer, column + first, row)
        best, turn = best.reshape(len(turns), -1).min(dim=0)  # [B]
        row = row.reshape(len(turns), -1).gather(0, turn[None])[0]
        found.append((best, row, torch.tensor(turns)[turn]))
    distance, rows, chosen = (torch.cat(column).numpy() for column in zip(*found, strict=True))
    return distance, rows, chosen
