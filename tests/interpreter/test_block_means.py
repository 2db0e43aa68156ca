"""Block means as further levels: what they are, and that fit and prediction read the same."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from datasetgan.features.block_means import (
    context_sources,
    context_tensors,
    input_levels,
    input_tensors,
)
from torch import Tensor

from datasetgan.checkpoints.native import WeightCard
from datasetgan.errors import UsageError
from datasetgan.features import FeatureLevel, FeaturePyramid
from datasetgan.features.cache import FeatureCache
from datasetgan.features.reading import cropped_tensors
from datasetgan.interpreter import Interpreter, sample_pixel_features
from datasetgan.interpreter.ensemble.classifier import StackedClassifiers
from datasetgan.interpreter.predict import load_interpreter
from datasetgan.interpreter.reference import predict_by_members
from datasetgan.taxonomy import ClassTaxonomy
from tests.interpreter.conftest import make_members, make_pyramid

THREE = ClassTaxonomy.from_names(["background", "low", "high"])


def with_blocks(features: FeaturePyramid) -> FeaturePyramid:
    """The input of a classifier as a pyramid of its own, for what knows no context."""
    return FeaturePyramid.from_tensors(list(input_tensors(features, "blocks")))


def test_only_the_fine_levels_have_a_context() -> None:
    features = make_pyramid()
    assert [level.name for level in context_sources(features.levels)] == ["b16", "b16b"]
    names = [level.name for level in input_levels(features.levels, "blocks")]
    assert names == ["b4", "b8", "b16", "b16b", "b16", "b16b"]
    assert input_levels(features.levels, "none") == features.levels
    small = FeaturePyramid.from_tensors([torch.randn(1, 2, 4, 4), torch.randn(1, 2, 8, 8)])
    assert context_tensors(small) == ()


def test_a_block_is_the_mean_of_its_pixels() -> None:
    features = make_pyramid(batch=2)
    for tensor, mean in zip(cropped_tensors(features)[2:], context_tensors(features), strict=True):
        by_hand = tensor.unflatten(3, (8, 2)).unflatten(2, (8, 2)).mean(dim=(3, 5))
        torch.testing.assert_close(mean, by_hand)


@pytest.mark.parametrize(
    ("size", "grid"), [((64, 64), (8, 8)), ((48, 64), (8, 11)), ((64, 6), (8, 1))]
)
def test_blocks_are_nearly_square(size: tuple[int, int], grid: tuple[int, int]) -> None:
    features = FeaturePyramid.from_tensors([torch.ones(1, 3, *size)])
    (mean,) = context_tensors(features)
    assert mean.shape == (1, 3, *grid)
    torch.testing.assert_close(mean, torch.ones_like(mean))


def points() -> Tensor:
    return torch.cartesian_prod(torch.arange(0, 24, 5), torch.arange(0, 24, 7))


def test_a_cache_reads_them_behind_the_levels() -> None:
    features = make_pyramid(3)
    cache = FeatureCache()
    cache.add(features)
    expected = sample_pixel_features(with_blocks(features), points(), size=(24, 24))
    found = cache.read(0, points(), size=(24, 24), context="blocks")
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-3)
    bare = cache.read(0, points(), size=(24, 24))
    assert torch.equal(bare, found[:, : features.channels])


@pytest.fixture
def aware() -> Interpreter:
    members = make_members(3, 18 + 7, 3)
    stacked = StackedClassifiers.from_members(members).eval().requires_grad_(False)
    return Interpreter(THREE, make_pyramid().levels, stacked, context="blocks")


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
    assert loaded.context == "blocks"
    assert loaded.digest == aware.digest
    features = make_pyramid(1)
    assert torch.equal(loaded.predict(features).uncertainty, aware.predict(features).uncertainty)


def test_an_unknown_context_in_a_file(aware: Interpreter, tmp_path: Path) -> None:
    odd = replace(aware, context="odd")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"unknown context 'odd'.*'?none'?"):
        odd.save(tmp_path / "odd.safetensors", card=WeightCard(title="odd", licence="none"))


def test_margins_do_not_count() -> None:
    level = FeatureLevel("wide", 2, 36, 36, 10)
    inner = torch.randn(1, 2, 16, 16)
    canvas = torch.full((1, 2, 36, 36), 1e6)
    canvas[..., 10:26, 10:26] = inner
    (mean,) = context_tensors(FeaturePyramid((level,), (canvas,)))
    (expected,) = context_tensors(FeaturePyramid.from_tensors([inner]))
    torch.testing.assert_close(mean, expected)
