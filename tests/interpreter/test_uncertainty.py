"""Vote, divergence and score against scipy and numbers by hand."""

from math import log

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from datasetgan.errors import UsageError
from datasetgan.interpreter import score_uncertainty
from datasetgan.interpreter.uncertainty import combine_members


@given(st.integers(0, 10_000), st.integers(1, 10), st.integers(2, 6))
def test_vote_is_the_mode_of_scipy(seed: int, num_members: int, num_classes: int) -> None:
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(num_members, 50, num_classes, generator=random)
    votes = logits.argmax(dim=-1).numpy()
    answer = combine_members(logits)
    assert np.array_equal(answer.labels.numpy(), stats.mode(votes, axis=0).mode)


@given(st.integers(0, 10_000), st.integers(1, 10))
def test_divergence_is_that_of_scipy(seed: int, num_members: int) -> None:
    random = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(num_members, 20, 4, generator=random)
    p = logits.double().softmax(dim=-1).numpy()
    expected = stats.entropy(p.mean(axis=0), axis=-1) - stats.entropy(p, axis=-1).mean(axis=0)
    answer = combine_members(logits)
    assert np.allclose(answer.divergence.numpy(), expected, atol=1e-6)
    assert np.allclose(answer.mean_probability.numpy(), p.mean(axis=0), atol=1e-6)
    assert answer.divergence.min() >= 0


def test_ties_go_to_the_smallest_id() -> None:
    # Two votes for class 2, two for class 1, one for class 0.
    choices = torch.tensor([2, 1, 2, 1, 0])
    logits = torch.nn.functional.one_hot(choices, 3).float()[:, None, :]
    assert combine_members(logits).labels.tolist() == [1]


def test_extremes_by_hand() -> None:
    sure = torch.tensor([[[200.0, -200.0]], [[-200.0, 200.0]]])
    assert combine_members(sure).divergence.item() == pytest.approx(log(2))
    agreed = torch.tensor([[[200.0, -200.0]], [[200.0, -200.0]]])
    assert combine_members(agreed).divergence.item() == 0.0


def test_scores_by_hand() -> None:
    uncertainty = torch.stack([torch.arange(25.0), torch.zeros(25)]).view(2, 5, 5)
    # A tenth of 25 pixels, rounded down: 24 and 23.
    assert score_uncertainty(uncertainty).tolist() == [23.5, 0.0]
    assert score_uncertainty(uncertainty, rule="sum").tolist() == [300.0, 0.0]
    assert score_uncertainty(torch.tensor([[[0.25, 0.5]]])).tolist() == [0.5]


def test_unknown_rule() -> None:
    with pytest.raises(UsageError, match="Did you mean 'sum'"):
        score_uncertainty(torch.zeros(1, 2, 2), rule="summ")  # type: ignore[arg-type]
