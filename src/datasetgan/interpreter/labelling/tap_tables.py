"""Which source pixels every tile of an area reads, and with what bilinear weight.

The labelling kernel interpolates all levels at once, as one product of matrices per
tile. Its left operand, [pixels, taps], is an outer product of rows and columns: only
its factors are tabulated, a few megabytes for the largest pictures.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from datasetgan.features.reading import bilinear_taps
from datasetgan.interpreter.labelling.base import Area

__all__ = ["TAP_BLOCK", "TILE_SIDE", "Axis", "Band", "Plan", "plan_area"]

TILE_SIDE = 8
"""Pixels of a tile along each axis."""

TAP_BLOCK = 32
"""Taps that are multiplied at a time; tables are padded to a multiple of it."""


@dataclass(frozen=True, eq=False)
class Axis:
    """The taps of every tile along one axis.

    Attributes:
        index: [tiles, taps] int32. A row's and a column's index add up to a cell.
        mix: [tiles * TILE_SIDE, taps] float32, how much a pixel takes of a tap. A row's
            and a column's weight multiply to a bilinear weight; 0 for padding.
    """

    index: Tensor
    mix: Tensor


@dataclass(frozen=True, eq=False)
class Band:
    """Some rows of the area, and the part of every level that they read.

    Cells are the pixels of those parts in one list, level after level; a level of the
    grid's own size comes last and has no taps.

    Attributes:
        rows: of the area.
        windows: rows and columns of each level.
        full_base: the first cell of the level of the grid's size.
        axis: the taps of the tiles' rows.
    """

    rows: slice
    windows: tuple[tuple[slice, slice], ...]
    full_base: int
    axis: Axis


@dataclass(frozen=True, eq=False)
class Plan:
    """How one area is labelled.

    Attributes:
        has_full: whether the last level has the grid's size.
        bands: from top to bottom.
        columns: the taps of the tiles' columns, the same for all bands.
        max_cells: of one band.
    """

    has_full: bool
    bands: tuple[Band, ...]
    columns: Axis
    max_cells: int


@lru_cache(maxsize=8)
def plan_area(
    grids: tuple[tuple[int, int], ...], area: Area, *, rows: int, device: torch.device
) -> Plan:
    """Plan an area; the last plans are kept, as one project's pictures are all alike.

    Args:
        grids: (height, width) of each level, no two alike; that of the area's grid last,
            if a level has it.
        area: what to label; its tiles begin at its corner.
        rows: of a band; rounded down to whole tiles, one at least.
        device: of the tables.
    """
    has_full = grids[-1] == area.size
    coarse = grids[: len(grids) - has_full]
    down = [_AxisTaps.of(height, area.size[0], area.rows) for height, _ in coarse]
    across = [_AxisTaps.of(width, area.size[1], area.columns) for _, width in coarse]
    window_columns = [_reach(taps.source) for taps in across]
    columns = [
        (
            (taps.source - window.start)[:, None, :].expand(-1, other.count, -1).flatten(1),
            taps.mix.repeat(1, other.count),
        )
        for taps, window, other in zip(across, window_columns, down, strict=True)
    ]
    step = max(1, rows // TILE_SIDE) * TILE_SIDE
    bands = []
    max_cells = 0
    for top in range(0, area.height, step):
        part = slice(top, min(top + step, area.height))
        tiles = slice(top // TILE_SIDE, -(-part.stop // TILE_SIDE))
        windows, entries, cells = [], [], 0
        for taps, other, beside in zip(down, across, window_columns, strict=True):
            source = taps.source[tiles]  # [tiles, R]
            window, width = _reach(source), beside.stop - beside.start
            index = cells + (source - window.start) * width
            mix = taps.mix[part.start : tiles.stop * TILE_SIDE]
            entries.append(
                (
                    index.repeat_interleave(other.count, dim=1),  # [tiles, R * S]
                    mix.repeat_interleave(other.count, dim=1),
                )
            )
            windows.append((window, beside))
            cells += (window.stop - window.start) * width
        full_base = cells
        if has_full:
            windows.append((slice(area.top + part.start, area.top + part.stop), area.columns))
            cells += (part.stop - part.start) * area.width
        tile_count = tiles.stop - tiles.start
        bands.append(Band(part, tuple(windows), full_base, _axis(entries, tile_count, device)))
        max_cells = max(max_cells, cells)
    across_tiles = -(-area.width // TILE_SIDE)
    return Plan(has_full, tuple(bands), _axis(columns, across_tiles, device), max_cells)


@dataclass(frozen=True, eq=False)
class _AxisTaps:
    """One level along one axis.

    Attributes:
        source: [tiles, S] int64, source pixels that a tile reads, as many for every
            tile; those beyond the last pixel repeat it with weight 0.
        mix: [tiles * TILE_SIDE, S] float64.
    """

    source: Tensor
    mix: Tensor

    @classmethod
    def of(cls, length: int, size: int, part: slice) -> "_AxisTaps":
        tiles = -(-(part.stop - part.start) // TILE_SIDE)
        # Pixels beyond the area's edge repeat the last one; they are never written.
        pixel = (part.start + torch.arange(tiles * TILE_SIDE)).clamp(max=part.stop - 1)
        lower, upper, mix = (
            tap[pixel].view(tiles, TILE_SIDE) for tap in bilinear_taps(length, size)
        )
        first = lower[:, :1]
        count = int((upper[:, -1:] - first).max()) + 1
        source = first + torch.arange(count)  # [tiles, S]
        read = source[:, None, :]
        # Added: both taps may be the same pixel, whose weight is then one.
        weight = (read == lower[..., None]) * (1 - mix)[..., None]
        weight = weight + (read == upper[..., None]) * mix[..., None]
        return cls(source.clamp(max=length - 1), weight.flatten(0, 1))

    @property
    def count(self) -> int:
        return self.source.shape[1]


def _reach(source: Tensor) -> slice:
    """Return the source pixels from the first to the last one that tiles read."""
    return slice(int(source.min()), int(source.max()) + 1)


def _axis(entries: list[tuple[Tensor, Tensor]], tiles: int, device: torch.device) -> Axis:
    """Join the levels' taps and pad them to whole blocks."""
    index = torch.zeros(tiles, 0, dtype=torch.int64)
    mix = torch.zeros(tiles * TILE_SIDE, 0, dtype=torch.float64)
    index = torch.cat([index, *(own for own, _ in entries)], dim=1)
    mix = torch.cat([mix, *(own for _, own in entries)], dim=1)
    padding = (0, -index.shape[1] % TAP_BLOCK)
    # Padding reads the first cell with weight 0.
    index = torch.nn.functional.pad(index, padding)
    mix = torch.nn.functional.pad(mix, padding)
    return Axis(index.to(device, torch.int32), mix.to(device, torch.float32))
