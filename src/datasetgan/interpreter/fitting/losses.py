"""What members are trained on: class ids by cross-entropy, heat by its squared error."""

from collections.abc import Collection
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from datasetgan.taxonomy import IGNORE_INDEX

__all__ = ["PixelLoss", "heat_loss", "label_loss"]


class PixelLoss(Protocol):
    """The loss of every member at every pixel."""

    def __call__(
        self, outputs: Tensor, targets: Tensor, *, known: Collection[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compare outputs [M, P, K] with targets [P, ...] of all members, or [M, P, ...].

        Args:
            known: the outputs that count, where not all do.

        Returns:
            Losses [M, P], 0 at pixels that do not count, and whether each counts, [M, P].
        """


def label_loss(
    outputs: Tensor, targets: Tensor, *, known: Collection[int] | None = None
) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy of class ids [P] or [M, P]; 255 does not count."""
    members, pixels, _ = outputs.shape
    if known is not None:
        classes = torch.tensor(sorted(known), device=targets.device)
        targets = torch.where(torch.isin(targets, classes), targets, IGNORE_INDEX)
    targets = targets.expand(members, pixels)
    losses = F.cross_entropy(
        outputs.flatten(0, 1), targets.flatten(), ignore_index=IGNORE_INDEX, reduction="none"
    )
    return losses.view(members, pixels), targets != IGNORE_INDEX


def heat_loss(
    outputs: Tensor, targets: Tensor, *, known: Collection[int] | None = None
) -> tuple[Tensor, Tensor]:
    """Return the squared error of heat [P, J] or [M, P, J], its mean over the points."""
    errors = (outputs - targets).square()
    if known is not None:
        errors = errors[..., sorted(known)]
    losses = errors.mean(dim=2)
    return losses, torch.ones_like(losses, dtype=torch.bool)
