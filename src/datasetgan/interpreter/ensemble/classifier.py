"""The pixel classifier: one member, and all members stacked into batched products."""

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from datasetgan.interpreter.ensemble.stacked import (
    WEIGHT_SCALE,
    StackedBatchNorm,
    StackedHead,
    StackedLinear,
    check_members,
)
from datasetgan.runtime import Stream, random_state

__all__ = ["PixelClassifier", "StackedClassifiers", "hidden_widths"]

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
        random = random_state(seed, Stream.CLASSIFIER_WEIGHTS, member)
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
        layer.weight.copy_(torch.from_numpy(weight) * WEIGHT_SCALE)
        layer.bias.zero_()
    return layer


class StackedClassifiers(StackedHead):
    """All members of the paper's ensemble, fitted and applied together.

    The state dict has the names of one `PixelClassifier`, every tensor with a
    leading axis of members.

    Raises:
        UsageError: fewer than one member.
    """

    def __init__(self, num_members: int, in_channels: int, num_classes: int) -> None:
        check_members(num_members)
        first, second = hidden_widths(num_classes)
        super().__init__(
            nn.Sequential(
                StackedLinear(num_members, in_channels, first),
                nn.ReLU(),
                StackedBatchNorm(num_members, first),
                StackedLinear(num_members, first, second),
                nn.ReLU(),
                StackedBatchNorm(num_members, second),
                StackedLinear(num_members, second, num_classes),
            ),
            name="paper",
        )

    @classmethod
    def from_members(cls, members: Sequence[PixelClassifier]) -> Self:
        """Stack members of one shape.

        Raises:
            UsageError: no members.
        """
        check_members(len(members))
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
        classifier = PixelClassifier(own["layers.0.weight"].shape[1], self.num_outputs)
        # strict=False: BatchNorm1d's count of batches is not kept, its momentum is fixed.
        classifier.load_state_dict(own, strict=False)
        return classifier.eval()
