"""The state of an unfinished training run, so that it goes on where it stopped."""

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from datasetgan.checkpoints.native import WeightCard, read_checkpoint, write_checkpoint
from datasetgan.checkpoints.state_tensors import restore, state_tensors
from datasetgan.errors import UsageError

__all__ = ["Position", "load_state", "run_digest", "save_state"]

_KIND = "training-state"


@dataclass(frozen=True)
class Position:
    """Where a run stands.

    Attributes:
        run: digest of its settings and its dataset.
        step: steps done.
        seconds: of training so far.
    """

    run: str
    step: int = 0
    seconds: float = 0.0


def run_digest(*content: Any) -> str:
    """Return a digest of everything that decides a run's result, given as plain data."""
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def save_state(path: Path, module: nn.Module, *, optimizer: Optimizer, position: Position) -> None:
    """Write weights, optimiser and position, atomically.

    Raises:
        StorageError: the disk is full or the place cannot be written.
    """
    tensors = state_tensors({"module": module}, {"optimizer": optimizer})
    card = WeightCard(title="Unfinished training of a network")
    write_checkpoint(path, tensors, kind=_KIND, architecture="", config=position, card=card)


def load_state(path: Path, module: nn.Module, *, optimizer: Optimizer, run: str) -> Position:
    """Restore weights and optimiser; return where the run stood.

    Args:
        run: digest of the run that is to go on.

    Raises:
        CheckpointError: the file is truncated or of another kind.
        UsageError: it belongs to a run with other settings or another dataset.
    """
    checkpoint = read_checkpoint(path, kind=_KIND)
    position = checkpoint.config_as(Position)
    if position.run != run:
        raise UsageError(
            f"{path} is the state of an unfinished training with other settings or on another "
            f"dataset. Delete it to train anew, or set the settings back to go on with it."
        )
    restore(
        checkpoint.tensors,
        modules={"module": module},
        optimizers={"optimizer": optimizer},
        source=path,
    )
    return position
