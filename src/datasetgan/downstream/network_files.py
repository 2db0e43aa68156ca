"""The files of trained networks: one way to read them, whatever their outputs mean."""

from pathlib import Path
from typing import Protocol, TypeVar

import torch
from torch import nn

from datasetgan.checkpoints.native import load_into, read_checkpoint
from datasetgan.downstream.models import SEGMENTERS, build_network
from datasetgan.errors import CheckpointError, unknown_name
from datasetgan.runtime import Runtime

__all__ = ["NetworkConfig", "load_network"]


class NetworkConfig(Protocol):
    """What the header of a network's file holds, a dataclass."""

    @property
    def num_outputs(self) -> int:
        """How many outputs the network has for every pixel."""


C = TypeVar("C", bound=NetworkConfig)


def load_network(
    path: Path, *, kind: str, config: type[C], runtime: Runtime
) -> tuple[C, nn.Module]:
    """Load a network from a native checkpoint whose architecture is a key of `SEGMENTERS`.

    Args:
        kind: of the checkpoint.
        config: the dataclass of its header.
        runtime: where it runs.

    Returns:
        The header, and the network in evaluation mode on the runtime's device.

    Raises:
        CheckpointError: the file is missing, truncated, of another kind, or does not
            fit its configuration; every difference is listed.
    """
    checkpoint = read_checkpoint(path, kind=kind)
    if checkpoint.architecture not in SEGMENTERS:
        message = unknown_name("segmenter", checkpoint.architecture, SEGMENTERS)
        raise CheckpointError(f"{path}: {message}")
    header = checkpoint.config_as(config)
    module = build_network(checkpoint.architecture, header.num_outputs)
    load_into(module, checkpoint.tensors, source=str(path))
    module = module.to(runtime.torch_device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return header, module.requires_grad_(False).eval()
