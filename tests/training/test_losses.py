"""Losses against their formulas, the penalty against finite differences."""

import numpy as np
import torch
from torch import Tensor

from datasetgan.training.discriminator import Discriminator
from datasetgan.training.losses import discriminator_loss, generator_loss, gradient_penalty


def test_logistic_losses_are_the_formulas() -> None:
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 3.0])

    def minus_log_sigmoid(x: Tensor) -> float:
        return float(-np.log(1 / (1 + np.exp(-x.numpy()))).mean())

    np.testing.assert_allclose(generator_loss(fake).item(), minus_log_sigmoid(fake), rtol=1e-5)
    expected = minus_log_sigmoid(real) + minus_log_sigmoid(-fake)
    np.testing.assert_allclose(discriminator_loss(real, fake).item(), expected, rtol=1e-5)


def test_penalty_is_the_squared_gradient_by_finite_differences() -> None:
    torch.manual_seed(0)
    network = Discriminator(8, image_channels=1, channel_base=32, channel_max=4).double()
    images = torch.randn(2, 1, 8, 8, dtype=torch.float64)

    def logits(x: Tensor) -> Tensor:
        return network(x, dtype=torch.float64)

    probe = images.clone().requires_grad_()
    penalty = gradient_penalty(probe, logits(probe)).item()
    step, squares = 1e-5, 0.0
    with torch.no_grad():
        for i in range(images.numel()):
            ahead, behind = images.clone(), images.clone()
            ahead.view(-1)[i] += step
            behind.view(-1)[i] -= step
            slope = (logits(ahead).sum() - logits(behind).sum()) / (2 * step)
            squares += slope.item() ** 2
    np.testing.assert_allclose(penalty, squares / len(images), rtol=1e-3)


def test_penalty_has_a_gradient_for_the_weights() -> None:
    network = Discriminator(8, image_channels=1, channel_base=32, channel_max=4)
    probe = torch.randn(4, 1, 8, 8, requires_grad=True)
    gradient_penalty(probe, network(probe)).backward()
    assert network.from_rgb.weight.grad is not None
    assert network.from_rgb.weight.grad.abs().sum() > 0
