"""Layers that the StyleGAN families share: equalised fully connected, mapping network."""

from itertools import pairwise
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datasetgan.errors import UsageError
from datasetgan.generators.ops import SQRT2, leaky_relu, normalize_second_moment

__all__ = ["DoublingBlocks", "FullyConnected", "MappingNetwork", "rows_of_w"]


class DoublingBlocks:
    """The sizes of a network with one block for each power of two up to its resolution."""

    resolution: int
    channel_base: int
    channel_max: int

    def check_resolution(self) -> None:
        """Raise `UsageError` unless the resolution is a power of two from 4 on."""
        if self.resolution < 4 or self.resolution & (self.resolution - 1):
            family = type(self).__name__.removesuffix("Config")
            raise UsageError(
                f"a {family}'s resolution must be a power of two from 4 on, got {self.resolution}."
            )

    @property
    def block_resolutions(self) -> tuple[int, ...]:
        """4, 8, ... up to the resolution."""
        return tuple(2**i for i in range(2, self.resolution.bit_length()))

    def channels_at(self, resolution: int) -> int:
        """Channels of the block at a resolution."""
        return min(self.channel_base // resolution, self.channel_max)


class FullyConnected(nn.Module):
    """A linear layer with equalised learning rate (Karras et al. 2018, sec. 4.1).

    The stored weight has unit scale over `lr_multiplier`; it is scaled by
    `lr_multiplier / sqrt(in_features)` when used.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full([out_features], bias_init / lr_multiplier))
        self.weight_gain = lr_multiplier / sqrt(in_features)
        self.bias_gain = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, out_features] from x [N, in_features]."""
        return F.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)


class MappingNetwork(nn.Module):
    """z, and a class label where there is one, to w (Karras et al. 2019, sec. 2).

    `w_avg` is the mean latent: a running mean of w kept in training.
    """

    w_avg: Tensor

    def __init__(self, *, z_dim: int, w_dim: int, label_dim: int, num_layers: int) -> None:
        super().__init__()
        self.num_layers = num_layers
        self.embed = FullyConnected(label_dim, w_dim) if label_dim else None
        features = [z_dim + (w_dim if label_dim else 0)] + [w_dim] * num_layers
        for i, (fan_in, fan_out) in enumerate(pairwise(features)):
            # The mapping learns a hundred times slower than the synthesis.
            self.add_module(f"fc{i}", FullyConnected(fan_in, fan_out, lr_multiplier=0.01))
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z: Tensor, class_labels: Tensor | None = None) -> Tensor:
        """Return w [N, w_dim] from z [N, z_dim] and one-hot class labels [N, label_dim]."""
        x = normalize_second_moment(z)
        if self.embed is not None:
            assert class_labels is not None  # Generator.check_latents saw to it
            x = torch.cat([x, normalize_second_moment(self.embed(class_labels.float()))], dim=1)
        for i in range(self.num_layers):
            x = leaky_relu(self.get_submodule(f"fc{i}")(x)) * SQRT2
        return x


def rows_of_w(
    w: Tensor, *, num_ws: int, w_avg: Tensor, truncation_psi: float, truncation_cutoff: int | None
) -> Tensor:
    """Give every style input the same w, the first rows truncated towards the mean latent.

    Args:
        w: [N, w_dim].
        num_ws: rows of the result.
        w_avg: the mean latent [w_dim], or [num_ws, w_dim] with a row per style input.
        truncation_psi: 1 leaves w alone, 0 gives the mean latent (Karras et al. 2019, app. B).
        truncation_cutoff: truncate only the first so many rows; None for all.

    Returns:
        ws [N, num_ws, w_dim].
    """
    ws = w[:, None, :].repeat(1, num_ws, 1)
    if truncation_psi != 1.0:
        cutoff = num_ws if truncation_cutoff is None else truncation_cutoff
        means = w_avg.expand(num_ws, -1)[:cutoff]
        ws[:, :cutoff] = torch.lerp(means, ws[:, :cutoff], truncation_psi)
    return ws
