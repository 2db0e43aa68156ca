"""Three ways to the same label map: plain PyTorch, compiled loops on CPUs, a kernel on GPUs."""

from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from typing import Literal, get_args

import torch
from torch import Tensor

from datasetgan.errors import UsageError, unknown_name
from datasetgan.interpreter.ensemble.folded import FoldedHead
from datasetgan.interpreter.labelling.base import Area, LabelMaps
from datasetgan.interpreter.labelling.gpu import kernel_fits, label_image_cuda, triton_available
from datasetgan.interpreter.labelling.plain import label_plainly, member_outputs
from datasetgan.runtime import DTYPES, Precision

__all__ = ["Area", "LabelEngine", "LabelMaps", "Labeller", "fastest_engine", "member_outputs"]

LabelEngine = Literal["plain", "numba", "triton"]
"""Plain PyTorch, Numba's loops on a CPU, or Triton's kernel on an NVIDIA GPU."""


def fastest_engine(device: torch.device | str, head: FoldedHead) -> LabelEngine:
    """Return the fastest engine that is at hand for a device and a head."""
    device = torch.device(device)
    if device.type == "cpu" and find_spec("numba") is not None:
        return "numba"
    if triton_available(device) and kernel_fits(head):
        return "triton"
    return "plain"


class Labeller:
    """A folded head with what the engines prepare of it once.

    Args:
        head: on the device to work on.
        channels: of the feature levels, in the order of the head's columns.
    """

    def __init__(self, head: FoldedHead, channels: Sequence[int]) -> None:
        self.head = head
        self._channels = tuple(channels)
        self._prepared: dict[str, object] = {}

    @cached_property
    def engine(self) -> LabelEngine:
        """The engine that works unless another is asked for."""
        return fastest_engine(self.head.first_bias.device, self.head)

    def label(
        self,
        images: Sequence[Sequence[Tensor]],
        area: Area,
        *,
        out: LabelMaps,
        precision: Precision = "float32",
        engine: LabelEngine | None = None,
    ) -> None:
        """Label images; a result does not depend on its neighbours.

        Args:
            images: of each its levels [C_l, h_l, w_l], margins cropped, none finer than
                the grid of `area`.
            area: what to label.
            out: filled; on the head's device.
            precision: of the products; float32, or bfloat16, which the plain engine and
                CPUs without fast bfloat16 do not have. Triton knows float16 as well.
            engine: `Labeller.engine` by default.

        Raises:
            UsageError: an engine or precision that is unknown or not at hand.
        """
        engine = self.engine if engine is None else engine
        if engine not in get_args(LabelEngine):
            raise UsageError(unknown_name("labelling engine", engine, get_args(LabelEngine)))
        if engine == "triton":
            self._label_on_gpu(images, area, out, precision)
            return
        valid = ("float32",) if engine == "plain" else ("float32", "bfloat16")
        if precision not in valid:
            raise UsageError(unknown_name(f"precision of {engine} labelling", precision, valid))
        if engine == "plain":
            label_plainly(images, self.head, area, out=out)
        else:
            self._label_on_cpu(images, area, out, precision)

    def _label_on_cpu(
        self, images: Sequence[Sequence[Tensor]], area: Area, out: LabelMaps, precision: Precision
    ) -> None:
        # Numba takes most of a second to import.
        from datasetgan.interpreter.labelling.cpu import PreparedHead, label_on_cpu, prepare_head

        prepared = self._prepared.get(precision)
        if not isinstance(prepared, PreparedHead):
            prepared = prepare_head(self.head, self._channels, dtype=DTYPES[precision])
            self._prepared[precision] = prepared
        label_on_cpu(images, prepared, area, out=out, threads=torch.get_num_threads())

    def _label_on_gpu(
        self, images: Sequence[Sequence[Tensor]], area: Area, out: LabelMaps, precision: Precision
    ) -> None:
        for n, levels in enumerate(images):
            labels, divergence, mean = label_image_cuda(
                levels,
                self.head,
                size=area.size,
                precision=precision,
                return_probabilities="none" if out.probabilities is None else "mean",
            )
            out.label_map[n] = labels[area.rows, area.columns]
            out.uncertainty[n] = divergence[area.rows, area.columns]
            if out.probabilities is not None and mean is not None:
                out.probabilities[n] = mean[:, area.rows, area.columns]
