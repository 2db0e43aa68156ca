"""The losses of StyleGAN2's training (Karras et al. 2020, sec. 2 and 3)."""

from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from datasetgan.errors import UsageError

__all__ = [
    "discriminator_loss",
    "generator_loss",
    "gradient_penalty",
    "move_mean_length",
    "path_length_penalty",
]


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


def path_length_penalty(
    images: Tensor, ws: Tensor, *, noise: Tensor, mean_length: Tensor
) -> tuple[Tensor, Tensor]:
    """Keep a step in W the same length in the image everywhere (Karras et al. 2020, eq. 4).

    The length of an image is the norm of J^T y, where J = dG(w)/dw and y is a random image:
    one backward pass from the images times y. As in the official code, y is divided by the
    root of the number of pixels, and the squares are averaged over the rows of W+.

    The caller multiplies the penalty by its weight, and by the interval where it is lazy.

    Args:
        images: [N, C, H, W], synthesized from `ws` with gradients.
        ws: [N, num_ws, w_dim], requiring gradients.
        noise: [N, C, H, W], standard normal.
        mean_length: the running mean of lengths, a scalar; see `move_mean_length`.

    Returns:
        The mean of (length - mean length)^2, differentiable, and the lengths [N], detached.

    Raises:
        UsageError: the noise has another shape than the images.
    """
    if noise.shape != images.shape:
        raise UsageError(
            f"path length: the noise must have the images' shape {list(images.shape)}, "
            f"got {list(noise.shape)}."
        )
    pixels = images.shape[2] * images.shape[3]
    projected = (images * noise).sum() / sqrt(pixels)
    (gradient,) = torch.autograd.grad(projected, ws, create_graph=True)
    lengths = gradient.square().sum(dim=2).mean(dim=1).sqrt()  # [N]
    return (lengths - mean_length).square().mean(), lengths.detach()


def move_mean_length(mean_length: Tensor, lengths: Tensor, *, decay: float = 0.01) -> Tensor:
    """Return the running mean of path lengths after one more batch.

    The official code moves it first and measures the same batch against the moved mean. Here
    the caller moves it afterwards, so that a batch is measured against those before it.

    Args:
        mean_length: a scalar, 0 at the start.
        lengths: [N] of `path_length_penalty`.
        decay: share of the new mean.
    """
    return mean_length.lerp(lengths.mean().to(mean_length), decay)
