"""Alias-free filters and the filtered activation of StyleGAN3 (Karras et al. 2021, sec. 3, app. C).

`filters_reference.py` holds the slow, literal twin; tests hold the two together.
"""

from dataclasses import dataclass, replace
from math import ceil, floor, sqrt
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from datasetgan.generators.ops import SQRT2

__all__ = ["filtered_leaky_relu", "lowpass_filter", "radial_lowpass_filter", "separable_terms"]

# Samples of the fine grid beside one tile of the banded filter matrix. Larger tiles
# multiply more zeros, smaller ones read their borders more often.
_TILE = 64
# Elements of the up-sampled activation alive at once: on a CPU, inside a core's cache.
_CPU_ELEMENTS, _GPU_ELEMENTS = 2**19, 2**26


def lowpass_filter(
    num_taps: int, *, cutoff: float, half_width: float, sampling_rate: float
) -> Tensor:
    """Design a low-pass filter by the Kaiser window (Karras et al. 2021, app. C.1).

    Args:
        num_taps: length of the filter.
        cutoff: frequency at which the gain has fallen by half, in cycles per image width.
        half_width: half of the transition band, same unit.
        sampling_rate: samples per image width.

    Returns:
        [num_taps] float32, symmetric, with sum one.
    """
    time = np.arange(num_taps) - (num_taps - 1) / 2
    ideal = np.sinc(time * (2 * cutoff / sampling_rate))
    taps = ideal * _kaiser_window(num_taps, half_width=half_width, sampling_rate=sampling_rate)
    return torch.from_numpy(taps / taps.sum()).float()


def radial_lowpass_filter(
    num_taps: int, *, cutoff: float, half_width: float, sampling_rate: float
) -> Tensor:
    """Design the rotation-invariant filter of StyleGAN3-R: a jinc under a Kaiser window.

    Arguments as for `lowpass_filter`; `num_taps` must be even, since the formula
    has no value at the centre.

    Returns:
        [num_taps, num_taps] float32, symmetric, with sum one (Karras et al. 2021, app. C.2).
    """
    time = (np.arange(num_taps) - (num_taps - 1) / 2) / sampling_rate
    radius = torch.from_numpy(np.hypot(time[:, None], time[None, :]))
    jinc: Tensor = torch.special.bessel_j1(radius * (2 * np.pi * cutoff)) / (radius * np.pi)
    window = _kaiser_window(num_taps, half_width=half_width, sampling_rate=sampling_rate)
    taps = jinc * torch.from_numpy(np.outer(window, window))
    return (taps / taps.sum()).float()


def separable_terms(taps: Tensor) -> Tensor:
    """Write a filter as a sum of separable ones, by the eigenvectors of a symmetric matrix.

    A radial low-pass filter is close to separable: three terms of twelve reach float32.

    Args:
        taps: [K], separable itself, or [K, K], symmetric.

    Returns:
        [R, 2, K] float32: `taps` is the sum over r of the outer product of its two rows.
    """
    if taps.ndim == 1:
        return torch.stack([taps, taps])[None]
    values, vectors = np.linalg.eigh(taps.double().numpy())
    kept = np.abs(values) > np.abs(values).max() * 2**-24
    columns = vectors[:, kept].T  # [RK]
    return torch.from_numpy(np.stack([columns, columns * values[kept, None]], axis=1)).float()


def _kaiser_window(
    num_taps: int, *, half_width: float, sampling_rate: float
) -> NDArray[np.float64]:
    # Kaiser's formulas: the attenuation that so many taps reach over this
    # transition band, then the shape parameter for that attenuation.
    attenuation = 2.285 * (num_taps - 1) * np.pi * (4 * half_width / sampling_rate) + 7.95
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    elif attenuation > 21:
        beta = 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    else:
        beta = 0.0
    return np.kaiser(num_taps, beta)


def filtered_leaky_relu(
    x: Tensor,
    *,
    up_filter: Tensor,
    down_terms: Tensor,
    up: int,
    down: int,
    padding: int,
    out_size: int,
    clamp: float | None,
) -> Tensor:
    """Up-sample, leaky ReLU (slope 0.2, gain sqrt 2), clamp, down-sample.

    The definition (Karras et al. 2021, sec. 3.2): insert `up - 1` zeros behind every
    sample; put `padding` zeros in front (a negative number crops) and as many behind
    as `out_size` asks for; filter; activate; filter again; keep every `down`-th sample.

    1. No zero is inserted: each output reads its own phase of the filter only. Along
       one axis the filter is a banded matrix that repeats itself, so a tile of it
       times overlapping pieces of the signal is one batched matrix product.
    2. The second axis is the first one of the transposed plane, which a matrix
       product reads in place.
    3. Planes go through in chunks: the up-sampled activation, 4 to 16 times the
       size of the input, never exists as a whole.

    Args:
        x: [N, C, H, H], bias added.
        up_filter: [K] with sum one, on the CPU.
        down_terms: [R, 2, K] on the CPU, as `separable_terms` makes them.
        padding: zeros in front, in samples of the up-sampled grid.
        out_size: height and width of the result.
        clamp: bound on the activation, behind the gain.

    Returns:
        [N, C, out_size, out_size] in the type of x.
    """
    batch, channels, size, _ = x.shape
    # 1. Plan backwards: the outputs asked for, the fine samples that they read, and so on.
    lowpass = [
        [_tile(taps, outputs=out_size, down=down).fit(x) for taps in term] for term in down_terms
    ]
    fine = lowpass[0][0].reads
    # The activation's gain goes into the filter before it: leaky ReLU scales with its input.
    raised = up_filter * (up * sqrt(SQRT2))
    interpolation = _tile(raised, outputs=fine, up=up, padding=padding).fit(x)
    before = -interpolation.first
    behind = interpolation.reads - size - before
    # 2. A few planes at a time.
    planes = x.reshape(batch * channels, size, size)
    on_cpu = x.device.type == "cpu"
    budget = _CPU_ELEMENTS * torch.get_num_threads() if on_cpu else _GPU_ELEMENTS
    results = []
    chunk = max(1, budget // fine**2)
    for start in range(0, len(planes), chunk):
        y = F.pad(planes[start : start + chunk], (before, behind, before, behind))  # [PHH]
        y = interpolation.apply(y).transpose(1, 2)  # [PWF], F rows of the fine grid
        y = interpolation.apply(y)  # [PFF], transposed
        y = F.leaky_relu_(y, 0.2)
        if clamp is not None:
            y = y.clamp(-clamp, clamp)  # not in place: autograd keeps what comes in
        terms = [second.apply(first.apply(y).transpose(1, 2)) for first, second in lowpass]
        results.append(sum(terms[1:], start=terms[0]))  # [POO], upright again
    return torch.cat(results).view(batch, channels, out_size, out_size)


@dataclass(frozen=True)
class _Tile:
    """The block that a resampling filter's banded matrix repeats.

    Attributes:
        matrix: [J, M]; one block of J outputs from the M samples that it reads.
        blocks: how often it repeats.
        step: samples from one block to the next.
        first: index of the first sample that output 0 may read; negative in the padding.
        outputs: outputs wanted; the last block may hold a few more.
    """

    matrix: Tensor
    blocks: int
    step: int
    first: int
    outputs: int

    @property
    def reads(self) -> int:
        """Samples, from `first` on, that all blocks read."""
        return (self.blocks - 1) * self.step + self.matrix.shape[1]

    def fit(self, x: Tensor) -> Self:
        """Return the tile on the device and in the type of x."""
        return replace(self, matrix=self.matrix.to(x))

    def apply(self, x: Tensor) -> Tensor:
        """Resample the rows of x [P, L, W], which begins at `first`: [P, outputs, W]."""
        num_planes, _, width = x.shape
        rows, reads = self.matrix.shape
        if num_planes > 1 and rows < reads:
            # Shrinking: block by block, since joining the results copies less.
            matrix = self.matrix.expand(num_planes, -1, -1)
            pieces = [x[:, i * self.step :][:, :reads] for i in range(self.blocks)]
            y = torch.cat([torch.bmm(matrix, piece) for piece in pieces], dim=1)
        else:
            # All blocks at once; of a single plane the pieces are a view.
            overlapping = x.unfold(1, reads, self.step)[:, : self.blocks].transpose(2, 3)  # [PBMW]
            matrix = self.matrix.expand(num_planes * self.blocks, -1, -1)
            y = torch.bmm(matrix, overlapping.reshape(-1, reads, width))
            y = y.view(num_planes, -1, width)
        return y[:, : self.outputs]


def _tile(taps: Tensor, *, outputs: int, up: int = 1, down: int = 1, padding: int = 0) -> _Tile:
    """Write out[j] = sum_m taps[up m - down j + padding] x[m] as a tile and its repetition."""
    blocks = max(1, round(outputs * down / _TILE))
    per_block = ceil(outputs / blocks / up) * up  # whole periods
    first = ceil(-padding / up)
    last = floor((down * (per_block - 1) + len(taps) - 1 - padding) / up)
    m = torch.arange(first, last + 1)
    j = torch.arange(per_block)
    index = up * m[None, :] - down * j[:, None] + padding
    inside = (index >= 0) & (index < len(taps))
    matrix = torch.where(inside, taps[index.clamp(0, len(taps) - 1)], 0)
    return _Tile(matrix, ceil(outputs / per_block), per_block * down // up, first, outputs)
