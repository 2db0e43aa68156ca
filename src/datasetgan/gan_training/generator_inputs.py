"""What the generator is fed in training: latents, style mixing, noise inputs."""

import torch
from torch import Tensor

from datasetgan.gan_training.settings import NoiseInputs
from datasetgan.generators import Generator, Noise

__all__ = ["draw_noise", "draw_normal", "draw_ws"]


def draw_normal(random: torch.Generator, *shape: int, device: torch.device) -> Tensor:
    """Draw standard normal numbers on the CPU, the same for every device."""
    return torch.randn(*shape, generator=random).to(device)


def draw_ws(
    generator: Generator,
    count: int,
    class_labels: Tensor | None,
    *,
    style_mixing: float,
    random: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Draw latents and map them.

    Args:
        generator: maps them, with gradients where they are enabled.
        count: N.
        class_labels: [N, label_dim] one-hot, for a conditional generator.
        style_mixing: share of the images whose rows from a random one on take a second
            latent's style (Karras et al. 2019, sec. 3.1), 0 to 1.
        random: on the CPU.

    Returns:
        ws [N, num_ws, w_dim] and the mean of the first latents' w [w_dim], without gradient.
    """
    device, rows = generator.device, generator.num_ws
    ws = generator.map(draw_normal(random, count, generator.z_dim, device=device), class_labels)
    mean = ws[:, 0].detach().mean(dim=0)
    if style_mixing:
        other = generator.map(
            draw_normal(random, count, generator.z_dim, device=device), class_labels
        )
        first = torch.randint(1, rows, (count,), generator=random)
        mixed = torch.rand(count, generator=random) < style_mixing
        first = torch.where(mixed, first, rows)
        taken = torch.arange(rows)[None, :] >= first[:, None]  # [N, num_ws]
        ws = torch.where(taken[..., None].to(device), other, ws)
    return ws, mean


def draw_noise(
    generator: Generator, count: int, noise: NoiseInputs, *, random: torch.Generator
) -> Noise:
    """Draw the noise inputs [count, 1, h, w] of every layer that has one, or none."""
    sizes = [layer.noise_const.shape for layer in generator.noise_layers]
    if noise == "off" or not sizes:
        return "none"
    return [draw_normal(random, count, 1, *size, device=generator.device) for size in sizes]
