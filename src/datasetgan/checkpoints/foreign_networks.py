"""The networks within the value of a foreign file: names to tensors, classes, settings."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from datasetgan.checkpoints.pickle_values import ArrayDraft, Budget, Record
from datasetgan.checkpoints.tensor_references import TensorReference

__all__ = ["DraftNetwork", "find_networks", "holds_tensorflow", "read_tensor"]

_TENSORFLOW: Final = "dnnlib.tflib.network.Network"
_TENSORFLOW_ORDER: Final = ("G", "D", "Gs")
_MEAN_LATENT: Final = "latent_avg"
_MAX_TENSORS: Final = 50_000
_MAX_DEPTH: Final = 32
_MAX_CONFIG_DEPTH: Final = 8
_MAX_NAME: Final = 512


@dataclass(frozen=True)
class DraftNetwork:
    """A network before its tensors are read.

    Attributes:
        class_name: for instance ``"Generator"``; empty for a bare state dict.
        values: by tensor name; `read_tensor` turns them into tensors.
        config: plain settings the network was built with, where the file has them.
    """

    class_name: str
    values: dict[str, object]
    config: dict[str, Any] | None


def holds_tensorflow(value: object) -> bool:
    """Whether a pickle's value is a network of NVIDIA's TensorFlow code, or several."""
    if isinstance(value, dict):
        parts = tuple(value.values())
    else:
        parts = tuple(value) if isinstance(value, list | tuple) else (value,)
    return any(isinstance(part, Record) and part.class_name == _TENSORFLOW for part in parts)


def find_networks(value: object, budget: Budget) -> dict[str, DraftNetwork]:
    """Return every network of a file's value by name, ``""`` if the value is one itself.

    A network is an object with modules, parameters or TensorFlow variables, or a
    dictionary of tensors. The three of NVIDIA's TensorFlow snapshots, a bare tuple,
    are named ``G``, ``D``, ``Gs``. A ``latent_avg`` beside networks goes to the
    generators among them (their names begin with a "g"). Anything else that lies
    beside, optimiser states above all, is left out.
    """
    whole = _network(value, budget)
    if whole is not None:
        return {"": whole}
    networks, count = {}, 0
    for name, part in _named_parts(value, budget):
        network = _network(part, budget)
        if network is not None:
            networks[name] = network
            count += len(network.values)
        if count > _MAX_TENSORS:
            budget.refuse(f"it holds more than {_MAX_TENSORS} tensors")
    loose = {k: v for k, v in _items(value, budget) if _is_tensor(v)}
    if not networks and loose:
        return {"": DraftNetwork("", loose, None)}
    if _MEAN_LATENT in loose:
        for name, network in networks.items():
            if name.lower().startswith("g"):
                network.values.setdefault(_MEAN_LATENT, loose[_MEAN_LATENT])
    return networks


def _items(value: object, budget: Budget) -> list[tuple[str, object]]:
    if not isinstance(value, dict):
        return []
    budget.walk(len(value))
    return [(k, v) for k, v in value.items() if isinstance(k, str) and len(k) < _MAX_NAME]


def _named_parts(value: object, budget: Budget) -> list[tuple[str, object]]:
    if not isinstance(value, list | tuple):
        return _items(value, budget)
    if len(value) == len(_TENSORFLOW_ORDER):
        return list(zip(_TENSORFLOW_ORDER, value, strict=True))
    return [(str(index), part) for index, part in enumerate(value[:100])]


def _network(value: object, budget: Budget) -> DraftNetwork | None:
    """Return the network that a value is, None if it is none."""
    if isinstance(value, Record):
        if value.class_name == _TENSORFLOW:
            return _tensorflow_network(value, budget)
        values = dict(islice(_module_values(value, budget), _MAX_TENSORS + 1))
        return DraftNetwork(value.class_name, values, _init_kwargs(value, budget))
    if not isinstance(value, dict):
        return None
    items = _items(value, budget)
    tensors = {name: part for name, part in items if _is_tensor(part)}
    # Counters and flags may stand among tensors; a container means another thing.
    if not tensors or any(isinstance(part, dict | list | Record) for part in value.values()):
        return None
    return DraftNetwork("", tensors, None)


def _is_tensor(value: object) -> bool:
    if isinstance(value, ArrayDraft):
        return value.array is not None
    return isinstance(value, TensorReference)


def _module_values(root: Record, budget: Budget) -> Iterator[tuple[str, object]]:
    """Yield what `state_dict` would hold: parameters and persistent buffers, by their paths."""
    pending = [("", root, 0)]
    while pending:
        prefix, record, depth = pending.pop()
        budget.walk(1)
        if depth > _MAX_DEPTH or len(prefix) > _MAX_NAME or len(pending) > _MAX_TENSORS:
            budget.refuse("its modules are nested without end")
        transient = record.state.get("_non_persistent_buffers_set")
        skipped = transient if isinstance(transient, set) else set()
        for part in ("_parameters", "_buffers"):
            for name, value in _items(record.state.get(part), budget):
                if _is_tensor(value) and not (part == "_buffers" and name in skipped):
                    yield prefix + name, value
        children = [
            (f"{prefix}{name}.", child, depth + 1)
            for name, child in _items(record.state.get("_modules"), budget)
            if isinstance(child, Record)
        ]
        pending.extend(reversed(children))


def _init_kwargs(record: Record, budget: Budget) -> dict[str, Any] | None:
    """Return NVIDIA's `init_kwargs`; None without them, or where arguments had no names."""
    kwargs = record.state.get("_init_kwargs")
    if not isinstance(kwargs, dict) or record.state.get("_init_args"):
        return None
    config: dict[str, Any] = _plain(kwargs, budget)
    return config


def _tensorflow_network(root: Record, budget: Budget) -> DraftNetwork:
    """Read a TensorFlow network: its own variables and, as ``G_mapping/...``, its components'."""
    values: dict[str, object] = {}
    pending = [("", root)]
    while pending:
        prefix, record = pending.pop()
        budget.walk(1)
        if len(prefix) > _MAX_NAME or len(pending) > _MAX_TENSORS:
            budget.refuse("its networks are nested without end")
        variables = record.state.get("variables")
        for entry in variables if isinstance(variables, list | tuple) else ():
            budget.walk(1)
            if not isinstance(entry, list | tuple) or len(entry) != 2:
                budget.refuse("the variables of a network are no pairs of name and array")
            name, value = entry
            if isinstance(name, str) and (_is_tensor(value) or isinstance(value, float)):
                values[prefix + name[:_MAX_NAME]] = value
        for name, part in reversed(_items(record.state.get("components"), budget)):
            if isinstance(part, Record):
                pending.append((f"{prefix}{name}/", part))
    function = root.state.get("build_func_name")
    settings = root.state.get("static_kwargs")
    return DraftNetwork(
        class_name=function[:_MAX_NAME] if isinstance(function, str) else "",
        values=values,
        config=_plain(settings, budget) if isinstance(settings, dict) else None,
    )


def _plain(value: object, budget: Budget, *, depth: int = 0) -> Any:
    budget.walk(1)
    if depth > _MAX_CONFIG_DEPTH:
        budget.refuse("the settings of a network are nested without end")
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item, budget, depth=depth + 1) for item in value]
    if isinstance(value, dict):
        return {k: _plain(v, budget, depth=depth + 1) for k, v in _items(value, budget)}
    # Named, so that a layout which does not know the setting refuses it.
    return f"<{value.class_name if isinstance(value, Record) else type(value).__name__}>"


def read_tensor(value: object, budget: Budget) -> Tensor:
    """Read the tensor of a value of `DraftNetwork.values`; arrays are copied and paid for."""
    if isinstance(value, TensorReference):
        return value.read()
    if isinstance(value, ArrayDraft) and value.array is not None:
        budget.spend(value.array.nbytes)
        native = value.array.dtype.newbyteorder("=")
        return torch.from_numpy(np.array(value.array, dtype=native, order="C"))
    return torch.tensor(value)
