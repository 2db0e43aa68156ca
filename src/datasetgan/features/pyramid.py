"""What features are: levels of a network, coarse to fine, and their tensors for a batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from torch import Tensor

from datasetgan.errors import UsageError

__all__ = ["FeatureLevel", "FeaturePyramid"]


@dataclass(frozen=True)
class FeatureLevel:
    """One activation of the synthesis network.

    Attributes:
        name: its place in the network, for instance ``"b32.conv1"``.
        channels: number of channels.
        height: rows of the canvas, margin included.
        width: columns of the canvas, margin included.
        margin: pixels on every side that lie beyond the picture (StyleGAN3).
    """

    name: str
    channels: int
    height: int
    width: int
    margin: int = 0

    @property
    def rows(self) -> int:
        """Rows of the picture alone."""
        return self.height - 2 * self.margin


@dataclass(frozen=True)
class FeaturePyramid:
    """All feature levels of a batch, coarse to fine.

    Attributes:
        levels: what each level is.
        tensors: one tensor [N, channels, height, width] per level.
    """

    levels: tuple[FeatureLevel, ...]
    tensors: tuple[Tensor, ...]

    def __post_init__(self) -> None:
        if len(self.levels) != len(self.tensors) or not self.levels:
            raise UsageError(
                f"a feature pyramid needs one tensor per level and at least one level, "
                f"got {len(self.levels)} levels and {len(self.tensors)} tensors."
            )

    @classmethod
    def from_tensors(cls, tensors: Sequence[Tensor]) -> Self:
        """Build a pyramid from bare tensors [N, C, H, W], coarse to fine, without margins."""
        levels = tuple(
            FeatureLevel(f"level{i}", t.shape[1], t.shape[2], t.shape[3])
            for i, t in enumerate(tensors)
        )
        return cls(levels, tuple(tensors))

    def items(self) -> Iterator[tuple[FeatureLevel, Tensor]]:
        """Yield each level with its tensor [N, C, H, W], coarse to fine."""
        return zip(self.levels, self.tensors, strict=True)

    @property
    def cropped(self) -> tuple[Tensor, ...]:
        """Each level without its margin: [N, C, h, w], aligned with the picture."""
        return tuple(
            tensor[..., level.margin : level.height - level.margin, :][
                ..., level.margin : level.width - level.margin
            ]
            for level, tensor in self.items()
        )

    @property
    def picture_size(self) -> tuple[int, int]:
        """The (height, width) of the finest level, margin excluded."""
        height, width = max(tuple(tensor.shape[-2:]) for tensor in self.cropped)
        return height, width

    @property
    def channels(self) -> int:
        """Channels of all levels together: the length of a pixel's feature vector."""
        return sum(level.channels for level in self.levels)

    @property
    def batch_size(self) -> int:
        """Number of images."""
        return self.tensors[0].shape[0]
