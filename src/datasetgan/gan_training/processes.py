"""One process, or several that train together through accelerate."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from datasetgan.errors import UsageError

__all__ = ["ProcessGroup", "join_processes"]


class Accelerator(Protocol):
    """What is used of accelerate."""

    def reduce(self, tensor: Tensor, reduction: str) -> Tensor:
        """Return the ``"mean"`` of a tensor over all processes."""

    def wait_for_everyone(self) -> None:
        """Wait until every process is here."""


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of a run, each with its share of every batch.

    Attributes:
        rank: this process, from 0; the first one writes files.
        count: how many there are.
        accelerator: accelerate's handle where there are several.
    """

    rank: int = 0
    count: int = 1
    accelerator: Accelerator | None = None

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their mean over all processes, in one exchange."""
        if self.accelerator is None or not tensors:
            return
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        flat = self.accelerator.reduce(flat, reduction="mean")
        pieces = torch.split(flat, [tensor.numel() for tensor in tensors])
        with torch.no_grad():
            for tensor, piece in zip(tensors, pieces, strict=True):
                tensor.copy_(piece.view_as(tensor))

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.accelerator is not None:
            self.accelerator.wait_for_everyone()


def join_processes(device: str) -> tuple[ProcessGroup, str]:
    """Join the processes that ``accelerate launch`` or ``torchrun`` started, if any.

    Args:
        device: as the user named it, ``"auto"`` or a PyTorch device.

    Returns:
        The group, and the device of this process.

    Raises:
        UsageError: there are several processes, but accelerate is not installed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ProcessGroup(), device
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise UsageError(
            "training on several devices needs accelerate: pip install 'datasetgan[distributed]'."
        ) from error
    accelerator = Accelerator(cpu=device == "cpu")
    group = ProcessGroup(accelerator.process_index, accelerator.num_processes, accelerator)
    return group, str(accelerator.device)
