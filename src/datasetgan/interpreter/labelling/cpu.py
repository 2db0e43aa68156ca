"""Label maps on the CPU: matrix products of PyTorch, two compiled loops between them.

A picture is worked on in bands of rows, one per thread at a time. The stacked first
layers of all members project the source rows of every level at its own resolution; then,
for one tile of pixels after the other,

1. the levels of full resolution are multiplied (matrix product),
2. the others are upsampled, added, and go through the ReLU (`cpu_kernels.add_upsampled`),
3. the remaining layers follow (batched matrix products),
4. the members vote (`cpu_kernels.vote`).

So hidden units exist for one tile at a time, which stays in the second cache level.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from threading import Barrier, Lock
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from datasetgan.features.reading import bilinear_taps
from datasetgan.interpreter.ensemble.folded import FoldedHead, FoldedLayer
from datasetgan.interpreter.labelling import cpu_kernels
from datasetgan.interpreter.labelling.base import Area, LabelMaps, TakeOutputs, Tile

__all__ = ["PreparedHead", "label_on_cpu", "outputs_on_cpu", "prepare_head"]

# Rows of a band: the fewer, the more source rows of coarse levels are projected twice.
_BAND_ROWS = 64
# Bytes of a band's projected source rows, per thread.
_BAND_BYTES = 64 << 20
# Bytes of a tile's hidden units: what a second cache level holds beside the weights.
_TILE_BYTES = 5 << 18
_TILE_COLUMNS = 64
_NO_FLOOR = float(np.finfo(np.float32).min)


@dataclass(frozen=True, eq=False)
class PreparedHead:
    """A folded head laid out for matrix products.

    Attributes:
        weights: per level [C_l, U], U the hidden units of all members, padded.
        bias: [U].
        units: hidden units without the padding.
        head: the layers behind them.
    """

    weights: tuple[Tensor, ...]
    bias: NDArray[np.float32]
    units: int
    head: FoldedHead

    @property
    def dtype(self) -> torch.dtype:
        """Type of the products, float32 or bfloat16."""
        return self.weights[0].dtype


def prepare_head(head: FoldedHead, channels: Sequence[int], *, dtype: torch.dtype) -> PreparedHead:
    """Lay out a head's weights.

    Args:
        head: on the CPU.
        channels: of the levels, in the order of the head's columns.
        dtype: of the products, but for the last layer's: in bfloat16 it would round
            close classes together.
    """
    units = len(head.first_bias)
    padding = (0, -units % cpu_kernels.UNITS)
    weight = F.pad(head.first_weight.to(dtype), (0, 0, *padding))  # [U, C]
    types = [dtype] * (len(head.layers) - 1) + [torch.float32]
    layers = tuple(
        FoldedLayer(layer.weight.to(kind), layer.bias.to(kind))
        for layer, kind in zip(head.layers, types, strict=False)
    )
    return PreparedHead(
        tuple(w.T.contiguous() for w in torch.split(weight, list(channels), dim=1)),
        F.pad(head.first_bias.float(), padding).numpy(),
        units,
        FoldedHead(head.num_members, weight[:0], head.first_bias, layers),
    )


@dataclass(frozen=True, eq=False)
class _Axis:
    """Taps along one axis of every grid, for targets from -halo to the area's end + halo."""

    lower: NDArray[np.int64]  # [G, T]
    upper: NDArray[np.int64]
    mix: NDArray[np.float32]

    @classmethod
    def of(cls, lengths: Sequence[int], size: int, *, targets: slice, halo: int) -> "_Axis":
        # A head that reads neighbours sees the picture's edge repeated.
        wanted = torch.arange(targets.start - halo, targets.stop + halo).clamp(0, size - 1)
        lower = np.empty((len(lengths), len(wanted)), dtype=np.int64)
        upper, mix = np.empty_like(lower), np.empty(lower.shape, dtype=np.float32)
        for i, length in enumerate(lengths):
            lower[i], upper[i], mix[i] = (tap[wanted] for tap in bilinear_taps(length, size))
        return cls(lower, upper, mix)


@dataclass(frozen=True, eq=False)
class _Plan:
    """Which levels lie on the grid of the labels, and which have to be upsampled to it."""

    area: Area
    direct: tuple[int, ...]
    grids: tuple[tuple[int, int], ...]  # (height, width), each of one or more levels
    levels: tuple[tuple[int, ...], ...]  # on each grid
    rows: _Axis
    columns: _Axis
    band: int  # rows worked on at a time


def _plan(sizes: Sequence[tuple[int, int]], area: Area, *, halo: int, pixel_bytes: int) -> _Plan:
    grids = tuple(dict.fromkeys(size for size in sizes if size != area.size))
    heights, widths = [h for h, _ in grids], [w for _, w in grids]
    source_pixels = sum(h * w for h, w in grids) / area.size[0]  # per row of the label map
    return _Plan(
        area,
        direct=tuple(i for i, size in enumerate(sizes) if size == area.size),
        grids=grids,
        levels=tuple(tuple(i for i, size in enumerate(sizes) if size == grid) for grid in grids),
        rows=_Axis.of(heights, area.size[0], targets=area.rows, halo=halo),
        columns=_Axis.of(widths, area.size[1], targets=area.columns, halo=halo),
        band=max(1, min(_BAND_ROWS, int(_BAND_BYTES / max(1, pixel_bytes * source_pixels)))),
    )


def label_on_cpu(
    images: Sequence[Sequence[Tensor]],
    head: PreparedHead,
    area: Area,
    *,
    out: LabelMaps,
    threads: int,
) -> None:
    """Label images: `outputs_on_cpu`, then the members' vote into `out`."""
    outputs_on_cpu(images, head, area, take=partial(_vote, out), threads=threads)


def outputs_on_cpu(
    images: Sequence[Sequence[Tensor]],
    head: PreparedHead,
    area: Area,
    *,
    take: TakeOutputs,
    threads: int,
) -> None:
    """Compute all members' outputs, tile by tile.

    An image's result depends neither on its neighbours in the batch nor on `threads`.

    Args:
        images: of each its levels [C_l, h_l, w_l], on the CPU, none finer than the grid
            of `area`.
        head: as `prepare_head` lays it out.
        area: what to compute.
        take: called once for every tile.
        threads: bands worked on at a time; memory grows with them.
    """
    plan = _plan(
        [(t.shape[1], t.shape[2]) for t in images[0]],
        area,
        halo=head.head.halo,
        pixel_bytes=len(head.bias) * head.weights[0].element_size(),
    )
    tops = range(0, area.height, plan.band)
    tasks = iter([(n, top) for n in range(len(images)) for top in tops])
    lock = Lock()

    def work() -> None:
        worker = _Worker(plan, head)
        while True:
            with lock:
                task = next(tasks, None)
            if task is None:
                return
            n, top = task
            for tile, outputs in worker.outputs(images[n], top):
                take(n, tile, outputs)

    if threads == 1:
        work()
        return
    for done in [_pool(threads).submit(torch.inference_mode()(work)) for _ in range(threads)]:
        done.result()


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    """Return threads whose matrix products do not start threads of their own."""
    everyone = Barrier(threads + 1)

    def begin() -> None:
        torch.get_num_threads()  # a thread's first use of the setting takes the latest over
        torch.set_num_threads(1)
        everyone.wait()

    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="datasetgan-labels", initializer=begin)
    for _ in range(threads):
        pool.submit(lambda: None)
    everyone.wait()
    # The setting belongs to the thread that makes it, but new threads inherit the last one.
    torch.set_num_threads(before)
    return pool


class _Worker:
    """One thread's arrays, used for band after band."""

    def __init__(self, plan: _Plan, prepared: PreparedHead) -> None:
        self.plan, self.prepared, self.halo = plan, prepared, prepared.head.halo
        # Multiplied as one: every product passes over its result.
        self.weights = [
            torch.cat([prepared.weights[i] for i in of_grid]) for of_grid in plan.levels
        ]
        direct = [prepared.weights[i] for i in plan.direct]
        self.direct = torch.cat(direct) if direct else None  # [C, U]
        units, area = len(prepared.bias), plan.area
        pixels = max(1, _TILE_BYTES // (units * prepared.weights[0].element_size()))
        self.columns = min(_TILE_COLUMNS * (1 + self.halo), area.width)
        # What a neighbourhood needs beyond its tile is computed twice: larger tiles then.
        self.rows = max(1, pixels * (1 + 3 * self.halo) // self.columns)
        most = max(
            sum((end - first) * width for (first, end), width in self._windows(top))
            for top in range(0, area.height, plan.band)
        )
        self.projected = torch.empty(max(most, 1) * units, dtype=prepared.dtype)
        tile = (min(self.rows, plan.band) + 2 * self.halo) * (self.columns + 2 * self.halo)
        self.hidden = torch.empty(tile * units, dtype=prepared.dtype)

    def _windows(self, top: int) -> list[tuple[tuple[int, int], int]]:
        """Return of every grid the source rows [first, end) that a band reads, and its width."""
        height = min(self.plan.band, self.plan.area.height - top)
        targets = slice(top, top + height + 2 * self.halo)
        lower, upper = self.plan.rows.lower[:, targets], self.plan.rows.upper[:, targets]
        return [
            ((int(lower[i].min()), int(upper[i].max()) + 1), width)
            for i, (_, width) in enumerate(self.plan.grids)
        ]

    def outputs(self, levels: Sequence[Tensor], top: int) -> Iterator[tuple[Tile, Tensor]]:
        """Yield the tiles of an image's band that begins `top` rows below the area's top."""
        area = self.plan.area
        windows = self._windows(top)
        begins = np.cumsum([0, *((end - first) * width for (first, end), width in windows)])
        first_rows = np.array([first for (first, _), _ in windows], dtype=np.int64)
        widths = np.array([width for _, width in windows], dtype=np.int64)
        projected = self._project(levels, windows, begins)
        bottom = min(top + self.plan.band, area.height)
        for row in range(top, bottom, self.rows):
            rows = slice(row, min(row + self.rows, bottom))
            for left in range(0, area.width, self.columns):
                columns = slice(left, min(left + self.columns, area.width))
                hidden = self._multiply_direct(levels, rows, columns)  # [R, S, U]
                cpu_kernels.add_upsampled(
                    _array(hidden.flatten(0, 1)),
                    self.prepared.bias,
                    np.float32(0.0 if self.prepared.head.layers else _NO_FLOOR),
                    _array(projected),
                    begins[:-1] - first_rows * widths,
                    widths,
                    self.plan.rows.lower,
                    self.plan.rows.upper,
                    self.plan.rows.mix,
                    self.plan.columns.lower,
                    self.plan.columns.upper,
                    self.plan.columns.mix,
                    row,
                    hidden.shape[0],
                    left,
                    hidden.shape[1],
                )
                activated = hidden[..., : self.prepared.units]
                yield Tile(rows, columns), self.prepared.head.outputs_of_activated(activated)

    def _project(
        self,
        levels: Sequence[Tensor],
        windows: Sequence[tuple[tuple[int, int], int]],
        begins: NDArray[np.int64],
    ) -> Tensor:
        """Apply the first layers to a band's source rows: [U / UNITS, Q, UNITS]."""
        blocks = len(self.prepared.bias) // cpu_kernels.UNITS
        pixels = int(begins[-1])
        projected = self.projected[: blocks * pixels * cpu_kernels.UNITS]
        projected = projected.view(blocks, pixels, cpu_kernels.UNITS)
        for i, ((first, end), _) in enumerate(windows):
            x = _matrix([levels[j][:, first:end] for j in self.plan.levels[i]], self.prepared.dtype)
            for block, weight in enumerate(torch.split(self.weights[i], cpu_kernels.UNITS, dim=1)):
                torch.mm(x.T, weight, out=projected[block, begins[i] : begins[i + 1]])
        return projected

    def _multiply_direct(self, levels: Sequence[Tensor], rows: slice, columns: slice) -> Tensor:
        """Apply the first layers to a tile of the full-resolution levels, halo included."""
        area, halo = self.plan.area, self.halo
        shape = (
            rows.stop - rows.start + 2 * halo,
            columns.stop - columns.start + 2 * halo,
            len(self.prepared.bias),
        )
        hidden = self.hidden[: shape[0] * shape[1] * shape[2]].view(shape)
        if self.direct is None:
            return hidden.zero_()
        y = slice(area.top + rows.start, area.top + rows.stop)
        x = slice(area.left + columns.start, area.left + columns.stop)
        tiles = [_with_halo(levels[i], y, x, halo=halo) for i in self.plan.direct]
        torch.mm(_matrix(tiles, self.prepared.dtype).T, self.direct, out=hidden.flatten(0, 1))
        return hidden


def _with_halo(level: Tensor, rows: slice, columns: slice, *, halo: int) -> Tensor:
    """Return a tile [C, R + 2 halo, S + 2 halo] of a level, its edges repeated."""
    if not halo:
        return level[:, rows, columns]
    _, height, width = level.shape
    y = torch.arange(rows.start - halo, rows.stop + halo).clamp(0, height - 1)
    x = torch.arange(columns.start - halo, columns.stop + halo).clamp(0, width - 1)
    return level[:, y[:, None], x]


def _matrix(tiles: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Return levels [C_l, R, S] of one size as one matrix [sum C_l, R * S]."""
    whole = tiles[0] if len(tiles) == 1 else torch.cat(list(tiles))
    return whole.to(dtype).flatten(1)


def _vote(out: LabelMaps, n: int, tile: Tile, outputs: Tensor) -> None:
    """Write what the members' outputs [M, R, S, K] say of a tile."""
    members, *grid, classes = outputs.shape
    pixels = grid[0] * grid[1]
    where = (n, tile.rows, tile.columns)
    labels, divergence = np.empty(pixels, np.int64), np.empty(pixels, np.float32)
    mean = np.empty((0, 0) if out.probabilities is None else (classes, pixels), np.float32)
    logits = outputs.reshape(members, pixels, classes).float().contiguous()
    cpu_kernels.vote(logits.numpy(), labels, divergence, mean)
    out.label_map[where] = torch.from_numpy(labels).view(grid)
    out.uncertainty[where] = torch.from_numpy(divergence).view(grid)
    if out.probabilities is not None:
        mean_map = torch.from_numpy(mean).view(classes, *grid)
        out.probabilities[n, :, tile.rows, tile.columns] = mean_map


def _array(tensor: Tensor) -> NDArray[Any]:
    """Return a tensor's memory as NumPy can hold it: bfloat16 as uint16."""
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
