"""The two loops of labelling that PyTorch has no fast operator for, compiled by Numba.

Everything else of a label map is matrix products. What is left would be bound by
memory if it were written as tensor operators: every one of them streams the hidden
map, or all members' logits, through the caches once more. Here both are done in one
pass over blocks that stay in the first two cache levels.

bfloat16 arrays come as uint16, which is how NumPy can hold them.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import njit, types
from numba.extending import overload
from numpy.typing import NDArray

__all__ = ["UNITS", "add_upsampled", "vote"]

# Casts to exact types. Numba's stubs call them signatures.
float32: Any = numba.float32
int32: Any = numba.int32
uint16: Any = numba.uint16
uint32: Any = numba.uint32
uintp: Any = numba.uintp

UNITS = 128
"""Hidden units of a block; a block's mixed rows of all levels fit the first cache level."""

# Pixels that are voted on side by side: a few vector registers of each quantity.
_PIXELS = 64


def _compiled(function: Callable[..., None]) -> Callable[..., None]:
    """Compile at the first call; later processes read the machine code from the disk."""
    # Reassociation and contraction alone: NaN and infinity keep their meaning.
    options: dict[str, Any] = {"nogil": True, "fastmath": {"contract", "reassoc", "nsz", "arcp"}}
    try:
        return njit(cache=True, error_model="numpy", **options)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return njit(error_model="numpy", **options)(function)  # type: ignore[no-any-return]


def _widened(x: Any) -> Any:
    """Return a stored value as float32."""


@overload(_widened, inline="always")
def _widened_for(x: Any) -> Callable[[Any], Any]:
    def same(x: Any) -> Any:
        return x

    def from_bfloat16(x: Any) -> Any:
        return np.uint32(uint32(x) << uint32(16)).view(np.float32)

    return same if isinstance(x, types.Float) else from_bfloat16


def _narrowed(x: Any, like: Any) -> Any:
    """Return a float32 as it is stored in an array of the type of `like`."""


@overload(_narrowed, inline="always")
def _narrowed_for(x: Any, like: Any) -> Callable[[Any, Any], Any]:
    def same(x: Any, like: Any) -> Any:
        return x

    def to_bfloat16(x: Any, like: Any) -> Any:
        bits = np.float32(x).view(np.uint32)
        # Round to nearest, ties to even.
        odd = uint32(uint32(bits >> uint32(16)) & uint32(1))
        return uint16(uint32(bits + uint32(0x7FFF) + odd) >> uint32(16))

    return same if isinstance(like.dtype, types.Float) else to_bfloat16


@_compiled
def add_upsampled(
    hidden: NDArray[Any],
    bias: NDArray[np.float32],
    floor: np.float32,
    projected: NDArray[Any],
    base: NDArray[np.int64],
    width: NDArray[np.int64],
    row_lower: NDArray[np.int64],
    row_upper: NDArray[np.int64],
    row_mix: NDArray[np.float32],
    column_lower: NDArray[np.int64],
    column_upper: NDArray[np.int64],
    column_mix: NDArray[np.float32],
    first_row: int,
    num_rows: int,
    left: int,
    num_columns: int,
) -> None:
    """Add the upsampled levels and the bias to the hidden units of a tile, in place.

    ``hidden = max(hidden + bias + sum_l bilinear(projected_l), floor)``

    Args:
        hidden: [rows x columns, H], H a multiple of `UNITS`; what the full-resolution
            levels give.
        bias: [H].
        floor: 0 for a ReLU, the lowest float32 for none.
        projected: [H / UNITS, Q, UNITS], the windows of all levels one behind the other,
            pixel by pixel.
        base: [L], where pixel (0, 0) of a level would lie in it; may be negative.
        width: [L], pixels of a level's row.
        row_lower: [L, T], upper source row of each target row; see `bilinear_taps`.
        row_upper: [L, T], lower source row.
        row_mix: [L, T], weight of the lower source row.
        column_lower: [L, S], and so on for columns; S is the number of columns.
        column_upper: [L, S].
        column_mix: [L, S].
        first_row: the target row of ``hidden[0]``.
        num_rows: rows of the tile.
        left: its first target column.
        num_columns: its columns.
    """
    levels = base.shape[0]
    right = left + num_columns
    stride = uintp(hidden.shape[1])
    units = uintp(UNITS)
    block = uintp(projected.shape[1]) * units
    out = hidden.reshape(-1)
    source = projected.reshape(-1)
    total = np.empty(UNITS, np.float32)
    start = np.empty(levels, np.int64)
    length = 0
    for level in range(levels):
        start[level] = length - column_lower[level, left]
        length += column_upper[level, right - 1] - column_lower[level, left] + 1
    line = np.empty(length * UNITS, np.float32)  # one row of every level, mixed
    # Unsigned indices: signed ones would be tested for being negative at every access.
    corner = uintp(0)
    for unit in range(uintp(0), stride, units):
        for row in range(first_row, first_row + num_rows):
            # 1. Mix two source rows of every level.
            to = uintp(0)
            for level in range(levels):
                begin = column_lower[level, left]
                upper, lower = row_lower[level, row], row_upper[level, row]
                a = corner + uintp(base[level] + begin + upper * width[level]) * units
                b = corner + uintp(base[level] + begin + lower * width[level]) * units
                mix = row_mix[level, row]
                values = uintp(column_upper[level, right - 1] - begin + 1) * units
                for h in range(values):
                    top = _widened(source[a + h])
                    line[to + h] = top + mix * (_widened(source[b + h]) - top)
                to += values
            # 2. Mix two columns of every level and add up, four levels at a time.
            for column in range(left, right):
                o = uintp((row - first_row) * num_columns + column - left) * stride + unit
                for h in range(units):
                    total[h] = _widened(out[o + h]) + bias[unit + h]
                level = 0
                while level + 3 < levels:
                    a0 = uintp(start[level] + column_lower[level, column]) * units
                    a1 = uintp(start[level] + column_upper[level, column]) * units
                    b0 = uintp(start[level + 1] + column_lower[level + 1, column]) * units
                    b1 = uintp(start[level + 1] + column_upper[level + 1, column]) * units
                    c0 = uintp(start[level + 2] + column_lower[level + 2, column]) * units
                    c1 = uintp(start[level + 2] + column_upper[level + 2, column]) * units
                    d0 = uintp(start[level + 3] + column_lower[level + 3, column]) * units
                    d1 = uintp(start[level + 3] + column_upper[level + 3, column]) * units
                    mix_a = column_mix[level, column]
                    mix_b = column_mix[level + 1, column]
                    mix_c = column_mix[level + 2, column]
                    mix_d = column_mix[level + 3, column]
                    for h in range(units):
                        x = line[a0 + h] + mix_a * (line[a1 + h] - line[a0 + h])
                        y = line[b0 + h] + mix_b * (line[b1 + h] - line[b0 + h])
                        z = line[c0 + h] + mix_c * (line[c1 + h] - line[c0 + h])
                        w = line[d0 + h] + mix_d * (line[d1 + h] - line[d0 + h])
                        total[h] += (x + y) + (z + w)
                    level += 4
                while level < levels:
                    a0 = uintp(start[level] + column_lower[level, column]) * units
                    a1 = uintp(start[level] + column_upper[level, column]) * units
                    mix_a = column_mix[level, column]
                    for h in range(units):
                        total[h] += line[a0 + h] + mix_a * (line[a1 + h] - line[a0 + h])
                    level += 1
                for h in range(units):
                    # `max` would hide NaN, which says that features overflowed.
                    x = floor if total[h] < floor else total[h]
                    out[o + h] = _narrowed(x, out)
        corner += block


@njit(inline="always")
def _exp(x: Any) -> Any:
    """Return e^x for x <= 0, to one unit in the last place; below -87 as at -87."""
    # 2^t = 2^n 2^f with a polynomial for 2^f, f in [0, 1), through Chebyshev nodes.
    t = max(x * float32(1.4426950408889634), float32(-126.0))
    n = np.floor(t)
    f = t - n
    p = float32(2.18775048e-04)
    p = p * f + float32(1.23878215e-03)
    p = p * f + float32(9.68458045e-03)
    p = p * f + float32(5.54804263e-02)
    p = p * f + float32(2.40230502e-01)
    p = p * f + float32(6.93146929e-01)
    p = p * f + float32(1.0)
    return p * np.int32((int32(n) + int32(127)) << int32(23)).view(np.float32)


@_compiled
def vote(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    divergence: NDArray[np.float32],
    mean_probability: NDArray[np.float32],
) -> None:
    """Combine the members as `combine_members` does, in one pass.

    Args:
        logits: [M, P, K].
        labels: [P], written.
        divergence: [P], written, in nats.
        mean_probability: [K, P], written; [0, 0] if nobody wants it.
    """
    members, pixels, classes = logits.shape
    # Class by pixel, so that neighbouring pixels share a vector register.
    t = np.zeros((classes, _PIXELS), np.float32)
    mean = np.empty((classes, _PIXELS), np.float32)
    votes = np.empty((classes, _PIXELS), np.int32)
    highest = np.empty(_PIXELS, np.float32)
    choice = np.empty(_PIXELS, np.int32)
    total = np.empty(_PIXELS, np.float32)
    moment = np.empty(_PIXELS, np.float32)
    negentropy = np.empty(_PIXELS, np.float32)  # sum of p ln p over classes and members
    share = float32(1.0 / members)
    for first in range(0, pixels, _PIXELS):
        count = min(_PIXELS, pixels - first)
        mean[:] = 0
        votes[:] = 0
        negentropy[:] = 0
        for m in range(members):
            for p in range(count):
                for k in range(classes):
                    t[k, p] = logits[m, first + p, k]
            for p in range(_PIXELS):
                highest[p] = t[0, p]
                choice[p] = 0
                total[p] = 0
                moment[p] = 0
            for k in range(1, classes):
                for p in range(_PIXELS):
                    higher = t[k, p] > highest[p]
                    highest[p] = t[k, p] if higher else highest[p]
                    choice[p] = int32(k) if higher else choice[p]
            for k in range(classes):
                for p in range(_PIXELS):
                    x = t[k, p] - highest[p]
                    e = _exp(x)
                    t[k, p] = e
                    total[p] += e
                    moment[p] += e * x
                    votes[k, p] += int32(choice[p] == k)
            for p in range(_PIXELS):
                negentropy[p] += moment[p] / total[p] - np.log(total[p])
                total[p] = float32(1.0) / total[p]
            for k in range(classes):
                for p in range(_PIXELS):
                    mean[k, p] += t[k, p] * total[p]
        for p in range(count):
            best = 0
            for k in range(1, classes):
                # Not >=: among the classes of most votes the lowest id wins.
                if votes[k, p] > votes[best, p]:
                    best = k
            labels[first + p] = best
            total[p] = 0
        for k in range(classes):
            for p in range(count):
                q = mean[k, p] * share
                if mean_probability.size:
                    mean_probability[k, first + p] = q
                if q > 0:
                    total[p] += q * np.log(q)
        for p in range(count):
            x = negentropy[p] * share - total[p]
            divergence[first + p] = float32(0.0) if x < 0 else x
