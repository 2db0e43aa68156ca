"""The kernel behind `gpu`: from projected levels to labels, one program per tile of pixels.

Importing this module needs Triton; `gpu` does so when it labels, never before.

A program labels 8 x 8 pixels. Of a level of half the picture's side such a tile reads a
window of at most 6 x 6 source pixels, of the next 4 x 4, and 3 x 3 or fewer of all
coarser ones: with nine levels about 90 rows of the projected levels, where four taps
per pixel and level would be 2,048. So a tile's windows are loaded once, and
interpolating all levels is one product of matrices, [pixels, taps] times [taps, hidden
units], on the tensor cores.

By arithmetic, for 10 members of 128 hidden units in two bytes: a pixel of the
full-resolution level is 2,560 bytes, written once and read once; the windows are
90 / 64 of that again, shared with the neighbouring tiles through the L2 cache. Written
are 12 bytes per pixel. The 1,280 hidden units, the logits and the votes stay in
registers: 64 pixels by 64 units of float32 at a time are 16 registers in each of 256
threads, mean and votes of 32 classes another 16. The plain path moves 5,120 bytes per
pixel in every one of its steps. This is the design, not a measurement.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from datasetgan.interpreter.ensemble.folded import FoldedHead
from datasetgan.interpreter.labelling.tap_tables import TAP_BLOCK, TILE_SIDE, Band, Plan

__all__ = ["kernel_constants", "label_band", "label_tiles", "launch_options"]

# Units of the first layers at a time. The three products that carry float32 take more
# registers, so fewer units.
_HIDDEN_BLOCK = 64
_HIDDEN_BLOCK_FLOAT32 = 32
# Tensor cores multiply blocks of at least 16 x 16.
_SMALLEST_BLOCK = 16


@triton.jit
def _relu(x):  # type: ignore[no-untyped-def]
    # A feature beyond the range of the type must show as NaN, not vanish.
    return tl.maximum(x, 0.0, propagate_nan=tl.PropagateNan.ALL)


_UNSPECIALIZED = ["height", "width", "full_base", "num_members", "plane"]


@triton.jit(do_not_specialize=_UNSPECIALIZED)  # type: ignore[untyped-decorator]
def label_tiles(  # type: ignore[no-untyped-def]
    # [cells, M * HIDDEN]: every level's cells, then the full-resolution level's pixels.
    projected,
    first_bias,  # [M * HIDDEN]
    second_weight,  # [M, INNER, HIDDEN]
    second_bias,  # [M, INNER]
    third_weight,  # [M, CLASSES, INNER]
    third_bias,  # [M, CLASSES]
    # What a tile reads, and how much every row (column) of its pixels takes of it. The
    # sum of both indices is a cell, the product of both weights a bilinear weight.
    row_index,  # [tiles down, taps]
    row_mix,  # [tiles down, TILE, taps]
    column_index,  # [tiles across, taps]
    column_mix,  # [tiles across, TILE, taps]
    labels,  # [height, width]
    divergence,  # [height, width]
    probability,  # [CLASSES, plane], its first `height * width` pixels
    height,
    width,
    full_base,
    num_members,
    taps,
    plane,
    LAYERS: tl.constexpr,  # noqa: N803 (Triton writes constants in capitals)
    HIDDEN: tl.constexpr,  # noqa: N803
    INNER: tl.constexpr,  # noqa: N803
    CLASSES: tl.constexpr,  # noqa: N803
    HAS_FULL: tl.constexpr,  # noqa: N803
    WRITE_MEAN: tl.constexpr,  # noqa: N803
    DOT_PRECISION: tl.constexpr,  # noqa: N803
    TILE: tl.constexpr,  # noqa: N803
    BLOCK_T: tl.constexpr,  # noqa: N803
    BLOCK_H: tl.constexpr,  # noqa: N803
    BLOCK_I: tl.constexpr,  # noqa: N803
    BLOCK_K: tl.constexpr,  # noqa: N803
):
    """Label one tile: first layers' sum over levels, the other layers, softmax, vote."""
    across, down = tl.program_id(0), tl.program_id(1)
    pixel = tl.arange(0, TILE * TILE)  # [P]
    tile_row, tile_column = pixel // TILE, pixel % TILE
    row, column = down * TILE + tile_row, across * TILE + tile_column
    inside = (row < height) & (column < width)
    place = row.to(tl.int64) * width + column
    stride = num_members * HIDDEN
    kind: tl.constexpr = projected.dtype.element_ty

    classes = tl.arange(0, BLOCK_K)
    inner = tl.arange(0, BLOCK_I)
    real = classes[None, :] < CLASSES
    mean = tl.zeros([TILE * TILE, BLOCK_K], tl.float32)
    votes = tl.zeros([TILE * TILE, BLOCK_K], tl.int32)
    negative_entropy = tl.zeros([TILE * TILE], tl.float32)
    for member in range(num_members):
        logits = tl.zeros([TILE * TILE, BLOCK_K], tl.float32)
        second = tl.zeros([TILE * TILE, BLOCK_I], tl.float32)
        for start in range(0, HIDDEN, BLOCK_H):
            unit = start + tl.arange(0, BLOCK_H)  # [H]
            known = unit < HIDDEN
            own = member * HIDDEN + unit
            hidden = tl.zeros([TILE * TILE, BLOCK_H], tl.float32)
            for tap_start in range(0, taps, BLOCK_T):
                tap = tap_start + tl.arange(0, BLOCK_T)  # [T]
                cell = tl.load(row_index + down * taps + tap)
                cell += tl.load(column_index + across * taps + tap)
                rows = tl.load(row_mix + row[:, None] * taps + tap[None, :])  # [P, T]
                columns = tl.load(column_mix + column[:, None] * taps + tap[None, :])
                source = tl.load(
                    projected + cell.to(tl.int64)[:, None] * stride + own[None, :],
                    mask=known[None, :],
                    other=0.0,
                )  # [T, H]
                mix = (rows * columns).to(kind)
                hidden = tl.dot(mix, source, hidden, input_precision=DOT_PRECISION)
            if HAS_FULL:
                hidden += tl.load(
                    projected + (full_base + place)[:, None] * stride + own[None, :],
                    mask=inside[:, None] & known[None, :],
                    other=0.0,
                ).to(tl.float32)
            hidden += tl.load(first_bias + own, mask=known, other=0.0)[None, :]
            if LAYERS == 0:
                logits = hidden  # all units fit one block, which is the classes'
            else:
                weight = tl.load(
                    second_weight + (member * INNER + inner)[None, :] * HIDDEN + unit[:, None],
                    mask=known[:, None] & (inner < INNER)[None, :],
                    other=0.0,
                )  # [H, I]
                x = _relu(hidden).to(kind)
                second = tl.dot(x, weight, second, input_precision=DOT_PRECISION)
        if LAYERS == 2:
            here = inner < INNER
            second += tl.load(second_bias + member * INNER + inner, mask=here, other=0.0)[None, :]
            weight = tl.load(
                third_weight + (member * CLASSES + classes)[None, :] * INNER + inner[:, None],
                mask=here[:, None] & real,
                other=0.0,
            )  # [I, K]
            logits = tl.dot(_relu(second).to(kind), weight, logits, input_precision=DOT_PRECISION)
            bias = tl.load(third_bias + member * CLASSES + classes, mask=classes < CLASSES)
            logits += bias[None, :]
        logits = tl.where(real, logits, float("-inf"))
        shifted = logits - tl.max(logits, axis=1)[:, None]
        exponential = tl.exp(shifted)
        total = tl.sum(exponential, axis=1)
        own_probability = exponential / total[:, None]
        logarithm = shifted - tl.log(total)[:, None]
        terms = tl.where(real, own_probability * logarithm, 0.0)
        negative_entropy += tl.sum(terms, axis=1)
        mean += own_probability
        choice = tl.argmax(logits, axis=1)
        votes += (classes[None, :] == choice[:, None]).to(tl.int32)

    mean = mean / num_members
    terms = tl.where(mean > 0.0, mean * tl.log(mean), 0.0)
    disagreement = negative_entropy / num_members - tl.sum(terms, axis=1)
    disagreement = _relu(disagreement)  # rounding below zero
    # argmax takes the first of equals: the smallest id.
    tl.store(labels + place, tl.argmax(votes, axis=1), mask=inside)
    tl.store(divergence + place, disagreement, mask=inside)
    if WRITE_MEAN:
        spot = classes.to(tl.int64)[None, :] * plane + place[:, None]
        tl.store(probability + spot, mean, mask=inside[:, None] & real)


def kernel_constants(head: FoldedHead) -> dict[str, int | str]:
    """Return the kernel's constants that depend on the head and the type of its weights."""
    hidden = head.first_bias.shape[0] // head.num_members
    inner = head.layers[0].bias.shape[1] if head.layers else 1
    exact = head.first_weight.dtype == torch.float32
    block_h = min(_HIDDEN_BLOCK_FLOAT32 if exact else _HIDDEN_BLOCK, _block(hidden))
    block_k = _block(head.num_outputs)
    return {
        "LAYERS": len(head.layers),
        "HIDDEN": hidden,
        "INNER": inner,
        "CLASSES": head.num_outputs,
        # Three TensorFloat32 products carry float32's precision; half types ignore it.
        "DOT_PRECISION": "tf32x3" if exact else "ieee",
        "TILE": TILE_SIDE,
        "BLOCK_T": TAP_BLOCK,
        "BLOCK_H": block_h if head.layers else block_k,
        "BLOCK_I": _block(inner),
        "BLOCK_K": block_k,
    }


def launch_options(dtype: torch.dtype) -> dict[str, int | bool | None]:
    """Return how the kernel is compiled for weights of a type."""
    return {
        "num_warps": 8,
        "num_stages": 2,
        # Two programs of 256 threads share the 65,536 registers of a multiprocessor;
        # in float32 that would spill too many.
        "maxnreg": None if dtype == torch.float32 else 128,
        # Triton 3.10 changes the default, and 3.9 warns of it.
        "enable_fp_fusion": True,
    }


def _block(length: int) -> int:
    return max(_SMALLEST_BLOCK, 1 << (length - 1).bit_length())


def label_band(
    head: FoldedHead,
    projected: Tensor,
    plan: Plan,
    band: Band,
    *,
    labels: Tensor,
    divergence: Tensor,
    probability: Tensor | None,
) -> None:
    """Label the rows of one band.

    Args:
        head: with one layer or three, its tensors contiguous, its weights of the type of
            `projected` and its biases float32.
        projected: [cells, M * H], the band's cells through the first layers, bias excluded.
        plan: of the area.
        band: of the plan.
        labels: [H, W] int64 of the area, contiguous; the band's rows are written.
        divergence: [H, W] float32, as `labels`.
        probability: [K, H, W] float32, as `labels`, if wanted.
    """
    height, width = band.rows.stop - band.rows.start, labels.shape[1]
    # A head of one layer has no others: the kernel reads neither these nor `probability`.
    absent = head.first_bias
    second, third = head.layers or (None, None)
    grid = (-(-width // TILE_SIDE), -(-height // TILE_SIDE))
    # Triton launches on the current device.
    with torch.cuda.device_of(projected):  # type: ignore[no-untyped-call]
        label_tiles[grid](
            projected,
            head.first_bias,
            second.weight if second else absent,
            second.bias if second else absent,
            third.weight if third else absent,
            third.bias if third else absent,
            band.axis.index,
            band.axis.mix,
            plan.columns.index,
            plan.columns.mix,
            labels[band.rows],
            divergence[band.rows],
            absent if probability is None else probability[0, band.rows],
            height,
            width,
            band.full_base,
            head.num_members,
            plan.columns.index.shape[1],
            labels.numel(),
            HAS_FULL=plan.has_full,
            WRITE_MEAN=probability is not None,
            **kernel_constants(head),
            **launch_options(projected.dtype),
        )
