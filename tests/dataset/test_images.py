"""Pictures and uncertainty maps, held against a PNG decoder by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from datasetgan.dataset import (
    encode_image_png,
    encode_uncertainty_png,
    read_image_png,
    read_uncertainty_png,
)
from datasetgan.errors import DatasetError, UsageError
from tests.dataset.png_by_hand import decode

sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(sizes.flatmap(lambda size: hnp.arrays(np.uint8, (*size, 3))))
@settings(deadline=None)
def test_images_are_stored_exactly(image):
    png = decode(encode_image_png(image))
    assert (png.depth, png.color_type) == (8, 2)
    np.testing.assert_array_equal(png.pixels, image)


@given(sizes.flatmap(lambda s: hnp.arrays(np.float32, s, elements=st.floats(0, 5.5, width=32))))
@settings(deadline=None)
def test_uncertainty_is_16_bit_grey_in_tenths_of_a_millinat(uncertainty):
    png = decode(encode_uncertainty_png(uncertainty))
    assert (png.depth, png.color_type) == (16, 0)
    np.testing.assert_allclose(png.pixels[..., 0] * 1e-4, uncertainty, atol=0.51e-4, rtol=0)


def test_uncertainty_reads_back(tmp_path):
    uncertainty = np.array([[0, 0.12345, 5.5412, 6.5535]], dtype=np.float32)
    (tmp_path / "u.png").write_bytes(encode_uncertainty_png(uncertainty))
    read = read_uncertainty_png(tmp_path / "u.png", size=(1, 4))
    np.testing.assert_allclose(read, uncertainty, atol=0.51e-4, rtol=0)
    with pytest.raises(DatasetError, match="of mode I;16, the manifest says"):
        read_image_png(tmp_path / "u.png", size=(1, 4))


@pytest.mark.parametrize("value", [-0.001, 6.6, np.nan, np.inf])
def test_impossible_uncertainties_are_refused(value):
    with pytest.raises(UsageError, match=r"0 to 6\.55 nats"):
        encode_uncertainty_png(np.array([[0.1, value]]))


def test_arrays_of_other_kinds_are_refused():
    with pytest.raises(UsageError, match=r"\[H, W, 3\] uint8"):
        encode_image_png(np.zeros((2, 2, 4), np.uint8))
    with pytest.raises(UsageError, match=r"\[H, W, 3\] uint8"):
        encode_image_png(np.zeros((2, 2, 3), np.float32))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"\[H, W\]"):
        encode_uncertainty_png(np.zeros((1, 2, 2)))
