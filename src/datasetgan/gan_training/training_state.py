"""The training state on disk: everything that an exact continuation needs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from datasetgan.checkpoints.state_tensors import state_tensors
from datasetgan.errors import CheckpointError, ConfigError
from datasetgan.serialization import from_plain, to_plain, write_atomic

__all__ = ["Counters", "read_tensors", "write_state"]

_FORMAT = "datasetgan-training-state-1"


@dataclass(frozen=True)
class Counters:
    """Where a run stands.

    Attributes:
        images_seen: photographs drawn so far.
        steps: updates done so far; they name the random streams of the next one.
        r1: the last gradient penalty.
        mean_length: the running mean of the path lengths.
        augment: the state of the adaptive probability.
    """

    images_seen: int = 0
    steps: int = 0
    r1: float = 0.0
    mean_length: float = 0.0
    augment: dict[str, float] = field(default_factory=dict)


def write_state(
    path: Path,
    *,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
    counters: Counters,
) -> None:
    """Write networks, optimisers and counters as one safetensors file, atomically.

    Raises:
        StorageError: the disk is full or the place cannot be written.
    """
    tensors = state_tensors(modules, optimizers)
    own = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    header = {"format": _FORMAT, "counters": json.dumps(to_plain(counters))}
    write_atomic(path, save(own, metadata=header))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], Counters]:
    """Read a training state.

    Raises:
        CheckpointError: the file is missing, truncated or of another format.
    """
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is missing, truncated or no training state ({error}). "
            "Start from the last snapshot with --from instead."
        ) from error
    if header.get("format") != _FORMAT:
        raise CheckpointError(
            f"{path} is no training state (format {header.get('format')!r}, expected {_FORMAT!r})."
        )
    try:
        counters = from_plain(Counters, json.loads(header["counters"]), source=f"{path}: counters")
    except (ConfigError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: the header does not parse: {error}") from error
    return tensors, counters
