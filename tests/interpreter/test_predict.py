"""The fast path against the reference, the goldens, and its promises."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datasetgan.errors import UsageError
from datasetgan.features import FeaturePyramid
from datasetgan.features.input_spec import InputSpec
from datasetgan.interpreter import Interpreter, Prediction, StackedClassifiers
from datasetgan.interpreter.ensemble.ensemble import Ensemble
from datasetgan.interpreter.labelling.projection import project_tile, tiles
from datasetgan.interpreter.reference import hypercolumns, predict_by_members
from datasetgan.runtime import Runtime
from datasetgan.taxonomy import ClassTaxonomy
from tests.interpreter.conftest import Golden, TwinEnsemble, make_members, make_pyramid

SIDES = st.integers(1, 20)


def assert_same(
    fast: Prediction, reference: Prediction, members_probabilities: torch.Tensor
) -> None:
    """Labels exact but where two classes of one member tie within 1e-6."""
    top = members_probabilities.topk(2, dim=2).values  # [M, N, 2, H, W]
    tie = ((top[:, :, 0] - top[:, :, 1]) < 1e-6).any(dim=0)  # [N, H, W]
    assert tie.float().mean() < 0.01
    assert torch.equal(fast.label_map[~tie], reference.label_map[~tie])
    assert (fast.uncertainty - reference.uncertainty).abs().max() < 1e-5
    assert torch.allclose(fast.uncertainty_score, reference.uncertainty_score, atol=1e-5)
    assert fast.probabilities is not None
    assert reference.probabilities is not None
    assert (fast.probabilities - reference.probabilities).abs().max() < 1e-5


@torch.no_grad()
def probabilities_of(
    ensemble: TwinEnsemble, features: FeaturePyramid, size: tuple[int, int]
) -> torch.Tensor:
    stack = hypercolumns(features, size=size)
    n = stack.shape[0]
    x = stack.permute(0, 2, 3, 1).flatten(0, 2)
    p = torch.stack([member(x).softmax(dim=1) for member in ensemble.members])
    return p.view(len(p), n, *size, -1).permute(0, 1, 4, 2, 3)


@pytest.mark.parametrize("size", [(16, 16), (8, 8), (4, 4), (70, 130), (5, 7), (1, 1), (100, 3)])
def test_fast_equals_reference(ensemble: TwinEnsemble, size: tuple[int, int]) -> None:
    features = make_pyramid(seed=5, batch=2)
    fast = ensemble.interpreter.predict(features, size=size, return_probabilities="mean")
    reference = predict_by_members(ensemble.members, features, size=size)
    assert_same(fast, reference, probabilities_of(ensemble, features, size))
    assert len(fast.label_map.unique()) > 1 or size == (1, 1)
    assert fast.label_map.dtype == torch.int64
    assert fast.uncertainty.dtype == torch.float32


def test_golden_by_the_fast_path(golden: Golden) -> None:
    taxonomy = ClassTaxonomy.from_names([f"c{i}" for i in range(golden.mean_probability.shape[0])])
    classifiers = StackedClassifiers.from_members(golden.members).eval()
    interpreter = Interpreter(taxonomy, Ensemble(InputSpec(golden.features.levels), classifiers))
    assert_golden(interpreter.predict(golden.features, return_probabilities="mean"), golden)


def test_golden_by_the_reference(golden: Golden) -> None:
    assert_golden(predict_by_members(golden.members, golden.features, size=golden.size), golden)


def assert_golden(prediction: Prediction, golden: Golden) -> None:
    assert prediction.probabilities is not None
    assert (prediction.probabilities[0] - golden.mean_probability).abs().max() < 1e-5
    assert (prediction.uncertainty[0] - golden.js_divergence).abs().max() < 1e-5
    assert prediction.uncertainty_score.item() == pytest.approx(golden.image_uncertainty, abs=1e-5)
    differs = prediction.label_map[0] != golden.majority_vote
    if differs.any():
        x = hypercolumns(golden.features, size=golden.size)[0][:, differs].T
        with torch.no_grad():
            p = torch.stack([member(x).softmax(dim=1) for member in golden.members])
        top = p.topk(2, dim=2).values
        assert bool(((top[..., 0] - top[..., 1]) < 1e-6).any(dim=0).all())


@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), st.integers(3, 9))
@settings(deadline=None, max_examples=40)
def test_tiles_cover_what_one_product_gives(
    grid: tuple[int, int], size: tuple[int, int], side: int
) -> None:
    random = torch.Generator().manual_seed(0)
    tensors = [torch.randn(1, 3, *sides, generator=random) for sides in ((4, 4), grid)]
    weight = torch.randn(7, 6, generator=random)
    stack = hypercolumns(FeaturePyramid.from_tensors(tensors), size=size)[0]
    expected = torch.einsum("hc,cyx->yxh", weight, stack)
    levels = [tensor[0] for tensor in tensors]
    result = torch.full((*size, 7), torch.nan)
    for tile in tiles(size, side=side):
        area = result[tile.rows, tile.columns]
        assert area.isnan().all()  # no pixel twice
        area.copy_(project_tile(levels, weight.split([3, 3], dim=1), size=size, tile=tile))
    assert torch.allclose(result, expected, atol=1e-4)


def test_the_batch_does_not_matter(ensemble: TwinEnsemble) -> None:
    features = make_pyramid(seed=5, batch=3)
    together = ensemble.interpreter.predict(features)
    for n in range(3):
        own = FeaturePyramid(features.levels, tuple(t[n : n + 1] for t in features.tensors))
        alone = ensemble.interpreter.predict(own)
        assert torch.equal(alone.label_map[0], together.label_map[n])
        assert torch.equal(alone.uncertainty[0], together.uncertainty[n])
        assert torch.equal(alone.uncertainty_score[0], together.uncertainty_score[n])


def test_size_is_the_finest_level_without_its_margin(ensemble: TwinEnsemble) -> None:
    prediction = ensemble.interpreter.predict(make_pyramid())
    assert prediction.label_map.shape == (1, 16, 16)
    assert prediction.probabilities is None


def test_score_rules(ensemble: TwinEnsemble) -> None:
    prediction = ensemble.interpreter.predict(make_pyramid(), score_rule="sum")
    total = prediction.uncertainty.double().sum()
    assert prediction.uncertainty_score.item() == pytest.approx(total.item(), rel=1e-5)


def test_features_are_not_changed(ensemble: TwinEnsemble) -> None:
    features = make_pyramid()
    before = [tensor.clone() for tensor in features.tensors]
    ensemble.interpreter.predict(features)
    pairs = zip(before, features.tensors, strict=True)
    assert all(torch.equal(old, new) for old, new in pairs)


def test_low_precision_features_are_widened(ensemble: TwinEnsemble) -> None:
    features = make_pyramid()
    low = FeaturePyramid(features.levels, tuple(t.bfloat16() for t in features.tensors))
    wide = FeaturePyramid(features.levels, tuple(t.float() for t in low.tensors))
    runtime = Runtime(precision="bfloat16")
    first = ensemble.interpreter.place(runtime).predict(low)
    assert torch.equal(first.uncertainty, ensemble.interpreter.predict(wide).uncertainty)


def test_memory_does_not_grow_with_the_picture(
    ensemble: TwinEnsemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = 0
    original = project_tile

    def watched(*args: object, **kwargs: object) -> torch.Tensor:
        nonlocal largest
        hidden = original(*args, **kwargs)  # type: ignore[arg-type]
        largest = max(largest, hidden.numel())
        return hidden

    monkeypatch.setattr("datasetgan.interpreter.labelling.plain.project_tile", watched)
    ensemble.interpreter.predict(make_pyramid(), size=(300, 200), engine="plain")
    assert largest == 64 * 64 * 4 * 128


def test_features_of_another_generator(ensemble: TwinEnsemble) -> None:
    other = FeaturePyramid.from_tensors([torch.zeros(1, 18, 4, 4)])
    with pytest.raises(UsageError, match=r"missing b4 \(6 channels\).*unexpected level0 \(18"):
        ensemble.interpreter.predict(other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": (0, 5)}, "at least 1 x 1"),
        ({"return_probabilities": "all"}, "unknown probability output 'all'"),
        ({"score_rule": "max"}, "unknown score rule 'max'"),
    ],
)
def test_bad_choices(ensemble: TwinEnsemble, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ensemble.interpreter.predict(make_pyramid(), **arguments)  # type: ignore[arg-type]


def test_one_member_never_disagrees(taxonomy: ClassTaxonomy) -> None:
    stacked = StackedClassifiers.from_members(make_members(1, 18, 5)).eval()
    interpreter = Interpreter(taxonomy, Ensemble(InputSpec(make_pyramid().levels), stacked))
    assert interpreter.predict(make_pyramid()).uncertainty.max() < 1e-6
