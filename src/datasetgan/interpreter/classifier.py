"""The pixel classifier: one member, and all members stacked into batched products."""

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datasetgan.errors import UsageError
from datasetgan.interpreter.folded import FoldedHead, FoldedLayer
from datasetgan.runtime import random_state

__all__ = ["PixelClassifier", "StackedClassifiers", "hidden_widths"]

# The first number of every random path says what the numbers are for.
_WEIGHT_STREAM = 2
_WEIGHT_SCALE = 0.02
_MANY_CLASSES = 32


def hidden_widths(num_classes: int) -> tuple[int, int]:
    """Return the widths of the two hidden layers: wider from 32 classes on (official code)."""
    return (128, 32) if num_classes < _MANY_CLASSES else (256, 128)


class PixelClassifier(nn.Module):
    """One member of the ensemble: a three-layer perceptron on a pixel's features.

    Linear, ReLU, BatchNorm, twice, then Linear: the normalisation stands behind
    the ReLU, as in the paper's figure 2 and its code. Names of parameters are those
    of the official checkpoints, ``layers.{0,2,3,5,6}``. Weights are N(0, 0.02),
    biases 0, drawn from the stream of the seed and the member.

    Args:
        in_channels: length of a feature vector.
        num_classes: classes, background included.
        seed: of all members; a non-negative integer.
        member: the place in the ensemble, which gives a start of its own.
    """

    def __init__(
        self, in_channels: int, num_classes: int, *, seed: int = 0, member: int = 0
    ) -> None:
        super().__init__()
        first, second = hidden_widths(num_classes)
        random = random_state(seed, _WEIGHT_STREAM, member)
        self.layers = nn.Sequential(
            _drawn_linear(in_channels, first, random),
            nn.ReLU(),
            nn.BatchNorm1d(first),
            _drawn_linear(first, second, random),
            nn.ReLU(),
            nn.BatchNorm1d(second),
            _drawn_linear(second, num_classes, random),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [B, K] from pixel features x [B, C]."""
        logits: Tensor = self.layers(x)
        return logits


def _drawn_linear(in_features: int, out_features: int, random: np.random.RandomState) -> nn.Linear:
    # The layer's own start is overwritten; the caller's random state stays as it was.
    with torch.random.fork_rng(devices=[]):
        layer = nn.Linear(in_features, out_features)
    weight = random.standard_normal((out_features, in_features)).astype(np.float32)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight) * _WEIGHT_SCALE)
        layer.bias.zero_()
    return layer


class StackedLinear(nn.Module):
    """One linear layer of every member, in one batched product."""

    def __init__(self, num_members: int, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_members, out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(num_members, out_features))

    def forward(self, x: Tensor) -> Tensor:
        """Return [M, B, out_features] from x [M, B, in_features]."""
        return torch.baddbmm(self.bias[:, None], x, self.weight.mT)


class StackedBatchNorm(nn.Module):
    """One batch normalisation of every member, each with statistics of its own batch."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_members: int, width: int) -> None:
        super().__init__()
        self.eps, self.momentum = 1e-5, 0.1  # BatchNorm1d's
        self.weight = nn.Parameter(torch.ones(num_members, width))
        self.bias = nn.Parameter(torch.zeros(num_members, width))
        self.register_buffer("running_mean", torch.zeros(num_members, width))
        self.register_buffer("running_var", torch.ones(num_members, width))

    def forward(self, x: Tensor) -> Tensor:
        """Return x [M, B, width] normalised."""
        members, batch, width = x.shape
        # A member's channel is one channel among M * width: they never mix.
        flat = F.batch_norm(
            x.transpose(0, 1).reshape(batch, members * width),
            self.running_mean.view(-1),
            self.running_var.view(-1),
            self.weight.view(-1),
            self.bias.view(-1),
            training=self.training,
            momentum=self.momentum,
            eps=self.eps,
        )
        return flat.view(batch, members, width).transpose(0, 1)

    def affine(self) -> tuple[Tensor, Tensor]:
        """Return scale and shift [M, width], float64 on the CPU, of its work at inference."""
        scale = _exact(self.weight) * (_exact(self.running_var) + self.eps).rsqrt()
        return scale, _exact(self.bias) - _exact(self.running_mean) * scale


class StackedClassifiers(nn.Module):
    """All members of the ensemble, fitted and applied together.

    The state dict has the names of one `PixelClassifier`, every tensor with a
    leading axis of members.

    Raises:
        UsageError: fewer than one member.
    """

    def __init__(self, num_members: int, in_channels: int, num_classes: int) -> None:
        super().__init__()
        if num_members < 1:
            raise UsageError(f"an ensemble needs at least one member, got {num_members}.")
        self.num_members, self.num_classes = num_members, num_classes
        first, second = hidden_widths(num_classes)
        self.layers = nn.Sequential(
            StackedLinear(num_members, in_channels, first),
            nn.ReLU(),
            StackedBatchNorm(num_members, first),
            StackedLinear(num_members, first, second),
            nn.ReLU(),
            StackedBatchNorm(num_members, second),
            StackedLinear(num_members, second, num_classes),
        )

    @classmethod
    def from_members(cls, members: Sequence[PixelClassifier]) -> Self:
        """Stack members of one shape.

        Raises:
            UsageError: no members.
        """
        if not members:
            raise UsageError("an ensemble needs at least one member, got 0.")
        states = [member.state_dict() for member in members]
        num_classes, _ = states[0]["layers.6.weight"].shape
        stacked = cls(len(members), states[0]["layers.0.weight"].shape[1], num_classes)
        stacked.load_state_dict(
            {name: torch.stack([s[name] for s in states]) for name in stacked.state_dict()}
        )
        return stacked

    def member(self, index: int) -> PixelClassifier:
        """Return a copy of one member, on the CPU, in evaluation mode."""
        own = {name: tensor[index].cpu() for name, tensor in self.state_dict().items()}
        classifier = PixelClassifier(own["layers.0.weight"].shape[1], self.num_classes)
        # strict=False: BatchNorm1d's count of batches is not kept, its momentum is fixed.
        classifier.load_state_dict(own, strict=False)
        return classifier.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [M, B, K] from x [M, B, C], one batch per member."""
        logits: Tensor = self.layers(x)
        return logits

    @torch.no_grad()
    def fold(self) -> FoldedHead:
        """Fold each normalisation into the linear layer behind it.

        ``W (s x + t) + b = (W s) x + (W t + b)``; computed in float64 once.
        """
        first, _, norm1, second, _, norm2, third = self.layers
        assert isinstance(first, StackedLinear)
        return FoldedHead(
            num_members=self.num_members,
            first_weight=first.weight.detach().flatten(0, 1).clone(),
            first_bias=first.bias.detach().flatten().clone(),
            layers=(_folded(norm1, second), _folded(norm2, third)),
        )


def _folded(norm: nn.Module, linear: nn.Module) -> FoldedLayer:
    assert isinstance(norm, StackedBatchNorm)
    assert isinstance(linear, StackedLinear)
    scale, shift = norm.affine()
    weight = _exact(linear.weight)
    bias = _exact(linear.bias) + (weight @ shift[..., None]).squeeze(-1)
    device = linear.weight.device
    return FoldedLayer((weight * scale[:, None]).float().to(device), bias.float().to(device))


def _exact(tensor: Tensor) -> Tensor:
    # On the CPU: not every accelerator knows float64.
    return tensor.detach().cpu().double()
