"""The nearest photograph: found under every symmetry, and copies told from fresh pictures."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from datasetgan.errors import UsageError
from datasetgan.gan_training.quality import (
    FeatureNetwork,
    RealFeatures,
    aligned_photographs,
    build_feature_network,
    nearest_photographs,
    neighbours,
    read_real_features,
)
from datasetgan.runtime import Runtime

PIXELS = FeatureNetwork(nn.Flatten(), "pixels", "the pixels", torch.device("cpu"))
"""Sees every turn, so that the search has to try them."""


def photographs(count: int, *, seed: int = 0, size: int = 16) -> NDArray[np.uint8]:
    random = np.random.RandomState(seed)
    coarse = random.randint(20, 236, (count, 4, 4, 3))
    return coarse.repeat(size // 4, axis=1).repeat(size // 4, axis=2).astype(np.uint8)


def every_turn(picture: NDArray[np.uint8], symmetry: str) -> list[NDArray[np.uint8]]:
    transposed = picture.transpose(1, 0, 2)
    return {
        "none": [picture],
        "flip": [picture, picture[:, ::-1]],
        "dihedral": [p[::a, ::b] for p in (picture, transposed) for a in (1, -1) for b in (1, -1)],
    }[symmetry]


@pytest.mark.parametrize("symmetry", ["none", "flip", "dihedral"])
def test_neighbours_by_brute_force(symmetry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_BLOCK", 7)
    images, samples = photographs(30, size=8), photographs(9, seed=1, size=8)
    real = read_real_features(images, network=PIXELS)
    found = nearest_photographs(samples, images, real=real, symmetry=symmetry, batch=4)  # type: ignore[arg-type]

    def squares(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Squared distances of all photographs to the picture's best turn."""
        turned = np.stack(every_turn(picture, symmetry)).astype(float)
        return ((turned[:, None] - images) ** 2).sum(axis=(2, 3, 4)).min(axis=0)

    for i, sample in enumerate(samples):
        distances = squares(sample)
        assert found.indices[i] == distances.argmin()
        nearest = np.sqrt(distances.min())
        np.testing.assert_allclose(found.feature_distances[i], nearest / 127.5, rtol=1e-5)
        np.testing.assert_allclose(found.pixel_distances[i], nearest / np.sqrt(8 * 8 * 3))
    left_out = [np.delete(squares(p), i).min() for i, p in enumerate(images)]
    np.testing.assert_allclose(
        found.typical_distance, np.median(np.sqrt(left_out)) / 127.5, rtol=1e-5
    )


def test_copies_are_found_however_they_are_turned() -> None:
    images = photographs(120)
    network = build_feature_network("random", images, runtime=Runtime())
    real = read_real_features(images, network=network)
    random = np.random.RandomState(2)
    chosen = random.permutation(120)[:16]
    copies = []
    for i, row in enumerate(chosen):
        turned = np.rot90(images[row], i % 4)
        turned = turned[:, ::-1] if i >= 8 else turned
        copies.append(turned + random.normal(0, 3, turned.shape))
    noised = np.clip(np.rint(copies), 0, 255).astype(np.uint8)
    found = nearest_photographs(noised, images, real=real, symmetry="dihedral")
    assert found.indices.tolist() == chosen.tolist()
    assert found.memorised_share == 1
    assert found.photograph_share == 0
    assert (found.pixel_distances < 4).all()
    # The photographs come back turned as the samples are.
    difference = aligned_photographs(found, images).astype(float) - noised
    assert np.sqrt((difference**2).mean()) < 4
    # Without the symmetries the turned ones are not met.
    plain = nearest_photographs(noised, images, real=real)
    assert (plain.pixel_distances[[i for i in range(16) if i not in (0, 4)]] > 20).all()
    assert (plain.pixel_distances[[0, 4]] < 4).all()


def test_fresh_pictures_are_no_copies() -> None:
    images = photographs(120)
    network = build_feature_network("random", images, runtime=Runtime())
    real = read_real_features(images, network=network)
    fresh = nearest_photographs(photographs(32, seed=9), images, real=real, symmetry="dihedral")
    assert fresh.memorised_share == 0
    half = np.concatenate([photographs(16, seed=9), images[:16]])
    assert nearest_photographs(half, images, real=real).memorised_share == 0.5


def test_duplicates_among_the_photographs_are_told() -> None:
    images = photographs(40, size=8)
    images[1], images[3] = images[0], images[2]
    real = read_real_features(images, network=PIXELS)
    found = nearest_photographs(photographs(4, seed=3, size=8), images, real=real)
    assert found.photograph_share == 4 / 40
    assert found.memorised_share == 0


def test_indices_name_photographs_where_only_some_are_compared() -> None:
    images = photographs(40, size=8)
    real = read_real_features(images, network=PIXELS, limit=10)
    found = nearest_photographs(images[real.rows], images, real=real)
    assert found.indices.tolist() == real.rows.tolist()
    assert found.feature_distances.max() < 1e-5


def test_bad_arguments_are_refused() -> None:
    images = photographs(4, size=8)
    real = read_real_features(images, network=PIXELS)
    with pytest.raises(UsageError, match="one size, got 16 and 8"):
        nearest_photographs(photographs(2), images, real=real)
    with pytest.raises(UsageError, match="Did you mean 'flip'"):
        nearest_photographs(images, images, real=real, symmetry="flips")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="got 0 and 256"):
        nearest_photographs(images, images, real=real, batch=0)
    with pytest.raises(UsageError, match="samples must be uint8"):
        nearest_photographs(images.astype(float), images, real=real)  # type: ignore[arg-type]
    alone = RealFeatures(real.values[:1], real.rows[:1], PIXELS)
    with pytest.raises(UsageError, match="at least 2 photographs"):
        nearest_photographs(images, images, real=alone)
