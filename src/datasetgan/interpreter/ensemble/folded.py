"""All members of an ensemble as labelling needs them: linear layers with ReLU between."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["FoldedHead", "FoldedLayer"]


@dataclass(frozen=True, eq=False)
class FoldedLayer:
    """One layer of every member; a ReLU stands before it.

    Attributes:
        weight: [M, O, I], or [M, O, I, 3, 3] for a layer that also reads the eight
            neighbours of a pixel.
        bias: [M, O].
    """

    weight: Tensor
    bias: Tensor

    @property
    def halo(self) -> int:
        """Pixels beyond a tile, on every side, that the layer reads: 0 or 1."""
        return int(self.weight.ndim == 5)


@dataclass(frozen=True, eq=False)
class FoldedHead:
    """All members for inference: normalisations folded in, dropout gone.

    The first layers share their input, so they are stacked into one matrix that
    applies to feature levels one by one (see `projection`).

    Attributes:
        num_members: M.
        first_weight: [M * H, C].
        first_bias: [M * H].
        layers: what follows; none where the first layer gives the outputs.
    """

    num_members: int
    first_weight: Tensor
    first_bias: Tensor
    layers: tuple[FoldedLayer, ...]

    @property
    def halo(self) -> int:
        """Pixels around a tile that its outputs depend on. At the picture's edge they repeat it."""
        return sum(layer.halo for layer in self.layers)

    @property
    def num_outputs(self) -> int:
        """Outputs per member and pixel, K: classes, or keypoints."""
        if self.layers:
            return self.layers[-1].bias.shape[1]
        return self.first_bias.shape[0] // self.num_members

    def outputs(self, hidden: Tensor) -> Tensor:
        """Apply everything behind the first layers.

        Args:
            hidden: [rows, columns, M * H], the first layers' outputs, bias included, of a
                tile with its halo; overwritten.

        Returns:
            [M, rows, columns, K] without the halo.
        """
        return self.outputs_of_activated(hidden.relu_() if self.layers else hidden)

    def outputs_of_activated(self, hidden: Tensor) -> Tensor:
        """Do the same with hidden units [rows, columns, M * H] that are through their ReLU."""
        rows, columns, _ = hidden.shape
        x = hidden.reshape(rows * columns, self.num_members, -1).transpose(0, 1)  # [M, P, H]
        for i, layer in enumerate(self.layers):
            x = (x.relu_() if i else x).to(layer.weight.dtype)
            if layer.halo:
                x = _convolved(x.reshape(self.num_members, rows, columns, -1), layer)
                _, rows, columns, _ = x.shape
                x = x.flatten(1, 2)
            else:
                x = torch.baddbmm(layer.bias[:, None], x, layer.weight.mT)
        return x.reshape(self.num_members, rows, columns, -1)


def _convolved(x: Tensor, layer: FoldedLayer) -> Tensor:
    """Apply a 3x3 layer without padding: [M, R, S, I] to [M, R - 2, S - 2, O]."""
    members, outputs = layer.bias.shape
    maps = x.permute(0, 3, 1, 2).flatten(0, 1)[None]  # [1, M * I, R, S]
    y = F.conv2d(maps, layer.weight.flatten(0, 1), layer.bias.flatten(), groups=members)
    return y.view(members, outputs, *y.shape[2:]).permute(0, 2, 3, 1)  # [M, R - 2, S - 2, O]
