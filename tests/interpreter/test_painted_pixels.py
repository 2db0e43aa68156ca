"""Regions against scipy; the sample of pixels against its promises."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from datasetgan.errors import UsageError
from datasetgan.interpreter.fitting.painted_pixels import label_regions, select_pixels

LABEL_MAPS = arrays(
    np.int64,
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    elements=st.sampled_from([0, 1, 2, 255]),
)


def scipy_regions(label_map: np.ndarray) -> set[frozenset[int]]:
    found = set()
    for value in set(np.unique(label_map)) - {255}:
        numbered, count = ndimage.label(label_map == value)
        for i in range(1, count + 1):
            found.add(frozenset(np.flatnonzero(numbered == i).tolist()))
    return found


def own_regions(label_map: np.ndarray) -> set[frozenset[int]]:
    numbered = label_regions(label_map)
    assert np.array_equal(numbered < 0, label_map == 255)
    count = numbered.max(initial=-1) + 1
    return {frozenset(np.flatnonzero(numbered == i).tolist()) for i in range(count)}


@given(LABEL_MAPS)
def test_regions_are_those_of_scipy(label_map: np.ndarray) -> None:
    assert own_regions(label_map) == scipy_regions(label_map)


def test_a_spiral_is_one_region() -> None:
    # One long path winds through the picture: many rounds of union are needed.
    label_map = np.zeros((33, 33), dtype=np.int64)
    label_map[0, :] = 1
    row, column = 0, 32
    for leg in range(30):
        down, right = [(1, 0), (0, -1), (-1, 0), (0, 1)][leg % 4]
        for _ in range(32 - 2 * (leg // 2)):
            row, column = row + down, column + right
            label_map[row, column] = 1
    assert len(scipy_regions(label_map)) == 2
    assert own_regions(label_map) == scipy_regions(label_map)


def test_region_numbers_follow_reading_order() -> None:
    numbered = label_regions(np.array([[3, 3, 255, 1], [1, 3, 1, 1]]))
    assert numbered.tolist() == [[0, 0, -1, 1], [2, 0, 1, 1]]


@given(LABEL_MAPS, st.integers(1, 60), st.integers(0, 5))
def test_every_region_gives_a_pixel(label_map: np.ndarray, count: int, seed: int) -> None:
    points = select_pixels(torch.from_numpy(label_map), count=count, seed=seed)
    assert points.dtype == torch.int64
    flat = points[:, 0] * label_map.shape[1] + points[:, 1]
    chosen = set(flat.tolist())
    assert len(chosen) == len(points)
    painted = set(np.flatnonzero(label_map != 255).tolist())
    assert chosen <= painted
    regions = scipy_regions(label_map)
    assert all(chosen & region for region in regions)
    assert len(points) == min(max(count, len(regions)), len(painted))


def test_a_small_region_is_always_found() -> None:
    label_map = torch.zeros(64, 64, dtype=torch.int64)
    label_map[40, 50] = 4
    for seed in range(20):
        points = select_pixels(label_map, count=10, seed=seed).tolist()
        assert [40, 50] in points
        assert len(points) == 10


def test_the_rest_is_uniform() -> None:
    label_map = torch.zeros(10, 10, dtype=torch.int64)
    hits = torch.zeros(10, 10)
    for seed in range(600):
        points = select_pixels(label_map, count=20, seed=seed)
        hits[points[:, 0], points[:, 1]] += 1
    # 120 expected each; the standard deviation of a count is 9.8.
    assert hits.min() > 70
    assert hits.max() < 170


def test_a_seed_fixes_the_pixels() -> None:
    label_map = torch.zeros(16, 16, dtype=torch.int64)
    first = select_pixels(label_map, count=9, seed=3)
    assert torch.equal(first, select_pixels(label_map, count=9, seed=3))
    assert not torch.equal(first, select_pixels(label_map, count=9, seed=4))


def test_nothing_painted_gives_no_pixels() -> None:
    assert select_pixels(torch.full((4, 4), 255), count=5, seed=0).shape == (0, 2)


@pytest.mark.parametrize(
    ("shape", "count", "seed", "message"),
    [
        ((1, 4, 4), 5, 0, r"must be \[H, W\], got \[1, 4, 4\]"),
        ((4, 4), 0, 0, "at least 1, got 0"),
        ((4, 4), 5, -1, "must not be negative"),
    ],
)
def test_bad_arguments(shape: tuple[int, ...], count: int, seed: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        select_pixels(torch.zeros(shape, dtype=torch.int64), count=count, seed=seed)
