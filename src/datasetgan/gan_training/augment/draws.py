"""What adaptive augmentation draws for each image, and the matrices that come of it.

The transformations, their order and their distributions are those of Karras et
al. 2020b ("Training generative adversarial networks with limited data", app. B,
the set named "bgc": pixel blitting, general geometry, colour).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, log, pi, sqrt
from typing import Literal, get_args

import torch
from torch import Tensor

from datasetgan.errors import UsageError, unknown_name

__all__ = [
    "ALL_TRANSFORMS",
    "Transform",
    "TransformDraws",
    "color_matrices",
    "draw_transforms",
    "source_matrices",
]

Transform = Literal[
    "flip",
    "turn",
    "shift",
    "scale",
    "rotation",
    "stretch",
    "translation",
    "brightness",
    "contrast",
    "luma_flip",
    "hue",
    "saturation",
]
"""Mirror left-right; quarter turns; whole-pixel shift; size; any rotation; ratio of width to
height; shift by fractions of a pixel; then the colours."""

ALL_TRANSFORMS: tuple[Transform, ...] = get_args(Transform)

_OCTAVE = log(2)


@dataclass(frozen=True)
class TransformDraws:
    """One value per image and transformation, float64 on the CPU; neutral where it is off.

    Attributes:
        flip: [N], 1 mirrors left-right, else 0.
        turn: [N], clockwise quarter turns, 0 to 3.
        shift: [N, 2], to the right and down, as a share of the side, -0.125 to 0.125; the
            move is rounded to whole pixels.
        scale: [N], factor of size.
        rotation_before: [N], radians clockwise, before the stretch.
        stretch: [N], factor of width; the height takes its inverse.
        rotation_after: [N], radians clockwise.
        translation: [N, 2], to the right and down, as a share of the side.
        brightness: [N], added to all channels.
        contrast: [N], factor on all channels.
        luma_flip: [N], 1 inverts the brightness and keeps the hue, else 0.
        hue: [N], radians about the grey axis.
        saturation: [N], factor on the distance from the grey axis.
    """

    flip: Tensor
    turn: Tensor
    shift: Tensor
    scale: Tensor
    rotation_before: Tensor
    stretch: Tensor
    rotation_after: Tensor
    translation: Tensor
    brightness: Tensor
    contrast: Tensor
    luma_flip: Tensor
    hue: Tensor
    saturation: Tensor

    @property
    def resampled(self) -> Tensor:
        """[N] bool: images whose geometry no copying of whole pixels can make."""
        turned = (self.rotation_before != 0) | (self.rotation_after != 0)
        moved = (self.translation != 0).any(dim=1)
        return turned | moved | (self.scale != 1) | (self.stretch != 1)


def draw_transforms(
    batch: int,
    *,
    probability: float,
    generator: torch.Generator,
    transforms: Sequence[Transform] = ALL_TRANSFORMS,
) -> TransformDraws:
    """Draw every transformation of every image, each on with the given probability.

    The two rotations are each on with 1 - sqrt(1 - p), so that an image is rotated with
    probability p. The same numbers are drawn whatever `transforms` holds.

    Args:
        batch: number of images.
        probability: 0 to 1.
        generator: on the CPU, so that every device gets the same transformations.
        transforms: those that are allowed.

    Raises:
        UsageError: the probability is out of range, or a name is unknown.
    """
    if not (isfinite(probability) and 0 <= probability <= 1):
        raise UsageError(f"augmentation probability must be within 0 to 1, got {probability}.")
    for name in transforms:
        if name not in ALL_TRANSFORMS:
            raise UsageError(unknown_name("augmentation", name, ALL_TRANSFORMS))
    gates = torch.rand(batch, 13, generator=generator, dtype=torch.float64)
    u = torch.rand(batch, 8, generator=generator, dtype=torch.float64)
    z = torch.randn(batch, 7, generator=generator, dtype=torch.float64)
    rotation_probability = 1 - sqrt(1 - probability)

    def gate(name: Transform, column: int) -> Tensor:
        chance = rotation_probability if name == "rotation" else probability
        return (gates[:, column] < chance) & (name in transforms)

    def pick(name: Transform, column: int, values: Tensor, neutral: float = 0.0) -> Tensor:
        on = gate(name, column)
        return torch.where(on if values.ndim == 1 else on[:, None], values, neutral)

    return TransformDraws(
        flip=pick("flip", 0, (u[:, 0] * 2).floor()),
        turn=pick("turn", 1, (u[:, 1] * 4).floor()),
        shift=pick("shift", 2, (u[:, 2:4] * 2 - 1) * 0.125),
        scale=pick("scale", 3, (z[:, 0] * (0.2 * _OCTAVE)).exp(), 1.0),
        rotation_before=pick("rotation", 4, (u[:, 4] * 2 - 1) * pi),
        stretch=pick("stretch", 5, (z[:, 1] * (0.2 * _OCTAVE)).exp(), 1.0),
        rotation_after=pick("rotation", 6, (u[:, 5] * 2 - 1) * pi),
        translation=pick("translation", 7, z[:, 2:4] * 0.125),
        brightness=pick("brightness", 8, z[:, 4] * 0.2),
        contrast=pick("contrast", 9, (z[:, 5] * (0.5 * _OCTAVE)).exp(), 1.0),
        luma_flip=pick("luma_flip", 10, (u[:, 6] * 2).floor()),
        hue=pick("hue", 11, (u[:, 7] * 2 - 1) * pi),
        saturation=pick("saturation", 12, (z[:, 6] * _OCTAVE).exp(), 1.0),
    )


def source_matrices(draws: TransformDraws, side: int) -> Tensor:
    """Return the matrices [N, 3, 3] that tell where each pixel of the result comes from.

    They act on (x, y, 1) in pixels, x to the right and y down, from the picture's centre:
    the inverses of all geometric transformations in one.

    Args:
        side: height and width in pixels.
    """
    # The inverse of "first, second, ..." is first^-1 second^-1 ..., from left to right.
    matrix = _diagonal(1 - 2 * draws.flip, torch.ones_like(draws.flip))
    matrix = matrix @ _quarter_turn(-draws.turn)
    matrix = matrix @ _translation(-(draws.shift * side).round())
    matrix = matrix @ _diagonal(1 / draws.scale, 1 / draws.scale)
    matrix = matrix @ _rotation(-draws.rotation_before)
    matrix = matrix @ _diagonal(1 / draws.stretch, draws.stretch)
    matrix = matrix @ _rotation(-draws.rotation_after)
    return matrix @ _translation(-draws.translation * side)


def color_matrices(draws: TransformDraws) -> Tensor:
    """Return the matrices [N, 3, 4] that map (red, green, blue, 1) to the new colours."""
    n = len(draws.brightness)
    grey = torch.full((3, 1), 1 / sqrt(3), dtype=torch.float64)
    axis = grey @ grey.t()  # projects onto the grey axis
    identity = torch.eye(3, dtype=torch.float64)
    # 1. Brightness is added, contrast multiplies both parts.
    linear = identity.expand(n, 3, 3) * _last(draws.contrast)
    offset = _last(draws.brightness * draws.contrast).expand(n, 3, 1)
    # 2. Mirror the grey axis.
    mirror = identity - 2 * axis * _last(draws.luma_flip)
    linear, offset = mirror @ linear, mirror @ offset
    # 3. Rotate about the grey axis (Rodrigues' formula). The offset lies on it and stays.
    k = 1 / sqrt(3)
    cross = torch.tensor([[0, -k, k], [k, 0, -k], [-k, k, 0]], dtype=torch.float64)
    cosine, sine = _last(draws.hue.cos()), _last(draws.hue.sin())
    linear = (identity * cosine + cross * sine + axis * (1 - cosine)) @ linear
    # 4. Scale what is off the axis.
    linear = (axis + (identity - axis) * _last(draws.saturation)) @ linear
    matrix = torch.cat([linear, offset], dim=2)  # [N34]
    # Sums of rounded thirds are one only nearly: without a change, say exactly none.
    changed = (draws.brightness != 0) | (draws.contrast != 1) | (draws.luma_flip != 0)
    changed |= (draws.hue != 0) | (draws.saturation != 1)
    return torch.where(_last(changed), matrix, torch.eye(3, 4, dtype=torch.float64))


def _last(x: Tensor) -> Tensor:
    return x[:, None, None]


def _matrix(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    matrix = torch.eye(3, dtype=torch.float64).repeat(len(a), 1, 1)
    matrix[:, 0, 0], matrix[:, 0, 1], matrix[:, 1, 0], matrix[:, 1, 1] = a, b, c, d
    return matrix


def _diagonal(x: Tensor, y: Tensor) -> Tensor:
    return _matrix(x, torch.zeros_like(x), torch.zeros_like(x), y)


def _rotation(angle: Tensor) -> Tensor:
    return _matrix(angle.cos(), -angle.sin(), angle.sin(), angle.cos())


def _quarter_turn(turns: Tensor) -> Tensor:
    # Whole numbers, which cosines of multiples of pi / 2 are not.
    cosine = torch.tensor([1.0, 0.0, -1.0, 0.0], dtype=torch.float64)
    c, s = cosine[turns.long() % 4], cosine[(turns.long() - 1) % 4]
    return _matrix(c, -s, s, c)


def _translation(move: Tensor) -> Tensor:
    matrix = torch.eye(3, dtype=torch.float64).repeat(len(move), 1, 1)
    matrix[:, :2, 2] = move
    return matrix
