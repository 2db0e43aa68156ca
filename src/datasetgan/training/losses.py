"""The losses of StyleGAN2's training (Karras et al. 2020, sec. 2 and 3)."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["discriminator_loss", "generator_loss", "gradient_penalty"]


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Non-saturating logistic loss of the generator: mean of softplus(-D(G(z)))."""
    return F.softplus(-fake_logits).mean()


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Logistic loss of the discriminator: mean of softplus(D(G(z))) + softplus(-D(x))."""
    return F.softplus(fake_logits).mean() + F.softplus(-real_logits).mean()


def gradient_penalty(real_images: Tensor, real_logits: Tensor) -> Tensor:
    """R1: the mean squared norm of D's gradient at real images (Mescheder et al. 2018, eq. 9).

    The caller multiplies it by gamma / 2, and by the interval where it is lazy.

    Args:
        real_images: [N, C, H, W], requiring gradients.
        real_logits: [N], computed from them.
    """
    (gradient,) = torch.autograd.grad(real_logits.sum(), real_images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()
