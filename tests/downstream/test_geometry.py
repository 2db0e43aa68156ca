import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datasetgan.dataset import Keypoints
from datasetgan.downstream.augment import (
    NO_AUGMENTATION,
    AugmentationSettings,
    augment,
)
from datasetgan.downstream.geometry import Affine, Geometry
from datasetgan.keypoints.heat_maps import gaussian_heat_maps

PLACE = st.floats(12, 28)


def centre(picture):
    """The centre of mass of what is brighter than the ground, pixel centres at .5."""
    mass = picture.double().clamp(min=0).numpy()
    rows, columns = np.mgrid[: mass.shape[0], : mass.shape[1]]
    return np.array([((columns + 0.5) * mass).sum(), ((rows + 0.5) * mass).sum()]) / mass.sum()


def one(x, y):
    return Keypoints(np.array([[x, y]], dtype=np.float64), np.array([True]))


@settings(deadline=None, max_examples=30)
@given(
    PLACE,
    PLACE,
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
    st.floats(-180, 180),
    st.tuples(st.integers(-4, 4), st.integers(-4, 4)),
    st.floats(0.8, 1.2),
)
def test_points_move_with_the_picture(x, y, turns, degrees, shift, scale):
    """A bump is drawn, the picture changed, and its centre of mass compared."""
    bump = gaussian_heat_maps(one(x, y), size=(40, 40), sigma=1.5)[0]
    picture = (bump * 131 + 124).round().to(torch.uint8).expand(3, -1, -1)  # on the fill's grey
    for affine in (None, Affine(degrees, shift, scale)):
        geometry = Geometry(*turns, affine)
        moved = geometry.keypoints(one(x, y), size=(40, 40))
        # A turned corner may leave the picture, and half a bump has another centre.
        if (np.abs(moved.points - 20) > 14).any():
            continue
        seen = centre(geometry.image(picture)[0].float() - 124)
        assert np.abs(moved.points[0] - seen).max() < 0.15
        assert moved.visible.all()


@pytest.mark.parametrize("size", [(20, 30), (30, 20)])
def test_oblong_pictures(size):
    keypoints = one(11, 9)
    picture = (gaussian_heat_maps(keypoints, size=size, sigma=1)[0] * 255).to(torch.uint8)
    geometry = Geometry(True, False, False, Affine(0.0, (2, -1), 1.0))
    found = geometry.keypoints(keypoints, size=size).points[0]
    np.testing.assert_allclose(found, [size[1] - 11 + 2, 8])
    # The fill that a shift uncovers is no part of the bump.
    seen = centre((geometry.image(picture.expand(3, -1, -1))[0].float() - 124).clamp(min=1) - 1)
    assert np.abs(found - seen).max() < 0.5


def test_what_leaves_the_picture_is_not_visible():
    points = Keypoints(np.array([[1.0, 5], [9, 5], [5, 5]]), np.array([True, True, False]))
    moved = Geometry(False, False, False, Affine(0.0, (3, 0), 1.0)).keypoints(points, size=(10, 10))
    assert moved.visible.tolist() == [True, False, False]
    np.testing.assert_allclose(moved.points, points.points + np.array([3, 0]))


def test_the_same_seed_changes_labels_and_points_alike():
    random = np.random.RandomState(0)
    image = torch.from_numpy(random.randint(0, 256, (3, 32, 32)).astype(np.uint8))
    for seed in range(40):
        row, column = random.randint(8, 24, 2)
        label_map = torch.zeros(32, 32, dtype=torch.int64)
        label_map[row - 1 : row + 2, column - 1 : column + 2] = 1
        with_labels, labels = augment(image, label_map, settings=AugmentationSettings(), seed=seed)
        with_points, points = augment(
            image, one(column + 0.5, row + 0.5), settings=AugmentationSettings(), seed=seed
        )
        assert torch.equal(with_labels, with_points)
        where = centre((labels == 1).float())
        assert np.abs(points.points[0] - where).max() < 0.75


def test_nothing_changes_without_augmentation():
    image = torch.randint(0, 256, (3, 8, 12), dtype=torch.uint8)
    state = torch.random.get_rng_state()
    found, points = augment(image, one(3.25, 7), settings=NO_AUGMENTATION, seed=3)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(found, image.float() / 255)
    np.testing.assert_array_equal(points.points, [[3.25, 7]])
