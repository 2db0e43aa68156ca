"""Procedural photographs of machined parts, with exact masks: a second domain to measure on.

One part (washer, hex nut or square plate) lies on a table of cloth, wood or sheet metal, lit
from one side. Classes cannot be read off the colour: metals and tables share their colours,
the bore shows the table in shadow, the bevel is bright on one side and dark on the other, and
stains are on parts and on tables. Every photograph is fixed by its seed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CLASSES", "SIDE", "photos"]

CLASSES = ("table", "face", "bevel", "bore", "stain")
SIDE = 32

_FINE = 5  # sub-pixels per pixel and axis
_TABLE, _FACE, _BEVEL, _BORE, _STAIN = range(5)
# Metals and tables take the same colours, in [0, 1].
_COLORS = np.array(
    [
        [0.62, 0.63, 0.65],  # steel
        [0.42, 0.44, 0.47],  # dark steel
        [0.74, 0.62, 0.38],  # brass, pine
        [0.66, 0.43, 0.33],  # copper, cherry
        [0.38, 0.45, 0.58],  # blued steel, cloth
        [0.45, 0.55, 0.47],  # green coat, cloth
    ],
    dtype=np.float32,
)
_RUST = np.array([0.33, 0.19, 0.11], dtype=np.float32)

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class _Part:
    """Where a part lies; lengths in pixels of the photograph.

    Attributes:
        corners: of the outline: 0 is round, else a regular polygon.
        radius: from the centre to the middle of a side.
        bevel: width of the bevel within the outline.
        bore: radius of the bore.
    """

    corners: int
    x: float
    y: float
    angle: float
    radius: float
    bevel: float
    bore: float


def photos(count: int, *, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw photographs and their exact masks.

    A mask's pixel is the class that covers most of it.

    Args:
        count: how many.
        seed: of all; the first photographs of a longer series are those of a shorter one.

    Returns:
        [count, 32, 32, 3] RGB and [count, 32, 32] class ids.
    """
    pictures = np.empty((count, SIDE, SIDE, 3), dtype=np.uint8)
    masks = np.empty((count, SIDE, SIDE), dtype=np.uint8)
    for i in range(count):
        pictures[i], masks[i] = _photo(np.random.RandomState(np.random.MT19937([seed, i])))
    return pictures, masks


def _photo(random: np.random.RandomState) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    part = _draw_part(random)
    light = random.uniform(0, 2 * np.pi)
    toward = np.array([np.cos(light), np.sin(light)], dtype=np.float32)
    x, y = _grid()
    outline = _distance(part, x, y)
    from_bore = np.hypot(x - part.x, y - part.y) - part.bore

    # --- what lies where
    on_part = (outline < 0) & (from_bore > 0)
    stains = _stains(part, random, x, y)
    classes = np.full(x.shape, _TABLE, dtype=np.uint8)
    classes[outline < 0] = _FACE
    classes[(outline < 0) & (outline > -part.bevel)] = _BEVEL
    classes[(outline < 0) & (from_bore <= 0)] = _BORE
    classes[on_part & stains] = _STAIN

    # --- what it looks like, before the camera
    table_color, metal_color = _COLORS[random.randint(len(_COLORS), size=2)]
    table_color = table_color * np.float32(random.uniform(0.75, 1.15))
    table = table_color * _table_grain(random, x, y)[..., None]
    # The part stands between the light and what lies behind it.
    reach = random.uniform(1.3, 2.3)
    behind = _distance(part, x + reach * toward[0], y + reach * toward[1])
    table *= (1 - 0.5 * _soft(-behind, 1.5))[..., None]
    # The wall of the bore shades the side that is next to the light.
    deep = np.hypot(x - part.x + reach * toward[0], y - part.y + reach * toward[1]) - part.bore
    bore = table_color * (0.95 - 0.55 * _soft(deep, 1.5))[..., None]

    metal = metal_color * np.float32(random.uniform(0.8, 1.15))
    face = metal * _metal_grain(part, random, x, y)[..., None]
    slope = _slope(outline, toward)
    bevel = metal * (1.0 + 0.42 * slope)[..., None]
    rust = _RUST * np.float32(random.uniform(0.8, 1.3))
    surface = np.select(
        [(classes == name)[..., None] for name in (_FACE, _BEVEL, _BORE)],
        [face, bevel, bore],
        table,
    )
    surface = np.where(stains[..., None] & (classes != _BORE)[..., None], rust, surface)

    # --- the camera
    lit = 1.0 + 0.16 * (toward[0] * (x / SIDE - 0.5) + toward[1] * (y / SIDE - 0.5))
    tint = random.uniform(0.94, 1.06, size=3).astype(np.float32)
    picture = _pixels(surface * lit[..., None] * tint * random.uniform(0.85, 1.12))
    picture = _blur(picture, random.uniform(0.0, 0.35))
    picture = picture + random.normal(0, random.uniform(0.004, 0.018), size=picture.shape)
    shares = [_pixels((classes == name)[..., None].astype(np.float32)) for name in range(5)]
    mask = np.concatenate(shares, axis=-1).argmax(axis=-1)
    return (np.clip(picture, 0, 1) * 255).round().astype(np.uint8), mask.astype(np.uint8)


def _draw_part(random: np.random.RandomState) -> _Part:
    corners = int(random.choice([0, 6, 4]))
    # A square of the same reach is narrower.
    radius = random.uniform(9.5, 13) * (0.84 if corners == 4 else 1.0)
    return _Part(
        corners=corners,
        x=SIDE / 2 + random.uniform(-2, 2),
        y=SIDE / 2 + random.uniform(-2, 2),
        angle=random.uniform(0, 2 * np.pi),
        radius=radius,
        bevel=random.uniform(1.8, 2.8),
        bore=radius * random.uniform(0.3, 0.48),
    )


def _grid() -> tuple[Plane, Plane]:
    steps = (np.arange(SIDE * _FINE, dtype=np.float32) + 0.5) / _FINE
    return np.meshgrid(steps, steps)


def _distance(part: _Part, x: Plane, y: Plane) -> Plane:
    """Return how far a point lies outside the outline; negative inside."""
    x, y = x - part.x, y - part.y
    away = np.hypot(x, y)
    if part.corners == 0:
        return (away - part.radius).astype(np.float32)
    angle = np.arctan2(y, x) - part.angle
    sector = 2 * np.pi / part.corners
    side = away * np.cos((angle + sector / 2) % sector - sector / 2) - part.radius
    # Corners are cut off round.
    cut = 1.09 if part.corners == 6 else 1.25
    return np.maximum(side, away - cut * part.radius).astype(np.float32)


def _slope(outline: Plane, toward: NDArray[np.float32]) -> Plane:
    """Return how far the bevel faces the light, in [-1, 1]."""
    down_y, down_x = np.gradient(outline)
    length = np.hypot(down_x, down_y) + 1e-6
    return -(down_x * toward[0] + down_y * toward[1]) / length


def _stains(part: _Part, random: np.random.RandomState, x: Plane, y: Plane) -> NDArray[np.bool_]:
    """Return where rust is: often on the part, sometimes on the table."""
    stained = np.zeros(x.shape, dtype=bool)
    middle = (part.radius + part.bore) / 2
    for likely, nearest, farthest in ((0.65, 0.9 * middle, 1.1 * middle), (0.35, 15.0, 19.0)):
        there, angle = random.uniform() < likely, random.uniform(0, 2 * np.pi)
        away = random.uniform(nearest, farthest)
        radius = random.uniform(1.8, 3.0)
        wave, bump = random.uniform(0, 2 * np.pi, size=2)
        ragged_by = random.uniform(0.05, 0.2, size=2)
        if not there:
            continue
        dx = x - part.x - away * np.cos(angle)
        dy = y - part.y - away * np.sin(angle)
        turn = np.arctan2(dy, dx)
        ragged = ragged_by[0] * np.sin(2 * turn + wave) + ragged_by[1] * np.sin(3 * turn + bump)
        stained |= np.hypot(dx, dy) < radius * (1 + ragged)
    return stained


def _table_grain(random: np.random.RandomState, x: Plane, y: Plane) -> Plane:
    """Return a table's brightness, about 1: wood, cloth, or sheet metal."""
    kind, angle = random.randint(3), random.uniform(0, np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    phase = random.uniform(0, 2 * np.pi, size=3)
    if kind == 0:
        rings = across + 1.2 * np.sin(along / 7 + phase[0]) + 0.8 * np.sin(along / 4 + phase[1])
        grain = 1 + 0.13 * np.sin(rings * 2 * np.pi / random.uniform(5, 8) + phase[2])
    elif kind == 1:
        width = 2 * np.pi / random.uniform(4.5, 6)
        grain = 1 + 0.09 * (np.sin(along * width + phase[0]) + np.sin(across * width + phase[1]))
    else:
        grain = 1 + 0.1 * np.sin(along / random.uniform(4, 7) + phase[0])
    return grain.astype(np.float32)


def _metal_grain(part: _Part, random: np.random.RandomState, x: Plane, y: Plane) -> Plane:
    """Return a face's brightness, about 1: turned on a lathe, or brushed."""
    phase, angle = random.uniform(0, 2 * np.pi, size=2)
    if random.uniform() < 0.5:
        turn = np.arctan2(y - part.y, x - part.x)
        grain = 1.05 + 0.2 * np.cos(2 * (turn - angle))
    else:
        across = y * np.cos(angle) - x * np.sin(angle)
        grain = 1 + 0.07 * np.sin(across * 2 * np.pi / 4 + phase) + 0.1 * np.sin(across / 4)
    return grain.astype(np.float32)


def _soft(inside: Plane, width: float) -> Plane:
    """Return 0 outside and 1 inside, with an edge as wide as told."""
    return np.clip(inside / width + 0.5, 0, 1)


def _pixels(fine: Plane) -> Plane:
    """Average sub-pixels: [H * 5, W * 5, C] -> [H, W, C]."""
    blocks = fine.reshape(SIDE, _FINE, SIDE, _FINE, -1)
    return blocks.mean(axis=(1, 3), dtype=np.float32)


def _blur(picture: Plane, share: float) -> Plane:
    """Give `share` of every pixel to its neighbours, half of it along each axis."""
    for axis in (0, 1):
        padded = np.pad(picture, [(int(a == axis), int(a == axis)) for a in range(3)], "edge")
        before, after = (
            np.take(padded, range(SIDE), axis),
            np.take(padded, range(2, SIDE + 2), axis),
        )
        picture = (1 - share / 2) * picture + share / 4 * (before + after)
    return picture
