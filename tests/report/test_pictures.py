"""Small pictures, compared with arrays computed by hand."""

from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from datasetgan.report.pictures import (
    MAX_SIDE,
    Picture,
    difference_picture,
    heat_colors,
    heat_picture,
    image_picture,
    label_picture,
    overlay_picture,
    shrink_image,
    shrink_label_map,
    shrink_uncertainty,
)


def pixels_of(picture: Picture) -> np.ndarray:
    image = Image.open(BytesIO(picture.data))
    assert image.size == (picture.width, picture.height)
    assert picture.mime == Image.MIME[image.format]
    return np.asarray(image.convert("RGB"))


@pytest.fixture
def image() -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, (20, 30, 3)).astype(np.uint8)


def test_small_images_are_kept_exactly(image):
    picture = image_picture(image)
    np.testing.assert_array_equal(pixels_of(picture), image)
    assert picture.rendering == "pixels"
    head, data = picture.uri.split(",")
    assert head == "data:image/png;base64"
    assert b64decode(data, validate=True) == picture.data


def test_larger_images_become_small_files():
    rows, columns = np.mgrid[:200, :150]
    image = np.stack([rows, columns, rows // 2], axis=2).astype(np.uint8)
    picture = image_picture(image)
    assert picture.mime == "image/jpeg"
    assert picture.rendering == "smooth"
    assert np.abs(pixels_of(picture).astype(int) - image).mean() < 2


def test_shrinking_keeps_the_shape_and_the_classes():
    label_map = np.random.RandomState(0).choice([0, 3, 255], (300, 1200)).astype(np.uint8)
    small = shrink_label_map(label_map)
    assert small.shape == (64, MAX_SIDE)
    assert set(np.unique(small)) == {0, 3, 255}
    grey = np.full((300, 1200, 3), 77, dtype=np.uint8)
    assert shrink_image(grey).shape == (64, MAX_SIDE, 3)
    assert (shrink_image(grey) == 77).all()
    assert shrink_uncertainty(np.full((300, 1200), 0.5, np.float32)).shape == (64, MAX_SIDE)


def test_shrinking_uncertainty_averages_and_leaves_small_maps_alone():
    uncertainty = np.random.RandomState(0).rand(512, 512).astype(np.float32)
    expected = uncertainty.reshape(256, 2, 256, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(shrink_uncertainty(uncertainty), expected, atol=1e-6)
    assert shrink_uncertainty(expected) is expected


def test_label_maps_show_the_colours_of_their_classes(taxonomy):
    label_map = np.array([[0, 1, 255], [2, 3, 4]], dtype=np.uint8)
    shown = pixels_of(label_picture(label_map, taxonomy))
    for row in range(2):
        for column in range(3):
            id_ = label_map[row, column]
            wanted = (255, 255, 255) if id_ == 255 else taxonomy.classes[id_].color
            assert tuple(shown[row, column]) == wanted


def test_overlays_tint_all_but_the_background(image, taxonomy):
    label_map = np.zeros((20, 30), dtype=np.uint8)
    label_map[:, 10:20] = 3
    label_map[:, 20:] = 255
    shown = pixels_of(overlay_picture(image, label_map, taxonomy)).astype(float)
    np.testing.assert_array_equal(shown[:, :10], image[:, :10])
    color = np.array(taxonomy.classes[3].color)
    np.testing.assert_allclose(shown[:, 10:20], 0.45 * image[:, 10:20] + 0.55 * color, atol=0.51)
    np.testing.assert_allclose(shown[:, 20:], 0.45 * image[:, 20:] + 0.55 * 255, atol=0.51)


@pytest.mark.parametrize("factor", [2, 3])
def test_overlays_of_label_maps_on_a_grid_of_their_own(image, taxonomy, factor):
    label_map = np.random.RandomState(0).randint(0, 5, (20, 30)).astype(np.uint8)
    finer = label_map.repeat(factor, 0).repeat(factor, 1)
    wanted = pixels_of(overlay_picture(image, label_map, taxonomy))
    np.testing.assert_array_equal(pixels_of(overlay_picture(image, finer, taxonomy)), wanted)
    coarse = label_map[::10, ::10]
    spread = coarse.repeat(10, 0).repeat(10, 1)
    np.testing.assert_array_equal(
        pixels_of(overlay_picture(image, coarse, taxonomy)),
        pixels_of(overlay_picture(image, spread, taxonomy)),
    )


def test_heat_maps_go_from_dark_to_light():
    uncertainty = np.array([[0.0, 0.25], [0.5, 9.0]], dtype=np.float32)
    shown = pixels_of(heat_picture(uncertainty, limit=0.5))
    table = heat_colors()
    np.testing.assert_array_equal(shown, table[[[0, 128], [255, 255]]])
    brightness = table.astype(float) @ [0.299, 0.587, 0.114]
    assert brightness[0] < 5
    assert brightness[255] > 230
    assert (np.diff(brightness) > -1).all()


def test_differences_mark_wrong_pixels_and_leave_unpainted_ones_white(image):
    truth = np.zeros((20, 30), dtype=np.uint8)
    truth[:5] = 255
    prediction = np.zeros_like(truth)
    prediction[:10, :15] = 2
    shown = pixels_of(difference_picture(image, truth, prediction))
    assert (shown[:5] == 255).all()
    assert (shown[5:10, :15] == (214, 0, 147)).all()
    right = shown[5:, 15:]
    assert (right[..., 0] == right[..., 1]).all()
    assert right.min() >= 105
    assert right.std() > 5  # the photo shows through
