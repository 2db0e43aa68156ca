"""Distances between two sets of features: KID and FID, in float64."""

from dataclasses import dataclass

import torch
from torch import Tensor

from datasetgan.errors import UsageError
from datasetgan.runtime import Stream, random_state

__all__ = ["Kid", "frechet_distance", "kernel_inception_distance"]

_BLOCK = 4096


@dataclass(frozen=True)
class Kid:
    """A kernel distance.

    Attributes:
        mean: over the subsets; near 0, also below it, for two sets of one distribution.
        deviation: standard deviation over the subsets, not of their mean.
    """

    mean: float
    deviation: float


def kernel_inception_distance(
    real: Tensor, fake: Tensor, *, subset_size: int = 1000, num_subsets: int = 50, seed: int = 0
) -> Kid:
    """Squared maximum mean discrepancy, unbiased, averaged over random subsets.

    The kernel is (x . y / D + 1)^3 (Binkowski et al. 2018, sec. 4). The name comes from
    Inception's features; here any will do.

    Args:
        real: [N, D].
        fake: [M, D].
        subset_size: rows of a subset, drawn without replacement; N or M if that is smaller.
        num_subsets: pairs of subsets.
        seed: of the subsets.

    Raises:
        UsageError: shapes that do not fit, sizes that are too small, or a negative seed.
    """
    _check(real, fake)
    if subset_size < 2 or num_subsets < 1:
        raise UsageError(
            "KID needs subsets of at least 2 rows and at least 1 of them, "
            f"got subset_size {subset_size} and num_subsets {num_subsets}."
        )
    size = min(subset_size, len(real), len(fake))
    random = random_state(seed, Stream.KID_SUBSETS)
    values = []
    for _ in range(num_subsets):
        x, y = (
            features[torch.from_numpy(random.permutation(len(features))[:size])].double()
            for features in (real, fake)
        )
        values.append(_squared_discrepancy(x, y))
    found = torch.stack(values)
    return Kid(found.mean().item(), found.std(unbiased=False).item())


def _squared_discrepancy(x: Tensor, y: Tensor) -> Tensor:
    """Return the unbiased estimate of MMD^2 (Gretton et al. 2012, eq. 4) of two [S, D]."""
    size = len(x)
    within = sum(_kernel(z, z).sum() - _kernel_of_itself(z).sum() for z in (x, y))
    return within / (size * (size - 1)) - 2 * _kernel(x, y).mean()


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _kernel_of_itself(x: Tensor) -> Tensor:
    return (x.square().mean(dim=1) + 1) ** 3


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """Distance of two Gaussians with the sets' means and covariances (Heusel et al. 2017).

    |m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)), the covariances with N - 1. The trace of the
    root is the sum of the roots of the eigenvalues of C^(1/2) C' C^(1/2), which is
    symmetric, so no general matrix root is needed and rank deficiency does no harm.

    Args:
        real: [N, D].
        fake: [M, D].

    Returns:
        0 or more. It depends on N and M: compare at equal numbers only.

    Raises:
        UsageError: shapes that do not fit, or fewer than 2 rows.
    """
    _check(real, fake)
    mean, covariance = _moments(real)
    other_mean, other_covariance = _moments(fake)
    values, vectors = torch.linalg.eigh(covariance)
    # Rounding leaves small negative eigenvalues where there are fewer images than features.
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    product = torch.linalg.eigvalsh(root @ other_covariance @ root)
    trace = covariance.trace() + other_covariance.trace() - 2 * product.clamp(min=0).sqrt().sum()
    distance = (mean - other_mean).square().sum() + trace
    return max(0.0, float(distance))


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean [D] and covariance [D, D], float64, reading a block of rows at a time."""
    blocks = torch.split(features, _BLOCK)
    mean = torch.stack([b.double().sum(dim=0) for b in blocks]).sum(dim=0) / len(features)
    covariance = torch.zeros(len(mean), len(mean), dtype=torch.float64)
    for block in blocks:
        centred = block.double() - mean
        covariance += centred.T @ centred
    return mean, covariance / (len(features) - 1)


def _check(real: Tensor, fake: Tensor) -> None:
    fits = real.ndim == fake.ndim == 2 and real.shape[1] == fake.shape[1]
    if not fits or min(len(real), len(fake)) < 2:
        raise UsageError(
            "a distance needs features [N, D] and [M, D] with N and M of at least 2, "
            f"got {list(real.shape)} and {list(fake.shape)}."
        )
