"""Block means as further levels: what they are, and that fit and prediction read the same."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from datasetgan.checkpoints.native import WeightCard
from datasetgan.errors import UsageError
from datasetgan.features import FeatureLevel, FeaturePyramid
from datasetgan.features.cache import FeatureCache
from datasetgan.features.input_spec import InputSpec
from datasetgan.interpreter import Interpreter, sample_pixel_features
from datasetgan.interpreter.ensemble.classifier import StackedClassifiers
from datasetgan.interpreter.ensemble.ensemble import Ensemble
from datasetgan.interpreter.predict import load_interpreter
from datasetgan.interpreter.reference import predict_by_members
from datasetgan.taxonomy import ClassTaxonomy
from tests.interpreter.conftest import make_members, make_pyramid


def reads(features: FeaturePyramid) -> InputSpec:
    return InputSpec(features.levels, "blocks")


def block_means(features: FeaturePyramid) -> tuple[Tensor, ...]:
    return reads(features).tensors(features, source="x")[len(features.levels) :]


THREE = ClassTaxonomy.from_names(["background", "low", "high"])


def with_blocks(features: FeaturePyramid) -> FeaturePyramid:
    """The input of a classifier as a pyramid of its own, for what knows no surroundings."""
    return FeaturePyramid.from_tensors(list(reads(features).tensors(features, source="x")))


def test_only_the_fine_levels_have_block_means() -> None:
    features = make_pyramid()
    assert [level.name for level in reads(features).blocks] == ["b16", "b16b"]
    names = [level.name for level in reads(features).sources]
    assert names == ["b4", "b8", "b16", "b16b", "b16", "b16b"]
    assert reads(features).channels == (6, 5, 4, 3, 4, 3)
    assert reads(features).heights == (0.25, 0.5, 1, 1, 1, 1)
    assert InputSpec(features.levels).sources == features.levels
    small = FeaturePyramid.from_tensors([torch.randn(1, 2, 4, 4), torch.randn(1, 2, 8, 8)])
    assert block_means(small) == ()


def test_a_block_is_the_mean_of_its_pixels() -> None:
    features = make_pyramid(batch=2)
    for tensor, mean in zip(features.cropped[2:], block_means(features), strict=True):
        by_hand = tensor.unflatten(3, (8, 2)).unflatten(2, (8, 2)).mean(dim=(3, 5))
        torch.testing.assert_close(mean, by_hand)


@pytest.mark.parametrize(
    ("size", "grid"), [((64, 64), (8, 8)), ((48, 64), (8, 11)), ((64, 6), (8, 1))]
)
def test_blocks_are_nearly_square(size: tuple[int, int], grid: tuple[int, int]) -> None:
    features = FeaturePyramid.from_tensors([torch.ones(1, 3, *size)])
    (mean,) = block_means(features)
    assert mean.shape == (1, 3, *grid)
    torch.testing.assert_close(mean, torch.ones_like(mean))


def points() -> Tensor:
    return torch.cartesian_prod(torch.arange(0, 24, 5), torch.arange(0, 24, 7))


def test_a_cache_reads_them_behind_the_levels() -> None:
    features = make_pyramid(3)
    cache = FeatureCache()
    cache.add(features)
    expected = sample_pixel_features(with_blocks(features), points(), size=(24, 24))
    found = cache.read(0, points(), size=(24, 24), inputs=reads(features))
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-3)
    bare = cache.read(0, points(), size=(24, 24))
    assert torch.equal(bare, found[:, : features.channels])


@pytest.fixture
def aware() -> Interpreter:
    members = make_members(3, 18 + 7, 3)
    stacked = StackedClassifiers.from_members(members).eval().requires_grad_(False)
    return Interpreter(THREE, Ensemble(reads(make_pyramid()), stacked))


@pytest.mark.parametrize("size", [(16, 16), (32, 32), (10, 10)])
def test_a_prediction_equals_the_reference(aware: Interpreter, size: tuple[int, int]) -> None:
    features = make_pyramid(5, batch=2)
    fast = aware.predict(features, size=size, return_probabilities="mean")
    slow = predict_by_members(make_members(3, 25, 3), with_blocks(features), size=size)
    assert fast.probabilities is not None
    assert slow.probabilities is not None
    torch.testing.assert_close(fast.probabilities, slow.probabilities, atol=1e-5, rtol=0)
    assert (fast.label_map == slow.label_map).float().mean() > 0.999
    assert (fast.uncertainty - slow.uncertainty).abs().max() < 1e-5


def test_a_file_keeps_it(aware: Interpreter, tmp_path: Path) -> None:
    path = tmp_path / "aware.safetensors"
    aware.save(path, card=WeightCard(title="aware", licence="none"))
    loaded = load_interpreter(path)
    assert loaded.ensemble.inputs == reads(make_pyramid())
    assert loaded.digest == aware.digest
    features = make_pyramid(1)
    assert torch.equal(loaded.predict(features).uncertainty, aware.predict(features).uncertainty)


def test_bad_inputs() -> None:
    levels = make_pyramid().levels
    with pytest.raises(UsageError, match=r"unknown surroundings 'odd'.*'?none'?"):
        InputSpec(levels, "odd")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="cannot be heeded that are not read"):
        InputSpec(levels, "none", 2.0, "blocks")
    with pytest.raises(UsageError, match="at least one feature level"):
        InputSpec(())


def test_margins_do_not_count() -> None:
    level = FeatureLevel("wide", 2, 36, 36, 10)
    inner = torch.randn(1, 2, 16, 16)
    canvas = torch.full((1, 2, 36, 36), 1e6)
    canvas[..., 10:26, 10:26] = inner
    (mean,) = block_means(FeaturePyramid((level,), (canvas,)))
    (expected,) = block_means(FeaturePyramid.from_tensors([inner]))
    torch.testing.assert_close(mean, expected)
