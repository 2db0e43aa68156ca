"""Pixel features against the upsampled stack, indexed."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from datasetgan.errors import UsageError
from datasetgan.features import FeatureLevel, FeaturePyramid
from datasetgan.features.input_spec import check_levels
from datasetgan.features.reading import bilinear_taps
from datasetgan.generators import StyleGAN2, sample_latents
from datasetgan.interpreter import sample_pixel_features
from datasetgan.interpreter.reference import hypercolumns
from tests.interpreter.conftest import make_pyramid

SIDES = st.integers(1, 24)


def all_points(size: tuple[int, int]) -> torch.Tensor:
    return torch.cartesian_prod(torch.arange(size[0]), torch.arange(size[1]))


@given(SIDES, SIDES)
def test_taps_are_those_of_interpolate(length: int, size: int) -> None:
    line = torch.randn(1, 1, length, 1, dtype=torch.float64)
    expected = F.interpolate(line, size=(size, 1), mode="bilinear", align_corners=False)
    lower, upper, mix = bilinear_taps(length, size)
    line = line.flatten()
    assert torch.allclose(line[lower] * (1 - mix) + line[upper] * mix, expected.flatten())
    assert bool(((mix >= 0) & (mix < 1)).all())


@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES))
def test_pixels_equal_the_indexed_stack(
    coarse: tuple[int, int], fine: tuple[int, int], size: tuple[int, int]
) -> None:
    random = torch.Generator().manual_seed(0)
    tensors = [torch.randn(1, 3, *grid, generator=random) for grid in (coarse, fine)]
    features = FeaturePyramid.from_tensors(tensors)
    points = all_points(size)
    stack = hypercolumns(features, size=size)[0]  # [C, H, W]
    expected = stack[:, points[:, 0], points[:, 1]].T
    sampled = sample_pixel_features(features, points, size=size)
    assert torch.allclose(sampled, expected, atol=1e-5)


@pytest.mark.parametrize("size", [(16, 16), (8, 8), (64, 48), (5, 7)])
def test_margins_are_cropped(size: tuple[int, int]) -> None:
    features = make_pyramid()
    whole = features.tensors[2]
    cropped = FeaturePyramid.from_tensors(
        [*features.tensors[:2], whole[:, :, 2:-2, 2:-2], features.tensors[3]]
    )
    points = all_points(size)
    sampled = sample_pixel_features(features, points, size=size)
    expected = hypercolumns(cropped, size=size)[0][:, points[:, 0], points[:, 1]].T
    assert torch.allclose(sampled, expected, atol=1e-5)
    assert features.picture_size == (16, 16)


def test_a_generator_reads_at_its_own_pixels(tiny_generator: StyleGAN2) -> None:
    latents = sample_latents(tiny_generator, [0])
    features = tiny_generator.synthesize(latents.ws, noise=latents.noise).features
    points = torch.tensor([[0, 0], [31, 31], [7, 20]])
    sampled = sample_pixel_features(features, points, size=(32, 32))
    finest = features.tensors[-1][0, :, 7, 20]
    assert torch.equal(sampled[2, -len(finest) :], finest)
    assert sampled.shape == (3, features.channels)


def test_low_precision_is_widened() -> None:
    features = FeaturePyramid.from_tensors([torch.randn(1, 3, 4, 4).bfloat16()])
    sampled = sample_pixel_features(features, all_points((8, 8)), size=(8, 8))
    expected = F.interpolate(features.tensors[0].float(), size=(8, 8), mode="bilinear")
    assert sampled.dtype == torch.float32
    assert torch.allclose(sampled.T.reshape(1, 3, 8, 8), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (torch.tensor([[0, 16]]), "within 16 rows and 16 columns"),
        (torch.tensor([[-1, 0]]), "within 16 rows and 16 columns"),
        (torch.tensor([[0.5, 0.5]]), r"must be \[P, 2\] integers"),
        (torch.tensor([1, 2]), r"must be \[P, 2\] integers"),
    ],
)
def test_bad_points(points: torch.Tensor, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sample_pixel_features(make_pyramid(), points, size=(16, 16))


def test_one_image_at_a_time() -> None:
    with pytest.raises(UsageError, match="one image at a time, got 2"):
        sample_pixel_features(make_pyramid(batch=2), torch.tensor([[0, 0]]), size=(16, 16))


def test_different_levels_are_all_listed() -> None:
    fitted = (FeatureLevel("b4", 8, 4, 4), FeatureLevel("b8", 8, 8, 8))
    check_levels((FeatureLevel("b4", 8, 9, 9), fitted[1]), fitted, source="these features")
    with pytest.raises(UsageError) as caught:
        check_levels((FeatureLevel("b4", 6, 4, 4), fitted[1]), fitted, source="these features")
    assert "these features do not fit" in str(caught.value)
    assert "missing b4 (8 channels); unexpected b4 (6 channels)" in str(caught.value)
    with pytest.raises(UsageError, match="another order"):
        check_levels(fitted[::-1], fitted, source="these features")
    many = tuple(FeatureLevel(f"x{i}", 1, 1, 1) for i in range(20))
    with pytest.raises(UsageError, match="and 14 more"):
        check_levels(many, fitted, source="these features")
