"""Losses against their formulas, penalties and their gradients against finite differences."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from datasetgan.errors import UsageError
from datasetgan.gan_training.augment.transform import augment_images
from datasetgan.gan_training.discriminator import Discriminator
from datasetgan.gan_training.losses import (
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    move_mean_length,
    path_length_penalty,
)
from datasetgan.generators import StyleGAN2, StyleGAN2Config

STEP = 1e-6


def build_discriminator(resolution: int, channels: int, label_dim: int = 0) -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(
        resolution, image_channels=channels, channel_base=32, channel_max=4, label_dim=label_dim
    ).double()


def logits(network: Discriminator, images: Tensor, labels: Tensor | None = None) -> Tensor:
    out: Tensor = network(images, labels, dtype=torch.float64)
    return out


def numeric_gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Central differences of a scalar function, entry by entry."""
    gradient = torch.zeros_like(x)
    for i in range(x.numel()):
        ahead, behind = x.clone(), x.clone()
        ahead.view(-1)[i] += STEP
        behind.view(-1)[i] -= STEP
        gradient.view(-1)[i] = (function(ahead) - function(behind)) / (2 * STEP)
    return gradient


def assert_weight_gradients(network: nn.Module, penalty: Callable[[], Tensor]) -> None:
    """Compare the gradient for the weights along random directions with central differences."""
    names, weights = zip(*network.named_parameters(), strict=True)
    gradients = torch.autograd.grad(penalty(), weights, allow_unused=True)
    seen = 0
    for name, weight, gradient in zip(names, weights, gradients, strict=True):
        if gradient is None:
            continue
        seen += 1
        direction = torch.randn_like(weight)
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                weight.add_(direction, alpha=sign * STEP)
            values.append(penalty().item())
            with torch.no_grad():
                weight.sub_(direction, alpha=sign * STEP)
        slope = (values[0] - values[1]) / (2 * STEP)
        expected = (gradient * direction).sum().item()
        np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-7, err_msg=name)
    assert seen > 5


def test_logistic_losses_are_the_formulas() -> None:
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 3.0])

    def minus_log_sigmoid(x: Tensor) -> float:
        return float(-np.log(1 / (1 + np.exp(-x.numpy()))).mean())

    np.testing.assert_allclose(generator_loss(fake).item(), minus_log_sigmoid(fake), rtol=1e-5)
    expected = minus_log_sigmoid(real) + minus_log_sigmoid(-fake)
    np.testing.assert_allclose(discriminator_loss(real, fake).item(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("probability", "resolution", "channels"), [(0.0, 8, 1), (0.8, 8, 1), (0.8, 4, 3)]
)
def test_r1_is_the_squared_gradient_through_the_augmentation(
    probability: float, resolution: int, channels: int
) -> None:
    network = build_discriminator(resolution, channels)
    images = torch.randn(2, channels, resolution, resolution, dtype=torch.float64)

    def augmented_logits(x: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        return logits(network, augment_images(x, probability=probability, generator=generator))

    def penalty() -> Tensor:
        probe = images.clone().requires_grad_()
        return gradient_penalty(probe, augmented_logits(probe))

    with torch.no_grad():
        slopes = numeric_gradient(lambda x: augmented_logits(x).sum(), images)
    expected = slopes.square().sum() / len(images)
    np.testing.assert_allclose(penalty().item(), expected.item(), rtol=1e-6)
    assert_weight_gradients(network, penalty)


def test_r1_of_a_class_conditional_discriminator() -> None:
    network = build_discriminator(8, 3, label_dim=3)
    labels = torch.eye(3, dtype=torch.float64)[[0, 2]]
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)

    def penalty() -> Tensor:
        probe = images.clone().requires_grad_()
        return gradient_penalty(probe, logits(network, probe, labels))

    assert_weight_gradients(network, penalty)


@pytest.fixture
def in_double(monkeypatch: pytest.MonkeyPatch) -> None:
    # The generator brings latents and images to float32, where differences drown.
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


def build_generator(resolution: int) -> StyleGAN2:
    torch.manual_seed(0)
    generator = StyleGAN2(
        StyleGAN2Config(
            resolution, z_dim=3, w_dim=3, mapping_layers=2, channel_base=64, channel_max=4
        )
    ).double()
    generator.compute_dtype = torch.float64
    return generator


@pytest.mark.usefixtures("in_double")
def test_path_length_is_the_norm_of_the_projected_jacobian() -> None:
    generator = build_generator(8)
    ws = torch.randn(2, generator.num_ws, 3, dtype=torch.float64)
    noise = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    mean = torch.tensor(0.3, dtype=torch.float64)

    def projected(x: Tensor) -> Tensor:
        return (generator.synthesize(x).image * noise).sum() / 8

    with torch.no_grad():
        slopes = numeric_gradient(projected, ws).numpy()  # [N, L, D]
    expected = np.sqrt((slopes**2).sum(axis=2).mean(axis=1))
    probe = ws.clone().requires_grad_()
    penalty, lengths = path_length_penalty(
        generator.synthesize(probe).image, probe, noise=noise, mean_length=mean
    )
    assert not lengths.requires_grad
    np.testing.assert_allclose(lengths.numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(penalty.item(), ((expected - 0.3) ** 2).mean(), rtol=1e-6)


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("resolution", [8, 16])
def test_path_length_gradients_for_every_weight(resolution: int) -> None:
    generator = build_generator(resolution)
    z = torch.randn(2, 3, dtype=torch.float64)
    noise = torch.randn(2, 3, resolution, resolution, dtype=torch.float64)
    mean = torch.tensor(0.1, dtype=torch.float64)

    def penalty() -> Tensor:
        ws = generator.map(z)
        image = generator.synthesize(ws).image
        return path_length_penalty(image, ws, noise=noise, mean_length=mean)[0]

    # Through the mapping network too.
    assert_weight_gradients(generator, penalty)


def test_path_length_of_a_linear_generator() -> None:
    # J is known: image = A w, so the length is |A^T y|, whatever w.
    a = torch.randn(12, 5)
    ws = torch.randn(4, 1, 5, requires_grad=True)
    noise = torch.randn(4, 3, 2, 2)
    images = (ws[:, 0] @ a.t()).reshape(4, 3, 2, 2)
    _, lengths = path_length_penalty(images, ws, noise=noise, mean_length=torch.tensor(0.0))
    torch.testing.assert_close(lengths, (noise.flatten(1) @ a / 2).norm(dim=1))


def test_noise_of_another_shape_is_refused() -> None:
    ws = torch.zeros(1, 1, 1, requires_grad=True)
    images = ws[..., None].expand(1, 3, 4, 4)
    with pytest.raises(UsageError, match=r"shape \[1, 3, 4, 4\], got \[1, 1, 4, 4\]"):
        path_length_penalty(
            images, ws, noise=torch.zeros(1, 1, 4, 4), mean_length=torch.tensor(0.0)
        )


def test_the_mean_length_moves_by_a_hundredth() -> None:
    mean = torch.tensor(2.0)
    moved = move_mean_length(mean, torch.tensor([3.0, 5.0]))
    assert moved.item() == pytest.approx(2.02)
    assert mean.item() == 2.0
