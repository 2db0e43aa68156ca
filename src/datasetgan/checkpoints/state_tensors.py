"""Networks and optimisers of an unfinished training as named tensors, and back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from datasetgan.checkpoints.native import load_into
from datasetgan.errors import CheckpointError

__all__ = ["restore", "state_tensors"]


def state_tensors(
    modules: Mapping[str, nn.Module], optimizers: Mapping[str, Optimizer]
) -> dict[str, Tensor]:
    """Return everything that an exact continuation needs, each name below its owner's."""
    tensors: dict[str, Tensor] = {}
    for prefix, module in modules.items():
        tensors |= {f"{prefix}.{k}": v for k, v in module.state_dict().items()}
    for prefix, optimizer in optimizers.items():
        for i, state in optimizer.state_dict()["state"].items():
            tensors |= {f"{prefix}.{i}.{k}": v for k, v in state.items()}
    return tensors


def restore(
    tensors: Mapping[str, Tensor],
    *,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer],
    source: Path,
) -> None:
    """Put the tensors of `state_tensors` back into networks and optimisers.

    Raises:
        CheckpointError: names or shapes do not fit.
    """
    for prefix, module in modules.items():
        load_into(module, _below(tensors, prefix), source=f"{source}: {prefix}")
    for prefix, optimizer in optimizers.items():
        state: dict[int, dict[str, Any]] = {}
        for name, value in _below(tensors, prefix).items():
            index, _, key = name.partition(".")
            state.setdefault(int(index), {})[key] = value
        groups = optimizer.state_dict()["param_groups"]
        if set(state) - set(groups[0]["params"]):
            raise CheckpointError(f"{source}: {prefix} is of networks of another size.")
        optimizer.load_state_dict({"state": state, "param_groups": groups})


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = prefix + "."
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
