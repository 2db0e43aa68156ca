"""KID and FID against their definitions written out, SciPy and closed forms."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from torch import Tensor

from datasetgan.errors import UsageError
from datasetgan.gan_training.quality import (
    frechet_distance,
    kernel_inception_distance,
    scores,
)
from datasetgan.runtime import Stream, random_state


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def brute_force_mmd(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    def kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        return float((sum(p * q for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3)

    n = len(x)
    within = sum(kernel(z[i], z[j]) for z in (x, y) for i in range(n) for j in range(n) if i != j)
    between = sum(kernel(a, b) for a in x for b in y)
    return within / (n * (n - 1)) - 2 * between / n**2


def test_kid_of_whole_sets_is_the_estimator_written_out() -> None:
    x, y = normal(9, 5), 1.5 * normal(9, 5, seed=1) + 0.3
    kid = kernel_inception_distance(x, y, num_subsets=3)
    np.testing.assert_allclose(kid.mean, brute_force_mmd(x.numpy(), y.numpy()), rtol=1e-12)
    np.testing.assert_allclose(kid.deviation, 0, atol=1e-12)


def test_kid_averages_over_subsets_that_the_seed_draws() -> None:
    x, y = normal(30, 4), normal(50, 4, seed=1) + 0.5
    kid = kernel_inception_distance(x, y, subset_size=10, num_subsets=4, seed=3)
    random = random_state(3, Stream.KID_SUBSETS)
    values = []
    for _ in range(4):
        rows = random.permutation(30)[:10], random.permutation(50)[:10]
        values.append(brute_force_mmd(x.numpy()[rows[0]], y.numpy()[rows[1]]))
    np.testing.assert_allclose([kid.mean, kid.deviation], [np.mean(values), np.std(values)])
    assert kid == kernel_inception_distance(x, y, subset_size=10, num_subsets=4, seed=3)
    assert kid != kernel_inception_distance(x, y, subset_size=10, num_subsets=4, seed=4)


def test_kid_is_unbiased_and_sees_a_shift() -> None:
    same = [
        kernel_inception_distance(
            normal(20, 3, seed=s), normal(20, 3, seed=500 + s), num_subsets=1
        ).mean
        for s in range(300)
    ]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(300)
    assert kernel_inception_distance(normal(200, 3), normal(200, 3, seed=1) + 0.5).mean > 0.5


@pytest.mark.parametrize(("rows", "other"), [(60, 80), (7, 60), (7, 8)])
def test_fid_agrees_with_scipys_matrix_root(
    rows: int, other: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scores, "_BLOCK", 11)
    mixing = normal(12, 12, seed=9)
    x, y = normal(rows, 12), normal(other, 12, seed=1) @ mixing + 0.5
    a, b = np.cov(x.numpy(), rowvar=False), np.cov(y.numpy(), rowvar=False)
    shift = ((x.mean(0) - y.mean(0)) ** 2).sum().item()
    # A little on the diagonal: scipy's general root fails for fewer rows than columns.
    jitter = 1e-10 * np.eye(12)
    root = sqrtm((a + jitter) @ (b + jitter))
    expected = shift + np.trace(a) + np.trace(b) - 2 * np.trace(root.real)
    np.testing.assert_allclose(frechet_distance(x, y), expected, rtol=1e-4)


def test_fid_of_axis_aligned_gaussians_in_closed_form() -> None:
    # Rows +-d e_i have mean 0 and covariance diag(2 d_i^2 / (N - 1)).
    def cross(deviations: list[float]) -> Tensor:
        axes = torch.diag(torch.tensor(deviations, dtype=torch.float64))
        return torch.cat([axes, -axes]) * np.sqrt((2 * len(deviations) - 1) / 2)

    shift = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    found = frechet_distance(cross([1.0, 2.0, 3.0]), cross([1.5, 2.0, 1.0]) + shift)
    np.testing.assert_allclose(found, 5.25 + 0.25 + 0 + 4, rtol=1e-12)
    x = normal(50, 6)
    assert 0 <= frechet_distance(x, x) < 1e-9


@pytest.mark.parametrize(
    ("real", "fake"), [((5, 3), (5, 4)), ((1, 3), (5, 3)), ((5,), (5,)), ((5, 3), (0, 3))]
)
def test_features_that_do_not_fit(real: tuple[int, ...], fake: tuple[int, ...]) -> None:
    for distance in (kernel_inception_distance, frechet_distance):
        with pytest.raises(UsageError, match=r"features \[N, D\] and \[M, D\]"):
            distance(torch.zeros(real), torch.zeros(fake))


@pytest.mark.parametrize(("size", "subsets"), [(1, 5), (10, 0)])
def test_kid_refuses_subsets_that_are_none(size: int, subsets: int) -> None:
    with pytest.raises(UsageError, match="at least 2 rows"):
        kernel_inception_distance(normal(5, 3), normal(5, 3), subset_size=size, num_subsets=subsets)
