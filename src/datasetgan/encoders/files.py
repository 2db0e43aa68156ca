"""Encoders from and to native checkpoints, and from timm's own weights."""

import sys
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from datasetgan.checkpoints.foreign_files import read_foreign
from datasetgan.checkpoints.native import (
    FORMAT,
    WeightCard,
    check_finite,
    check_fit,
    load_into,
    read_checkpoint,
    write_checkpoint,
)
from datasetgan.encoders.encoder import Encoder, EncoderConfig
from datasetgan.encoders.timm_networks import build_network
from datasetgan.errors import CheckpointError, UsageError
from datasetgan.runtime import Runtime

__all__ = ["import_encoder", "load_encoder", "save_encoder"]

_ARCHITECTURE: Final = "timm"
# Where training scripts put the weights, best first.
_MEMBERS: Final = ("", "model_ema", "state_dict_ema", "teacher", "model", "state_dict")
_PREFIXES: Final = ("backbone.", "encoder.", "trunk.")


def load_encoder(path: Path, *, runtime: Runtime | None = None) -> Encoder:
    """Load an encoder from a native checkpoint; `digest` names the file's content.

    Args:
        runtime: where it runs; the CPU by default.

    Raises:
        CheckpointError: the file is missing, truncated, of another kind, or its tensors do
            not fit its configuration; every difference is listed.
    """
    checkpoint = read_checkpoint(path, kind="encoder")
    config = checkpoint.config_as(EncoderConfig)
    with torch.random.fork_rng(devices=[]):  # weights are drawn here, and thrown away
        try:
            encoder = Encoder(config)
        except UsageError as error:
            raise CheckpointError(f"{path}: {error}") from error
    load_into(encoder.network, checkpoint.tensors, source=str(path))
    encoder.digest = checkpoint.sha256
    return encoder.place(runtime or Runtime())


def save_encoder(path: Path, encoder: Encoder, *, card: WeightCard) -> None:
    """Write an encoder as a native checkpoint, atomically.

    Raises:
        StorageError: the disk is full or the place cannot be written.
    """
    write_checkpoint(
        path,
        encoder.network.state_dict(),
        kind="encoder",
        architecture=_ARCHITECTURE,
        config=encoder.config,
        card=card,
    )


def import_encoder(name: str, weights: Path, *, side: int | None = None) -> Encoder:
    """Build a network of timm with the weights of a file.

    Args:
        name: of the network; see `network_name`.
        weights: as timm publishes them (safetensors, or a torch file, read without running
            anything in it), or a native encoder checkpoint of the same network. A
            classifier in it is left out.
        side: see `EncoderConfig.of`.

    Returns:
        The encoder on the CPU, frozen.

    Raises:
        CheckpointError: the file is missing or damaged, or its tensors are not those of
            the network; every difference is listed.
        UsageError: timm cannot build the network, or a side below 1.
    """
    with torch.random.fork_rng(devices=[]):
        network = build_network(name)
    tensors = _read_tensors(weights)
    check_finite(weights, tensors)
    own = network.state_dict()
    if not own.keys() <= tensors.keys():
        tensors = _translated(network, tensors)
    facts: Any = network
    classifier = facts.pretrained_cfg.get("classifier") or ()
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    tensors = {
        key: tensor
        for key, tensor in tensors.items()
        if key in own or not any(key.startswith(f"{head}.") for head in heads)
    }
    for key, tensor in own.items():  # a counter of training steps, which old files lack
        if key.endswith("num_batches_tracked"):
            tensors.setdefault(key, tensor)
    check_fit(network, tensors, source=str(weights))
    network.load_state_dict(tensors)
    encoder = Encoder(EncoderConfig.of(name, network, side=side), network)
    return encoder.place(Runtime())


def _read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of one network, names as in the file but for common prefixes."""
    if _is_native(path):
        return read_checkpoint(path, kind="encoder").tensors
    networks = read_foreign(path, accept="any").networks
    member = next((name for name in _MEMBERS if name in networks), None)
    if member is None and len(networks) > 1:
        raise CheckpointError(
            f"{path} holds several networks: {', '.join(sorted(networks))}. Save the state dict "
            "of the one to use in a file of its own."
        )
    tensors = networks[next(iter(networks)) if member is None else member].tensors
    for prefix in _PREFIXES:
        if any(name.startswith(prefix) for name in tensors):
            tensors = {
                name.removeprefix(prefix): tensor
                for name, tensor in tensors.items()
                if name.startswith(prefix)
            }
    return tensors


def _is_native(path: Path) -> bool:
    try:
        with safe_open(path, "pt") as file:
            return (file.metadata() or {}).get("format") == FORMAT
    except (SafetensorError, OSError):
        return False


def _translated(network: torch.nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Let timm rename tensors of the network's authors, where it knows how to."""
    module = sys.modules[type(network).__module__]
    translate = getattr(module, "checkpoint_filter_fn", None)
    if translate is None:
        return tensors
    try:
        return dict(translate(dict(tensors), network))
    except (KeyError, RuntimeError, AttributeError, IndexError, ValueError):
        return tensors  # not what timm expects: the comparison of names says more
