"""What every way of labelling takes and fills."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from datasetgan.errors import UsageError

__all__ = ["Area", "LabelMaps", "TakeOutputs", "Tile", "fill"]


@dataclass(frozen=True)
class Area:
    """A rectangle of a label grid.

    Attributes:
        size: (height, width) of the grid, which covers the whole square picture.
        top: first row.
        left: first column.
        height: rows.
        width: columns.

    Raises:
        UsageError: the rectangle is empty or leaves the grid.
    """

    size: tuple[int, int]
    top: int
    left: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise UsageError(f"the size of a label map must be at least 1 x 1, got {self.size}.")
        bottom, right = self.top + self.height, self.left + self.width
        inside = min(self.top, self.left) >= 0 and bottom <= self.size[0] and right <= self.size[1]
        if min(self.height, self.width) < 1 or not inside:
            raise UsageError(
                f"an area must lie within {self.size[0]} rows and {self.size[1]} columns, got rows "
                f"{self.top} to {bottom} and columns {self.left} to {right}."
            )

    @classmethod
    def whole(cls, size: tuple[int, int]) -> Self:
        """Return the whole grid."""
        return cls(size, 0, 0, *size)

    @property
    def rows(self) -> slice:
        """Its rows of the grid."""
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        """Its columns of the grid."""
        return slice(self.left, self.left + self.width)


@dataclass(frozen=True)
class Tile:
    """A rectangle of an area: rows and columns, ends excluded, counted from its corner."""

    rows: slice
    columns: slice


TakeOutputs = Callable[[int, Tile, Tensor], None]
"""Takes the outputs [M, R, S, K] of all members for one tile of image n. The tensor is the
engine's own afterwards; threads call it at the same time, each with tiles of its own."""


def fill(out: Tensor) -> TakeOutputs:
    """Return what copies outputs to where they belong in [N, M, K, H, W]."""

    def take(n: int, tile: Tile, outputs: Tensor) -> None:
        out[n, :, :, tile.rows, tile.columns] = outputs.permute(0, 3, 1, 2)

    return take


@dataclass(frozen=True, eq=False)
class LabelMaps:
    """Where labels are written; see `Prediction`.

    Attributes:
        label_map: [N, H, W] int64.
        uncertainty: [N, H, W] float32.
        probabilities: [N, K, H, W] float32, or None where nobody wants them.
    """

    label_map: Tensor
    uncertainty: Tensor
    probabilities: Tensor | None

    @classmethod
    def empty(
        cls, count: int, area: Area, *, num_classes: int | None, device: torch.device
    ) -> Self:
        """Make room for `count` images; for probabilities of `num_classes` unless None."""
        shape = (count, area.height, area.width)
        probabilities = None
        if num_classes is not None:
            probabilities = torch.empty((count, num_classes, *shape[1:]), device=device)
        return cls(
            torch.empty(shape, dtype=torch.int64, device=device),
            torch.empty(shape, device=device),
            probabilities,
        )
