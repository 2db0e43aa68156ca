"""Labelling on an NVIDIA GPU: products of matrices, then one fused kernel.

Every level goes through the members' first layers at its own resolution, as in
`projection`; `triton_kernels` does all the rest. The area is worked on in bands of
rows, so that memory does not grow with it beyond the results. Triton comes with
PyTorch's CUDA builds on Linux and is imported on the first picture; everything here
has its plain counterpart in `projection`, `folded` and `uncertainty`.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import get_args

import torch
from torch import Tensor

from datasetgan.errors import UsageError, unknown_name
from datasetgan.interpreter.ensemble.folded import FoldedHead, FoldedLayer
from datasetgan.interpreter.labelling.base import Area, LabelMaps
from datasetgan.interpreter.labelling.tap_tables import plan_area
from datasetgan.runtime import DTYPES, Precision

__all__ = ["kernel_fits", "label_on_gpu", "triton_available"]

# The oldest GPUs whose tensor cores multiply bfloat16 and TensorFloat32.
_CAPABILITY = (8, 0)
# More classes than this do not fit a thread's registers.
_MAX_CLASSES = 128
_BAND_BYTES = 256 * 2**20


def triton_available(device: torch.device | str) -> bool:
    """Return whether `label_on_gpu` runs on a device.

    It takes an NVIDIA GPU of compute capability 8.0 or more, Triton, and a C compiler,
    with which Triton builds its launchers.
    """
    device = torch.device(device)
    return (
        device.type == "cuda"
        and torch.version.cuda is not None
        and torch.cuda.is_available()
        and torch.cuda.get_device_capability(device) >= _CAPABILITY
        and find_spec("triton") is not None
        and any(shutil.which(name) for name in (os.environ.get("CC", "gcc"), "gcc", "clang"))
    )


def kernel_fits(head: FoldedHead) -> bool:
    """Return whether the kernel knows a head: one layer or three, 1x1 all, 128 classes at most."""
    return head.halo == 0 and len(head.layers) in (0, 2) and head.num_outputs <= _MAX_CLASSES


@torch.inference_mode()
def label_on_gpu(
    images: Sequence[Sequence[Tensor]],
    head: FoldedHead,
    area: Area,
    *,
    out: LabelMaps,
    precision: Precision,
) -> None:
    """Label images: `FoldedHead.outputs` and `combine_members` on every pixel of an area.

    Args:
        images: of each its levels [C_l, h_l, w_l], of any floating type, margins cropped,
            on the head's device.
        head: one that `kernel_fits`.
        area: what to label; nothing else is computed.
        out: filled.
        precision: of the operands of every product; sums are float32. float16 has
            eight times the resolution of bfloat16 and ends at 65,504.

    Raises:
        UsageError: a head that the kernel does not know, an unknown precision, or numbers
            that are not finite or leave the range of the precision.
    """
    _check(head, precision)
    head = _cast(head, DTYPES[precision])
    for n, levels in enumerate(images):
        probability = None if out.probabilities is None else out.probabilities[n]
        _label_image(levels, head, area, out.label_map[n], out.uncertainty[n], probability)
        if not bool(out.uncertainty[n].isfinite().all()):
            raise UsageError(
                f"labelling in {precision} met numbers that are not finite: the features, or "
                "what the interpreter makes of them, leave its range. Use float32, or features "
                "that are finite."
            )


def _label_image(
    levels: Sequence[Tensor],
    head: FoldedHead,
    area: Area,
    labels: Tensor,
    divergence: Tensor,
    probability: Tensor | None,
) -> None:
    """Project the levels and run the kernel, band after band."""
    from datasetgan.interpreter.labelling.triton_kernels import label_band

    device, dtype = head.first_bias.device, head.first_weight.dtype
    groups = _grouped(levels, head.first_weight, area.size)
    hidden = head.first_bias.shape[0]
    # As for the picture's whole width: an area that is narrower takes less memory.
    rows = _BAND_BYTES * area.size[0] // (dtype.itemsize * hidden * sum(h * w for h, w in groups))
    plan = plan_area(tuple(groups), area, rows=rows, device=device)
    projected = torch.empty(plan.max_cells, hidden, dtype=dtype, device=device)
    for band in plan.bands:
        first = 0
        for group, (y, x) in zip(groups.values(), band.windows, strict=True):
            patch = torch.cat([level[:, y, x].flatten(1).to(dtype) for level in group.levels])
            cells = patch.shape[1]
            torch.mm(patch.T, group.weight, out=projected[first : first + cells])
            first += cells
        label_band(
            head,
            projected,
            plan,
            band,
            labels=labels,
            divergence=divergence,
            probability=probability,
        )


def _check(head: FoldedHead, precision: str) -> None:
    if not kernel_fits(head):
        raise UsageError(
            "the labelling kernel knows heads of one or three 1x1 layers and at most "
            f"{_MAX_CLASSES} classes, got {1 + len(head.layers)} layers, a halo of {head.halo} "
            f"and {head.num_outputs} classes. Ask `kernel_fits` first."
        )
    if precision not in get_args(Precision):
        raise UsageError(unknown_name("precision", precision, get_args(Precision)))


def _cast(head: FoldedHead, dtype: torch.dtype) -> FoldedHead:
    """Bring weights to a type; the kernel reads tensors as they lie in memory."""
    layers = tuple(
        FoldedLayer(layer.weight.to(dtype).contiguous(), layer.bias.float().contiguous())
        for layer in head.layers
    )
    return FoldedHead(
        num_members=head.num_members,
        first_weight=head.first_weight.to(dtype),
        first_bias=head.first_bias.float().contiguous(),
        layers=layers,
    )


@dataclass(frozen=True)
class _Group:
    """Levels of one grid, and the columns of the first layers that read them: [C, M * H]."""

    levels: list[Tensor]
    weight: Tensor


def _grouped(
    levels: Sequence[Tensor], first_weight: Tensor, size: tuple[int, int]
) -> dict[tuple[int, int], _Group]:
    """Group levels by grid; that of the label grid comes last, where `Band` expects it."""
    weights = torch.split(first_weight, [level.shape[0] for level in levels], dim=1)
    pairs: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = {}
    for level, weight in zip(levels, weights, strict=True):
        pairs.setdefault((level.shape[1], level.shape[2]), []).append((level, weight))
    if size in pairs:
        pairs[size] = pairs.pop(size)
    return {
        grid: _Group([level for level, _ in own], torch.cat([w for _, w in own], dim=1).T)
        for grid, own in pairs.items()
    }
