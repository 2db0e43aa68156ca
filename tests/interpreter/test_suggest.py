"""The choice of images to paint, against plain loops over all possibilities."""

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from datasetgan.errors import UsageError
from datasetgan.features import FeaturePyramid
from datasetgan.interpreter import (
    ImageDescriptors,
    Interpreter,
    describe_images,
    describe_pyramids,
    suggest_images,
)
from datasetgan.interpreter.suggest import MAX_CANDIDATES
from tests.interpreter.conftest import TwinEnsemble, make_pyramid


def random_descriptors(count: int, *, seed: int, scored: str = "no") -> ImageDescriptors:
    random = torch.Generator().manual_seed(seed)
    vectors = torch.randn(count, 3, generator=random) * torch.tensor([1.0, 100.0, 0.01]) + 5
    scores = torch.rand(count, generator=random) if scored == "yes" else None
    return ImageDescriptors(vectors, scores)


def scaled(vectors: Tensor, *others: Tensor) -> list[np.ndarray]:  # type: ignore[type-arg]
    mean, deviation = vectors.double().mean(0), vectors.double().std(0, correction=0)
    return [((v.double() - mean) / deviation).numpy() for v in (vectors, *others)]


def cost(vectors, centres, weights) -> float:  # type: ignore[no-untyped-def]
    """The k-median cost, image by image."""
    total = 0.0
    for vector, weight in zip(vectors, weights, strict=True):
        total += weight * min(float(np.linalg.norm(vector - centre)) for centre in centres)
    return total


def assert_greedy(vectors, existing, weights, chosen: list[int]) -> None:  # type: ignore[no-untyped-def]
    """Compute the whole cost anew for every possible next image: none may save more.

    Two images that are each other's nearest save the same: either will do.
    """
    for step, image in enumerate(chosen):
        before = [*existing, *(vectors[i] for i in chosen[:step])]
        costs = {
            i: cost(vectors, [*before, vectors[i]], weights)
            for i in range(len(vectors))
            if i not in chosen[:step]
        }
        assert costs[image] <= min(costs.values()) + 1e-4


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 4),
    num_existing=st.integers(0, 3),
    scored=st.sampled_from(["no", "yes"]),
)
def test_it_is_the_greedy_k_median(seed: int, count: int, num_existing: int, scored: str) -> None:
    candidates = random_descriptors(9, seed=seed, scored=scored)
    existing = random_descriptors(3, seed=seed + 1).vectors[:num_existing]
    found = suggest_images(candidates, existing, count=count, drop_share=0)
    vectors, centres = scaled(candidates.vectors, existing)
    weights = np.ones(9) if candidates.scores is None else candidates.scores.numpy()
    chosen = [choice.index for choice in found]
    assert len(chosen) == count
    assert_greedy(vectors, centres, weights, chosen)
    # What each stands for is a count of nearest centres.
    owners = np.concatenate([vectors[chosen], centres])
    nearest = [int(np.linalg.norm(owners - vector, axis=1).argmin()) for vector in vectors]
    assert [choice.stands_for for choice in found] == [nearest.count(i) for i in range(count)]


def test_the_first_is_the_median_and_greed_stays_near_the_best_pair() -> None:
    candidates = random_descriptors(12, seed=3)
    (vectors,) = scaled(candidates.vectors)
    everyone = {i: cost(vectors, [vectors[i]], np.ones(12)) for i in range(12)}
    assert suggest_images(candidates, count=1)[0].index == min(everyone, key=everyone.__getitem__)
    best = min(
        cost(vectors, vectors[list(pair)], np.ones(12)) for pair in combinations(range(12), 2)
    )
    chosen = [choice.index for choice in suggest_images(candidates, count=2)]
    assert cost(vectors, vectors[chosen], np.ones(12)) < 1.3 * best


def test_clusters_get_one_image_each_and_an_outlier_none() -> None:
    random = torch.Generator().manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = centres.repeat_interleave(10, dim=0) + 0.1 * torch.randn(30, 2, generator=random)
    outlier = torch.tensor([[12.0, 12.0]])
    candidates = ImageDescriptors(torch.cat([points, outlier]))
    chosen = suggest_images(candidates, count=3)
    assert sorted(choice.index // 10 for choice in chosen) == [0, 1, 2]
    # What is painted already need not be painted again.
    new = suggest_images(candidates, points[[0, 10]], count=1)
    assert new[0].index // 10 == 2
    assert new[0].stands_for == 10 + 1


def test_the_most_uncertain_are_dropped_and_doubt_attracts() -> None:
    vectors = torch.arange(20.0)[:, None]
    scores = torch.full((20,), 0.01)
    scores[17:] = torch.tensor([1.0, 1.0, 9.0])
    candidates = ImageDescriptors(vectors, scores)
    (choice,) = suggest_images(candidates, count=1, drop_share=0.05)
    assert choice.index in (17, 18)
    assert choice.surpasses == pytest.approx(17 / 20)
    (choice,) = suggest_images(candidates, count=1, drop_share=0)
    assert choice.index == 19
    taken = suggest_images(candidates, count=19, drop_share=0.05)
    assert sorted(c.index for c in taken) == list(range(19))


def test_a_channel_that_is_the_same_everywhere_does_not_count() -> None:
    candidates = random_descriptors(15, seed=5)
    constant = torch.full((15, 1), 1e6)
    wider = ImageDescriptors(torch.cat([candidates.vectors, constant], dim=1))
    strange = torch.cat([candidates.vectors[:1], torch.tensor([[3.0]])], dim=1)
    assert suggest_images(wider, strange, count=4) == suggest_images(
        candidates, candidates.vectors[:1], count=4
    )


def test_identical_candidates_are_not_chosen_twice() -> None:
    chosen = suggest_images(ImageDescriptors(torch.ones(5, 2)), count=5)
    assert sorted(choice.index for choice in chosen) == list(range(5))


def test_descriptors_are_deviations_over_the_picture() -> None:
    features = make_pyramid(seed=1, batch=3)
    found = describe_images(features)
    wanted = []
    for level, tensor in features.items():
        inner = slice(level.margin, level.height - level.margin)
        wanted.append(tensor.numpy()[:, :, inner, inner].std(axis=(2, 3)))
    assert found.shape == (3, features.channels)
    assert np.allclose(found.numpy(), np.concatenate(wanted, axis=1), atol=1e-6)


def test_describing_scores_as_the_interpreter_does(ensemble: TwinEnsemble) -> None:
    interpreter: Interpreter = ensemble.interpreter
    pyramids = [make_pyramid(seed) for seed in range(3)]
    done: list[int] = []
    found = describe_pyramids(iter(pyramids), interpreter=interpreter, on_progress=done.append)
    assert done == [1, 2, 3]
    assert torch.equal(found.vectors, torch.cat([describe_images(p) for p in pyramids]))
    scores = torch.cat([interpreter.predict(p).uncertainty_score for p in pyramids])
    assert found.scores is not None
    assert torch.equal(found.scores, scores)
    assert describe_pyramids(pyramids).scores is None


def test_bad_input_is_said() -> None:
    candidates = random_descriptors(6, seed=0, scored="yes")
    with pytest.raises(UsageError, match="7 images are to be chosen among 6"):
        suggest_images(candidates, count=7)
    with pytest.raises(UsageError, match="2 of them dropped as broken"):
        suggest_images(candidates, count=5, drop_share=0.4)
    with pytest.raises(UsageError, match="at least 1"):
        suggest_images(candidates, count=0)
    with pytest.raises(UsageError, match="share to drop"):
        suggest_images(candidates, count=1, drop_share=1)
    with pytest.raises(UsageError, match=r"\[E, 3\].*\[2, 5\]"):
        suggest_images(candidates, torch.zeros(2, 5), count=1)
    with pytest.raises(UsageError, match="finite"):
        suggest_images(ImageDescriptors(torch.full((3, 1), float("nan"))), count=1)
    with pytest.raises(UsageError, match="finite"):
        suggest_images(ImageDescriptors(torch.rand(2, 1), torch.tensor([1.0, torch.inf])), count=1)
    with pytest.raises(UsageError, match=f"at most {MAX_CANDIDATES}"):
        suggest_images(ImageDescriptors(torch.rand(MAX_CANDIDATES + 1, 1)), count=1)
    with pytest.raises(UsageError, match="as many scores"):
        ImageDescriptors(torch.rand(3, 2), torch.rand(2))
    with pytest.raises(UsageError, match=r"\[N, C\]"):
        ImageDescriptors(torch.rand(3))
    with pytest.raises(UsageError, match="no image"):
        describe_pyramids([])
    broken = FeaturePyramid.from_tensors([torch.full((1, 2, 4, 4), float("inf"))])
    with pytest.raises(UsageError, match="NaN or infinite"):
        describe_pyramids([broken])
