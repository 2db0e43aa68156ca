"""Augmentation against its literal twin, SciPy, finite differences and its distributions."""

from dataclasses import fields, replace
from math import log, sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import affine_transform
from scipy.stats import kstest, norm, uniform
from torch import Tensor

from datasetgan.errors import UsageError
from datasetgan.gan_training.augment import reference, sampling
from datasetgan.gan_training.augment.draws import TransformDraws, draw_transforms, source_matrices
from datasetgan.gan_training.augment.sampling import SYM6, resample
from datasetgan.gan_training.augment.transform import (
    ALL_TRANSFORMS,
    AdaptiveProbability,
    Transform,
    apply_transforms,
    augment_images,
)

GEOMETRY: tuple[Transform, ...] = ALL_TRANSFORMS[:7]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise_images(n: int, *, channels: int = 3, side: int = 8, dtype: torch.dtype) -> Tensor:
    return torch.rand(n, channels, side, side, generator=seeded(1), dtype=dtype) * 2 - 1


def draw(n: int, probability: float, *transforms: Transform, seed: int = 0) -> TransformDraws:
    return draw_transforms(
        n,
        probability=probability,
        generator=seeded(seed),
        transforms=transforms or ALL_TRANSFORMS,
    )


def assert_equals_reference(images: Tensor, draws: TransformDraws) -> None:
    expected = reference.apply_transforms(images.numpy(), draws)
    np.testing.assert_allclose(apply_transforms(images, draws).numpy(), expected, atol=1e-10)


def test_the_filter_is_orthonormal_with_six_vanishing_moments() -> None:
    taps, places = np.array(SYM6), np.arange(12.0)
    assert taps.sum() == pytest.approx(sqrt(2), abs=1e-10)
    for shift in range(6):
        product = taps[2 * shift :] @ taps[: 12 - 2 * shift]
        assert product == pytest.approx(float(shift == 0), abs=1e-10)
    for moment in range(6):
        assert abs(((-1.0) ** places * places**moment * taps).sum()) < 1e-8


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("transform", ALL_TRANSFORMS)
def test_each_transform_equals_the_reference(transform: Transform, channels: int) -> None:
    images = noise_images(6, channels=channels, dtype=torch.float64)
    draws = draw(6, 0.8, transform)
    assert_equals_reference(images, draws)
    if channels == 3:
        changed = (apply_transforms(images, draws) != images).flatten(1).any(dim=1)
        assert changed.any()


@settings(max_examples=15, deadline=None)
@given(
    side=st.integers(2, 13),
    channels=st.sampled_from([1, 3]),
    probability=st.floats(0.05, 1),
    seed=st.integers(0, 2**32),
)
def test_all_transforms_equal_the_reference(
    side: int, channels: int, probability: float, seed: int
) -> None:
    images = noise_images(2, channels=channels, side=side, dtype=torch.float64)
    assert_equals_reference(images, draw(2, probability, seed=seed))


def test_smooth_pictures_move_as_scipy_moves_them() -> None:
    # Another interpolation altogether: cubic splines. A wrong phase of the filter shows.
    side, n = 48, 12
    draws = draw(n, 0.8, *GEOMETRY)
    y, x = np.mgrid[:side, :side] / side
    picture = np.cos(4 * x + 1) * np.cos(3 * y) + np.sin(5 * x * y + x)
    images = torch.from_numpy(picture).expand(n, 1, side, side)
    half = (side - 1) / 2
    for moved, matrix in zip(
        apply_transforms(images, draws), source_matrices(draws, side).numpy(), strict=True
    ):
        linear = matrix[1::-1, 1::-1]  # rows first
        offset = matrix[1::-1, 2] + half - linear @ [half, half]
        expected = affine_transform(picture, linear, offset, order=3, mode="mirror")
        error = np.abs(moved[0].numpy() - expected)
        # Near folds of the mirrored picture its slope jumps, and the two round differently.
        assert np.median(error) < 1e-3
        assert np.quantile(error, 0.9) < 2e-2
        assert error.max() < 0.2


def test_resampling_in_place_gives_the_picture_back() -> None:
    images = noise_images(3, dtype=torch.float64)
    identity = torch.eye(3, dtype=torch.float64).repeat(3, 1, 1)
    torch.testing.assert_close(resample(images, identity), images, rtol=0, atol=1e-11)


def test_copied_pixels_keep_their_values() -> None:
    images = torch.arange(64.0).reshape(1, 1, 8, 8).repeat(40, 1, 1, 1)
    moved = augment_images(
        images, probability=1, generator=seeded(), transforms=("flip", "turn", "shift")
    )
    assert torch.equal(moved, moved.round())
    unshifted = augment_images(
        images, probability=1, generator=seeded(), transforms=("flip", "turn")
    )
    assert all(sorted(p.flatten().tolist()) == list(range(64)) for p in unshifted)
    assert len({tuple(p.flatten().tolist()) for p in unshifted}) == 8


def test_directions() -> None:
    picture = torch.arange(9.0).reshape(1, 1, 3, 3)
    still = draw(1, 0.0)

    def moved(**change: list[float] | list[list[float]]) -> list[float]:
        values = {name: torch.tensor(v, dtype=torch.float64) for name, v in change.items()}
        out: list[float] = apply_transforms(picture, replace(still, **values)).flatten().tolist()
        return out

    assert moved(flip=[1]) == [2, 1, 0, 5, 4, 3, 8, 7, 6]
    assert moved(turn=[1]) == [6, 3, 0, 7, 4, 1, 8, 5, 2]
    assert moved(shift=[[1 / 3, 0]]) == [1, 0, 1, 4, 3, 4, 7, 6, 7]
    assert moved(shift=[[0, 1 / 3]]) == [3, 4, 5, 0, 1, 2, 3, 4, 5]


def test_shares_and_distributions_are_the_papers() -> None:
    n, p = 40_000, 0.3
    draws = draw(n, p)

    def share(values: Tensor, neutral: float = 0.0) -> float:
        return float((values != neutral).float().mean())

    tolerance = 4 * sqrt(0.25 / n)
    assert share(draws.flip) == pytest.approx(p / 2, abs=tolerance)
    assert share(draws.luma_flip) == pytest.approx(p / 2, abs=tolerance)
    assert share(draws.turn) == pytest.approx(p * 3 / 4, abs=tolerance)
    assert share(draws.shift[:, 0]) == pytest.approx(p, abs=tolerance)
    assert share(draws.scale, 1) == pytest.approx(p, abs=tolerance)
    rotated = (draws.rotation_before != 0) | (draws.rotation_after != 0)
    assert share(rotated, False) == pytest.approx(p, abs=tolerance)

    octave = log(2)
    expected = {
        "shift": (uniform(-0.125, 0.25), 0.0),
        "rotation_before": (uniform(-np.pi, 2 * np.pi), 0.0),
        "rotation_after": (uniform(-np.pi, 2 * np.pi), 0.0),
        "translation": (norm(0, 0.125), 0.0),
        "brightness": (norm(0, 0.2), 0.0),
        "hue": (uniform(-np.pi, 2 * np.pi), 0.0),
        "scale": (norm(0, 0.2 * octave), 1.0),
        "stretch": (norm(0, 0.2 * octave), 1.0),
        "contrast": (norm(0, 0.5 * octave), 1.0),
        "saturation": (norm(0, octave), 1.0),
    }
    for name, (distribution, neutral) in expected.items():
        values = getattr(draws, name).flatten().numpy()
        on = values[values != neutral]
        on = np.log(on) if neutral == 1 else on
        assert kstest(on, distribution.cdf).pvalue > 1e-4, name


def test_transforms_are_independent_of_each_other() -> None:
    draws = draw(20_000, 0.5)
    neutral = draw(1, 0.0)
    on = np.stack(
        [
            (getattr(draws, f.name) != getattr(neutral, f.name)).reshape(20_000, -1)[:, 0].numpy()
            for f in fields(draws)
        ]
    ).astype(float)
    correlation = np.corrcoef(on) - np.eye(len(on))
    assert np.abs(correlation).max() < 0.04


def test_probability_zero_costs_nothing() -> None:
    images, generator = noise_images(2, dtype=torch.float32), seeded()
    before = generator.get_state()
    assert augment_images(images, probability=0, generator=generator) is images
    assert torch.equal(generator.get_state(), before)


def test_images_without_a_change_keep_their_values() -> None:
    images = noise_images(64, dtype=torch.float32)
    moved = augment_images(images, probability=0.05, generator=seeded())
    same = (moved == images).flatten(1).all(dim=1)
    assert 20 < same.sum() < 60


def test_the_same_numbers_whatever_is_allowed() -> None:
    some, every = draw(9, 0.5, "hue", "scale"), draw(9, 0.5)
    assert torch.equal(some.hue, every.hue)
    assert torch.equal(some.scale, every.scale)
    assert not some.resampled.equal(every.resampled)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    images = noise_images(5, dtype=torch.float64)
    whole = augment_images(images, probability=0.9, generator=seeded())
    monkeypatch.setattr(sampling, "_CHUNK_VALUES", 1)
    torch.testing.assert_close(augment_images(images, probability=0.9, generator=seeded()), whole)


@pytest.mark.parametrize("transforms", [ALL_TRANSFORMS, ("flip", "turn", "shift")])
def test_gradients_of_both_orders(transforms: tuple[Transform, ...]) -> None:
    images = noise_images(2, side=3, dtype=torch.float64).requires_grad_()
    assert draw(2, 0.8, *transforms, seed=3).resampled.any() == (transforms == ALL_TRANSFORMS)

    def changed(x: Tensor) -> Tensor:
        # The square makes it nonlinear, or second derivatives would all be zero.
        moved = augment_images(x, probability=0.8, generator=seeded(3), transforms=transforms)
        return moved.square().sum(dim=(1, 2))

    assert torch.autograd.gradcheck(changed, images)
    assert torch.autograd.gradgradcheck(changed, images)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_goes_in_and_comes_out(dtype: torch.dtype) -> None:
    images = noise_images(8, dtype=torch.float32)
    full = augment_images(images, probability=0.7, generator=seeded())
    half = augment_images(images.to(dtype), probability=0.7, generator=seeded())
    assert half.dtype == dtype
    torch.testing.assert_close(half.float(), full, rtol=0.02, atol=0.05)


def test_images_in_channels_last_give_the_same() -> None:
    images = noise_images(8, dtype=torch.float32)
    last = images.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(
        augment_images(last, probability=0.7, generator=seeded()),
        augment_images(images, probability=0.7, generator=seeded()),
    )


def test_bad_arguments_are_refused() -> None:
    def augment(shape: tuple[int, ...], probability: float, name: str) -> None:
        augment_images(
            torch.zeros(shape),
            probability=probability,
            generator=seeded(),
            transforms=(name,),  # type: ignore[arg-type]
        )

    with pytest.raises(UsageError, match=r"needs images \[N, 1 or 3, S, S\].*\[1, 2, 8, 8\]"):
        augment((1, 2, 8, 8), 0.5, "flip")
    with pytest.raises(UsageError, match="square images, got 8x4"):
        augment((1, 3, 8, 4), 0.5, "flip")
    for probability in (-0.1, 1.5, float("nan")):
        with pytest.raises(UsageError, match="within 0 to 1"):
            augment((1, 3, 8, 8), probability, "flip")
    with pytest.raises(UsageError, match=r"unknown augmentation 'flop'.*'flip'"):
        augment((1, 3, 8, 8), 0.5, "flop")


def test_the_probability_follows_the_mean_sign_of_an_interval() -> None:
    adaptive = AdaptiveProbability(target_sign=0.6, interval=2, adjust_images=1000)
    adaptive.update(1.0, 50)
    assert adaptive.value == 0
    adaptive.update(0.4, 50)  # mean 0.7: over-fitting
    assert adaptive.value == pytest.approx(0.1)
    adaptive.update(1.0, 25)
    adaptive.update(0.2, 75)  # mean 0.4
    assert adaptive.value == 0
    adaptive.update(0.0, 50)
    adaptive.update(0.0, 50)
    assert adaptive.value == 0  # not below
    for _ in range(30):
        adaptive.update(1.0, 100)
    assert adaptive.value == 1  # nor above


def test_the_probability_resumes_inside_an_interval() -> None:
    through, stopped = (AdaptiveProbability(interval=4, adjust_images=100) for _ in range(2))
    signs = [0.9, 0.1, 1.0, 0.8, 0.2, 0.9, 1.0, 0.7]
    for sign in signs:
        through.update(sign, 3)
    for sign in signs[:6]:
        stopped.update(sign, 3)
    resumed = AdaptiveProbability(interval=4, adjust_images=100)
    resumed.load(stopped.state())
    for sign in signs[6:]:
        resumed.update(sign, 3)
    assert resumed.state() == through.state()
    assert resumed.value == pytest.approx(0.24)
    assert all(isinstance(v, float) for v in resumed.state().values())


def test_bad_states_and_settings_are_refused() -> None:
    adaptive = AdaptiveProbability()
    good = adaptive.state()
    with pytest.raises(UsageError, match="holds images, signs, updates, value; got value"):
        adaptive.load({"value": 0.5})
    for value in (2.0, float("nan")):
        with pytest.raises(UsageError, match="its value 0 to 1"):
            adaptive.load(good | {"value": value})
    with pytest.raises(UsageError, match="target sign"):
        AdaptiveProbability(target_sign=1.5)
    with pytest.raises(UsageError, match="at least 1, got 0 and 500000"):
        AdaptiveProbability(interval=0)
