"""One random change of place, for a picture, its label map and its keypoints alike."""

from dataclasses import dataclass
from math import cos, radians, sin
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from datasetgan.dataset import Keypoints
from datasetgan.taxonomy import IGNORE_INDEX

__all__ = ["Affine", "Geometry", "Orientation", "draw_geometry"]

Orientation = Literal["any", "mirrored", "fixed"]
"""How a picture may be turned: all flips and quarter turns, left-right only, or not at all."""

# What an affine map uncovers: a neutral grey, whose label is ignored.
_FILL = 124


@dataclass(frozen=True)
class Affine:
    """A turn and a change of size about the picture's centre, then a shift.

    Attributes:
        degrees: of the turn, clockwise.
        shift: to the right and down, whole pixels.
        scale: factor of size.
    """

    degrees: float
    shift: tuple[int, int]
    scale: float


@dataclass(frozen=True)
class Geometry:
    """A change of place: mirrored, upended, transposed, then an affine map.

    Attributes:
        mirror: left and right change places.
        upend: so do top and bottom.
        transpose: rows become columns; of square pictures only.
        affine: what follows, if anything.
    """

    mirror: bool
    upend: bool
    transpose: bool
    affine: Affine | None

    def image(self, image: Tensor) -> Tensor:
        """Change a picture [3, H, W]; bilinear, grey where it shows nothing."""
        return self._warped(self._turned(image), kind="Image", fill=_FILL)

    def label_map(self, label_map: Tensor) -> Tensor:
        """Change a label map [H, W]; nearest pixel, `IGNORE_INDEX` where it shows nothing."""
        return self._warped(self._turned(label_map), kind="Mask", fill=IGNORE_INDEX)

    def keypoints(self, keypoints: Keypoints, *, size: tuple[int, int]) -> Keypoints:
        """Change points in a picture of (height, width); those that leave it are not visible.

        Names stay with their points: a mirrored left eye is still called the left one.
        Train with the orientation ``"fixed"`` where that is wrong.
        """
        height, width = size
        x, y = keypoints.points.T
        x = width - x if self.mirror else x
        y = height - y if self.upend else y
        if self.transpose:
            x, y = y, x
        if self.affine is not None:
            turn, (right, down) = radians(self.affine.degrees), self.affine.shift
            dx, dy = self.affine.scale * (x - width / 2), self.affine.scale * (y - height / 2)
            x = cos(turn) * dx - sin(turn) * dy + width / 2 + right
            y = sin(turn) * dx + cos(turn) * dy + height / 2 + down
        inside = (x >= 0) & (x <= width) & (y >= 0) & (y <= height)
        return Keypoints(np.stack([x, y], axis=1), keypoints.visible & inside)

    def _turned(self, picture: Tensor) -> Tensor:
        dims = [dim for dim, flip in ((-1, self.mirror), (-2, self.upend)) if flip]
        picture = picture.flip(dims)
        return (picture.mT if self.transpose else picture).contiguous()

    def _warped(self, picture: Tensor, *, kind: Literal["Image", "Mask"], fill: int) -> Tensor:
        if self.affine is None:
            return picture
        from torchvision import tv_tensors
        from torchvision.transforms import v2

        warped: Tensor = v2.functional.affine(
            getattr(tv_tensors, kind)(picture),
            angle=self.affine.degrees,
            translate=list(self.affine.shift),
            scale=self.affine.scale,
            shear=[0.0, 0.0],
            interpolation=v2.InterpolationMode.BILINEAR,  # of images; masks take the nearest
            fill=fill,
        )
        return warped.as_subclass(Tensor)


def draw_geometry(
    size: tuple[int, int],
    *,
    orientation: Orientation,
    rotation: float,
    translation: float,
    scale: tuple[float, float],
) -> Geometry:
    """Draw a change of place from torch's global random state.

    Args:
        size: (height, width) of the picture.
        orientation: which flips and quarter turns may come.
        rotation: largest turn either way, in degrees.
        translation: largest shift, as a share of height and width.
        scale: smallest and largest factor of size.
    """
    mirror, upend, transpose = (torch.rand(3) < 0.5).tolist()
    affine = None
    if (rotation, translation, scale) != (0, 0, (1, 1)):
        affine = Affine(
            degrees=_uniform(-rotation, rotation),
            shift=(
                round(_uniform(-translation * size[1], translation * size[1])),
                round(_uniform(-translation * size[0], translation * size[0])),
            ),
            scale=_uniform(*scale),
        )
    return Geometry(
        mirror=orientation != "fixed" and mirror,
        upend=orientation == "any" and upend,
        # With both flips, transposing gives all eight symmetries of a square.
        transpose=orientation == "any" and transpose and size[0] == size[1],
        affine=affine,
    )


def _uniform(low: float, high: float) -> float:
    return torch.empty(1).uniform_(low, high).item()
