import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datasetgan.dataset import Keypoints
from datasetgan.errors import UsageError
from datasetgan.keypoints.heat_maps import find_maxima, gaussian_heat_maps, sigma_in_pixels


def points(*rows, visible=None):
    array = np.array(rows, dtype=np.float64).reshape(-1, 2)
    return Keypoints(array, np.ones(len(array), bool) if visible is None else np.array(visible))


def test_heat_by_hand():
    keypoints = points((2.5, 1.5), (4.0, 0.25), (1.0, 1.0), visible=[True, True, False])
    heat = gaussian_heat_maps(keypoints, size=(4, 6), sigma=1.3)
    assert heat.shape == (3, 4, 6)
    assert heat.dtype == torch.float32
    for j in range(2):
        for row in range(4):
            for column in range(6):
                x, y = keypoints.points[j]
                squared = (column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2
                assert heat[j, row, column] == pytest.approx(np.exp(-squared / (2 * 1.3**2)))
    assert heat[0, 1, 2] == 1
    assert not heat[2].any()
    assert sigma_in_pixels(0.02, (50, 100)) == 2


@settings(deadline=None)
@given(
    st.integers(3, 40),
    st.integers(3, 40),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0.5, 8),
    st.floats(0.05, 1),
)
def test_a_gaussians_centre_comes_back(height, width, down, across, sigma, amplitude):
    truth = points((across * width, down * height))
    heat = amplitude * gaussian_heat_maps(truth, size=(height, width), sigma=sigma)
    found, scores, visible = find_maxima(heat[None], threshold=0.01)
    assert np.linalg.norm(found[0, 0].numpy() - truth.points[0]) < 0.05
    assert scores[0, 0] == heat.max()
    assert visible.all()


def test_noise_moves_it_little():
    random = np.random.RandomState(0)
    for _ in range(50):
        truth = points(random.uniform(8, 24, 2))
        heat = gaussian_heat_maps(truth, size=(32, 32), sigma=1.5)
        heat += torch.from_numpy(random.normal(0, 0.01, (1, 32, 32))).float()
        found, _, _ = find_maxima(heat[None], threshold=0.1)
        assert np.abs(found[0, 0].numpy() - truth.points[0]).max() < 0.25


@settings(deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(1, 5), st.integers(1, 5))
def test_any_map_gives_a_place_within_its_highest_pixel(seed, height, width):
    values = np.random.RandomState(seed).normal(size=(2, 3, height, width)).round(1)
    found, scores, visible = find_maxima(torch.from_numpy(values), threshold=0.5)
    for n in range(2):
        for j in range(3):
            row, column = np.unravel_index(values[n, j].argmax(), (height, width))
            x, y = found[n, j].tolist()
            assert column <= x <= column + 1
            assert row <= y <= row + 1
            assert scores[n, j] == values[n, j].max()
            assert visible[n, j] == (values[n, j].max() >= 0.5)


def test_flat_and_empty_maps():
    found, scores, visible = find_maxima(torch.zeros(1, 2, 4, 4), threshold=0.1)
    assert torch.equal(found, torch.full((1, 2, 2), 0.5, dtype=torch.float64))
    assert not visible.any()
    assert not scores.any()


def test_refusals():
    with pytest.raises(UsageError, match=r"\[N, J, H, W\], got \[2, 4, 4\]"):
        find_maxima(torch.zeros(2, 4, 4), threshold=0.1)
    with pytest.raises(UsageError, match="heat maps must be"):
        find_maxima(torch.zeros(1, 2, 0, 4), threshold=0.1)
    with pytest.raises(UsageError, match="above 0, got 0"):
        gaussian_heat_maps(points((1, 1)), size=(4, 4), sigma=0)
