"""Adaptive augmentation written as its definition, in NumPy, for tests.

One image at a time: coordinates go through the inverse of every step in turn, the picture is
really padded and filled with zeros, and colours pass each formula by itself.
"""

from math import cos, floor, pi, sin, sqrt

import numpy as np
from numpy.typing import NDArray

from datasetgan.gan_training.augment.draws import TransformDraws
from datasetgan.gan_training.augment.sampling import SYM6, SYM6_CENTER

__all__ = ["apply_transforms"]

Array = NDArray[np.float64]


def apply_transforms(images: Array, draws: TransformDraws) -> Array:
    """Transform images [N, 1 or 3, S, S] as drawn; see `augment.apply_transforms`."""
    return np.stack([_transform(image, draws, i) for i, image in enumerate(images)])


def _transform(image: Array, draws: TransformDraws, i: int) -> Array:
    moved = _resample(image, draws, i) if draws.resampled[i] else _move_pixels(image, draws, i)
    # A grey picture is a colour picture of three equal channels.
    rgb = np.repeat(moved, 3 // len(moved), axis=0)
    return _recolor(rgb, draws, i)[: len(image)]


def _move_pixels(image: Array, draws: TransformDraws, i: int) -> Array:
    side = image.shape[1]
    if draws.flip[i]:
        image = image[:, :, ::-1]
    image = np.rot90(image, -int(draws.turn[i]), axes=(1, 2))
    right, down = (round(float(share) * side) for share in draws.shift[i])
    padded = np.pad(image, ((0, 0), (side, side), (side, side)), mode="reflect")
    return padded[:, side - down : 2 * side - down, side - right : 2 * side - right]


def _resample(image: Array, draws: TransformDraws, i: int) -> Array:
    side, filter_length = image.shape[1], len(SYM6)
    half = (side - 1) / 2
    # 1. Where each point of the doubled result comes from, in pixels of the source.
    count = 2 * side + filter_length - 2
    points = (np.arange(count) - SYM6_CENTER) / 2 - half
    source = np.array(
        [[_source(float(x), float(y), side, draws, i) for x in points] for y in points]
    )
    # 2. Reflect as far as any point reaches, double, read, halve.
    margin = max(0, floor(np.abs(source).max() - half) + 1) + filter_length
    where = (source + half + margin) * 2 + SYM6_CENTER
    channels = []
    for channel in image:
        doubled = _double(_double(np.pad(channel, margin, mode="reflect")).T).T
        read = _read_bilinearly(doubled, where[..., 0], where[..., 1])
        channels.append(_halve(_halve(read, side).T, side).T)
    return np.stack(channels)


def _source(x: float, y: float, side: int, draws: TransformDraws, i: int) -> tuple[float, float]:
    """Undo every step, the last one first, for a point measured from the centre."""
    x -= float(draws.translation[i, 0]) * side
    y -= float(draws.translation[i, 1]) * side
    x, y = _rotate(x, y, -float(draws.rotation_after[i]))
    x, y = x / float(draws.stretch[i]), y * float(draws.stretch[i])
    x, y = _rotate(x, y, -float(draws.rotation_before[i]))
    x, y = x / float(draws.scale[i]), y / float(draws.scale[i])
    x -= round(float(draws.shift[i, 0]) * side)
    y -= round(float(draws.shift[i, 1]) * side)
    x, y = _rotate(x, y, -float(draws.turn[i]) * pi / 2)
    return (-x if draws.flip[i] else x), y


def _rotate(x: float, y: float, angle: float) -> tuple[float, float]:
    return x * cos(angle) - y * sin(angle), x * sin(angle) + y * cos(angle)


def _double(rows: Array) -> Array:
    """Put a zero behind every value of each row, then filter with gain 2."""
    with_zeros = np.zeros((len(rows), 2 * rows.shape[1]))
    with_zeros[:, ::2] = rows
    taps = np.array(SYM6) * sqrt(2)
    return np.stack([np.convolve(row, taps) for row in with_zeros])


def _halve(rows: Array, side: int) -> Array:
    """Filter each row with the mirrored taps, then keep every second value."""
    taps = np.array(SYM6) / sqrt(2)
    return np.stack([np.convolve(row, taps[::-1], mode="valid")[::2][:side] for row in rows])


def _read_bilinearly(picture: Array, x: Array, y: Array) -> Array:
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right_share, lower_share = x - left, y - top
    upper = picture[top, left] * (1 - right_share) + picture[top, left + 1] * right_share
    lower = picture[top + 1, left] * (1 - right_share) + picture[top + 1, left + 1] * right_share
    read: Array = upper * (1 - lower_share) + lower * lower_share
    return read


def _recolor(rgb: Array, draws: TransformDraws, i: int) -> Array:
    grey = np.full(3, 1 / sqrt(3))[:, None, None]
    rgb = rgb + float(draws.brightness[i])
    rgb = rgb * float(draws.contrast[i])
    along = (rgb * grey).sum(axis=0, keepdims=True) * grey
    rgb = rgb - 2 * along * float(draws.luma_flip[i])
    # Rodrigues: v cos + (k x v) sin + k (k . v) (1 - cos)
    angle = float(draws.hue[i])
    along = (rgb * grey).sum(axis=0, keepdims=True) * grey
    turned = np.cross(grey[:, 0, 0], rgb, axisb=0, axisc=0)
    rgb = rgb * cos(angle) + turned * sin(angle) + along * (1 - cos(angle))
    luma = rgb.mean(axis=0, keepdims=True)
    recolored: Array = luma + (rgb - luma) * float(draws.saturation[i])
    return recolored
