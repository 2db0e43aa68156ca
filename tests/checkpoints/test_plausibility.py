"""A trained generator passes; every way of breaking it shows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from datasetgan.checkpoints.generator_files import load_generator
from datasetgan.checkpoints.plausibility import check_plausibility, render_samples
from datasetgan.generators import StyleGAN2, StyleGAN2Config, sample_latents
from datasetgan.runtime import Runtime

SEEDS = range(6)


@pytest.fixture
def trained() -> StyleGAN2:
    generator = load_generator("wbc")
    assert isinstance(generator, StyleGAN2)
    return generator


def test_a_trained_generator_passes(trained: StyleGAN2) -> None:
    report = check_plausibility(trained, seeds=SEEDS)
    assert report.ok
    assert report.warnings == ()
    assert [level.name for level in report.levels] == [x.name for x in trained.feature_levels]
    assert report.mean_latent_distance is not None
    assert report.mean_latent_distance < 0.1


def test_the_statistics_are_those_of_all_pictures_at_once(trained: StyleGAN2) -> None:
    report = check_plausibility(trained, seeds=SEEDS, batch=4)
    latents = sample_latents(trained, list(SEEDS), truncation_psi=1.0)
    synthesis = trained.synthesize(latents.ws, noise=latents.noise)
    for level, feature in zip(report.levels, synthesis.features.tensors, strict=True):
        assert level.magnitude == pytest.approx(np.sqrt((feature.numpy() ** 2).mean()), rel=1e-3)
    image = synthesis.image.double().numpy()
    picture = report.picture
    assert picture is not None
    # Every picture's channel around its own mean, so that colours do not count as smooth.
    across = own_correlation(image[..., 1:], image[..., :-1])
    down = own_correlation(image[..., 1:, :], image[..., :-1, :])
    assert picture.smoothness == pytest.approx(min(across, down), rel=1e-3)
    assert picture.diversity == pytest.approx(image.std(axis=0, ddof=1).mean(), rel=1e-3)
    within = np.sort(image.reshape(6, 3, -1).std(axis=2, ddof=1).mean(axis=1))
    assert within[2] - 1e-3 <= picture.deviation <= within[3] + 1e-3


def own_correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    planes = zip(one.reshape(18, -1), other.reshape(18, -1), strict=True)
    covariances = np.array([np.cov(a, b, ddof=0) for a, b in planes]).mean(axis=0)
    return float(covariances[0, 1] / np.sqrt(covariances[0, 0] * covariances[1, 1]))


def scaled(ending: str, factor: float) -> Callable[[str, Tensor], Tensor]:
    return lambda name, tensor: tensor * factor if name.endswith(ending) else tensor


def with_noise_for_rgb(name: str, tensor: Tensor) -> Tensor:
    if name.endswith(("const", "b64.conv1.noise_strength")):
        return tensor + 100
    return tensor


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (scaled("torgb.weight", 30), "saturated"),
        (scaled("torgb.weight", 0.01), "nearly one colour"),
        (scaled("fc0.weight", 0), "nearly the same picture"),
        (scaled("w_avg", 0), "mean latent is missing"),
        (scaled("w_avg", -1), "standard deviations from the mean of mapped"),
        (scaled("b32.conv0.bias", 1e6), "b32.conv0 explodes"),
        (scaled("const", float("nan")), "NaN or infinite"),
        (with_noise_for_rgb, "look like noise"),
    ],
)
def test_broken_weights_are_noticed(
    trained: StyleGAN2, change: Callable[[str, Tensor], Tensor], warning: str
) -> None:
    with torch.no_grad():
        for name, tensor in trained.state_dict().items():
            tensor.copy_(change(name, tensor))
    report = check_plausibility(trained, seeds=SEEDS)
    assert not report.ok
    assert any(warning in sentence for sentence in report.warnings), report


def test_a_dead_level_is_named(trained: StyleGAN2) -> None:
    with torch.no_grad():
        for name, tensor in trained.state_dict().items():
            if name.startswith("synthesis.b16.conv1.") and "affine" not in name:
                tensor.zero_()
    report = check_plausibility(trained, seeds=SEEDS)
    assert any("b16.conv1 is dead" in sentence for sentence in report.warnings)
    assert {x.name: x.constant_share for x in report.levels}["b16.conv1"] == 1.0


def test_a_conditional_generator_is_shown_all_its_classes() -> None:
    config = StyleGAN2Config(resolution=8, z_dim=4, w_dim=4, label_dim=3, channel_base=64)
    torch.manual_seed(0)
    report = check_plausibility(StyleGAN2(config).place(Runtime()))
    assert len(report.levels) == 3
    assert "the mean latent is missing" in " ".join(report.warnings)


def test_the_grid_holds_the_samples_row_by_row(tmp_path: Path, tiny_generator: StyleGAN2) -> None:
    path = tmp_path / "grid.png"
    render_samples(path, tiny_generator, seeds=range(5), columns=3)
    with Image.open(path) as image:
        grid = np.asarray(image)
    assert grid.shape == (2 * 32, 3 * 32, 3)
    latents = sample_latents(tiny_generator, [4], truncation_psi=0.7)
    alone = tiny_generator.synthesize(latents.ws, noise=latents.noise).to_uint8()[0]
    assert np.abs(grid[32:, 32:64].astype(int) - alone).max() <= 1
    assert not grid[32:, 64:].any()
