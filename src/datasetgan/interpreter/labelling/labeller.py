"""A head and its engines: what labels, asked for pictures or parts of them."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, get_args

import torch
from torch import Tensor

from datasetgan.errors import UsageError, unknown_name
from datasetgan.interpreter.ensemble.folded import FoldedHead
from datasetgan.interpreter.labelling.base import Area, LabelMaps, fill
from datasetgan.interpreter.labelling.engines import EngineChoice, LabelEngine, fastest_engine
from datasetgan.interpreter.labelling.gpu import label_on_gpu
from datasetgan.interpreter.labelling.plain import label_plainly, member_outputs
from datasetgan.runtime import DTYPES, Precision

if TYPE_CHECKING:  # Numba takes most of a second to import.
    from datasetgan.interpreter.labelling.cpu import PreparedHead

__all__ = ["Labeller"]

_CPU_PRECISIONS = ("float32", "bfloat16")


class Labeller:
    """A folded head with what the engines prepare of it once.

    Args:
        head: on the device to work on.
        channels: of the feature levels, in the order of the head's columns.
    """

    def __init__(self, head: FoldedHead, channels: Sequence[int]) -> None:
        self.head = head
        self._channels = tuple(channels)
        self._prepared: dict[Precision, PreparedHead] = {}

    @cached_property
    def choice(self) -> EngineChoice:
        """The engine that works unless another is asked for, and why; see `fastest_engine`."""
        return fastest_engine(self.head, self._channels)

    @property
    def engine(self) -> LabelEngine:
        """The engine of `choice`."""
        return self.choice.engine

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
        engine = self._checked(self.engine if engine is None else engine, precision)
        if engine == "triton":
            label_on_gpu(images, self.head, area, out=out, precision=precision)
        elif engine == "plain":
            label_plainly(images, self.head, area, out=out)
        else:
            from datasetgan.interpreter.labelling.cpu import label_on_cpu

            head = self._prepare(precision)
            label_on_cpu(images, head, area, out=out, threads=torch.get_num_threads())

    @torch.inference_mode()
    def outputs(
        self,
        images: Sequence[Sequence[Tensor]],
        area: Area,
        *,
        precision: Precision = "float32",
        engine: LabelEngine | None = None,
    ) -> Tensor:
        """Return what every member says, without softmax or vote, as of heat maps.

        Memory is that of the result; where it is too much, ask for a strip of the picture
        after another.

        Args:
            images: as of `label`.
            area: what to compute.
            precision: as of `label`.
            engine: plain or Numba; by default Numba on a CPU, where it is at hand. Triton's
                kernel keeps outputs to itself.

        Returns:
            [N, M, K, H, W] float32 on the head's device.

        Raises:
            UsageError: an engine or precision that is unknown or not at hand.
        """
        if engine is None:
            engine = self.engine if self.head.first_bias.device.type == "cpu" else "plain"
        self._checked(engine, precision, valid=("plain", "numba"))
        members = (self.head.num_members, self.head.num_outputs)
        size = (len(images), *members, area.height, area.width)
        out = torch.empty(size, device=self.head.first_bias.device)
        take = fill(out)
        if engine == "plain":
            for n, levels in enumerate(images):
                for tile, outputs in member_outputs(levels, self.head, area):
                    take(n, tile, outputs)
        else:
            from datasetgan.interpreter.labelling.cpu import outputs_on_cpu

            head = self._prepare(precision)
            outputs_on_cpu(images, head, area, take=take, threads=torch.get_num_threads())
        return out

    def _checked(
        self,
        engine: LabelEngine,
        precision: Precision,
        *,
        valid: Sequence[str] = get_args(LabelEngine),
    ) -> LabelEngine:
        if engine not in valid:
            raise UsageError(unknown_name("labelling engine", engine, valid))
        known = {"plain": ("float32",), "numba": _CPU_PRECISIONS}.get(engine)
        if known is not None and precision not in known:
            raise UsageError(unknown_name(f"precision of {engine} labelling", precision, known))
        return engine

    def _prepare(self, precision: Precision) -> "PreparedHead":
        from datasetgan.interpreter.labelling.cpu import prepare_head

        if precision not in self._prepared:
            dtype = DTYPES[precision]
            self._prepared[precision] = prepare_head(self.head, self._channels, dtype=dtype)
        return self._prepared[precision]
