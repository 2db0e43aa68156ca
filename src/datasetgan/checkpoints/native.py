"""The native checkpoint: safetensors with its kind, configuration and weight card in the header.

Nothing in it can run code, and loading compares names and shapes both ways.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from datasetgan.errors import CheckpointError, ConfigError, listed
from datasetgan.serialization import from_plain, sha256_of_file, to_plain, write_atomic

__all__ = [
    "Checkpoint",
    "WeightCard",
    "check_finite",
    "check_fit",
    "content_digest",
    "load_into",
    "read_checkpoint",
    "write_checkpoint",
]

FORMAT = "datasetgan-checkpoint-1"
_MAX_LISTED = 20
_IMPORT = (
    "Import weights of other projects first: datasetgan import-checkpoint FILE OUT.safetensors"
)

T = TypeVar("T")


@dataclass(frozen=True)
class WeightCard:
    """Where weights come from and what one may do with them.

    Attributes:
        title: what the weights are.
        licence: of the weights, for instance ``"CC-BY-4.0"``; ``"unknown"`` if not stated.
        source: file, project or training run they came from.
        source_sha256: digest of the source file, where there was one.
        data: what they were trained on.
        attribution: the credit that the licence asks for.
        paper: the publication of the method.
        settings: of the training run, in words or ``key=value``.
        images_seen: training images drawn, with repetition.
        scores: named measures of quality.
        notes: anything a user should know.
    """

    title: str
    licence: str = "unknown"
    source: str | None = None
    source_sha256: str | None = None
    data: str | None = None
    attribution: str | None = None
    paper: str | None = None
    settings: str | None = None
    images_seen: int | None = None
    scores: dict[str, float] = field(default_factory=dict)
    notes: str | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A native checkpoint as read from disk.

    Attributes:
        path: the file.
        kind: ``"generator"``, ``"interpreter"``, ``"segmenter"``, ``"keypoint-interpreter"``
            or ``"keypoint-network"``.
        architecture: a name within the kind, for instance ``"stylegan2"``.
        config: plain data; `config_as` turns it into a dataclass.
        card: where the weights come from.
        tensors: by name, on the CPU, all finite.
        sha256: digest of the file.
    """

    path: Path
    kind: str
    architecture: str
    config: dict[str, Any]
    card: WeightCard
    tensors: dict[str, Tensor]
    sha256: str

    def config_as(self, cls: type[T]) -> T:
        """Return the configuration as a dataclass.

        Raises:
            CheckpointError: it does not fit the dataclass.
        """
        try:
            return from_plain(cls, self.config, source=f"{self.path}: config")
        except ConfigError as error:
            raise CheckpointError(str(error)) from error


def write_checkpoint(
    path: Path,
    tensors: Mapping[str, Tensor],
    *,
    kind: str,
    architecture: str,
    config: Any,
    card: WeightCard,
) -> None:
    """Write a checkpoint atomically; its bytes depend on the arguments alone.

    Args:
        config: a dataclass of plain values.

    Raises:
        StorageError: the disk is full or the place cannot be written.
    """
    header = {
        "format": FORMAT,
        "kind": kind,
        "architecture": architecture,
        "config": json.dumps(to_plain(config), sort_keys=True),
        "card": json.dumps(to_plain(card), sort_keys=True),
    }
    own = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomic(path, _in_fixed_order(save(own, metadata=header)))


def _in_fixed_order(data: bytes) -> bytes:
    """Sort the header's entries, whose order safetensors leaves to chance.

    A file is 8 bytes of header length, the JSON header, then the tensors.
    """
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + length]), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)  # the tensors stay aligned
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def content_digest(config: object, tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of a configuration and its weights, whatever their card says.

    Args:
        config: a dataclass of plain values.
        tensors: by name; their order does not count.
    """
    digest = sha256(json.dumps(to_plain(config), sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def read_checkpoint(path: Path, *, kind: str) -> Checkpoint:
    """Read a native checkpoint of a kind.

    Raises:
        CheckpointError: the file is missing, truncated, of another format or kind,
            or holds values that are not finite.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist. Expected a {kind} checkpoint there.")
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        if _begins_as_foreign(path):
            raise CheckpointError(
                f"{path} is a pickle or torch file, not a {kind}. {_IMPORT}"
            ) from error
        raise CheckpointError(
            f"{path} is truncated or no safetensors file ({error}). "
            "Copy or download it again and compare its size and sha256."
        ) from error
    if header.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is a safetensors file, but not a DatasetGAN checkpoint "
            f"(header format {header.get('format')!r}, expected {FORMAT!r}). {_IMPORT}"
        )
    if header["kind"] != kind:
        raise CheckpointError(f"{path} is a {header['kind']} checkpoint; expected a {kind}.")
    check_finite(path, tensors)
    try:
        card = from_plain(WeightCard, json.loads(header["card"]), source=f"{path}: card")
        config = json.loads(header["config"])
    except (ConfigError, KeyError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: the header does not parse: {error}") from error
    return Checkpoint(
        path=path,
        kind=kind,
        architecture=header.get("architecture", ""),
        config=config,
        card=card,
        tensors=tensors,
        sha256=sha256_of_file(path),
    )


def check_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raise `CheckpointError` that names the tensors with NaN or infinite values."""
    broken = [n for n, t in tensors.items() if t.is_floating_point() and not t.isfinite().all()]
    if broken:
        raise CheckpointError(
            f"{path}: {listed(broken, most=_MAX_LISTED)} hold NaN or infinite values. "
            "The training that wrote it diverged: use an earlier snapshot."
        )


def _begins_as_foreign(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(9)
    # A safetensors file has its header's length there, which may be any, and a brace.
    return head.startswith((b"PK\x03\x04", b"\x80")) and head[8:] != b"{"


def load_into(module: nn.Module, tensors: Mapping[str, Tensor], *, source: str) -> None:
    """Load tensors into a module whose names and shapes they must match exactly.

    Args:
        source: names the file in the message.

    Raises:
        CheckpointError: lists every missing, unexpected and misshapen tensor.
    """
    check_fit(module, tensors, source=source)
    with torch.no_grad():
        module.load_state_dict(dict(tensors))


def check_fit(module: nn.Module, tensors: Mapping[str, Tensor], *, source: str) -> None:
    """Compare tensors with a module's by name and shape.

    Raises:
        CheckpointError: lists every missing, unexpected and misshapen tensor.
    """
    wanted = module.state_dict()
    missing = sorted(wanted.keys() - tensors.keys())
    unexpected = sorted(tensors.keys() - wanted.keys())
    misshapen = [
        f"{name} is {list(tensors[name].shape)}, expected {list(wanted[name].shape)}"
        for name in sorted(wanted.keys() & tensors.keys())
        if tensors[name].shape != wanted[name].shape
    ]
    problems = []
    if missing:
        problems.append(f"missing: {listed(missing, most=_MAX_LISTED)}")
    if unexpected:
        problems.append(f"unexpected: {listed(unexpected, most=_MAX_LISTED)}")
    if misshapen:
        problems.append(f"misshapen: {listed(misshapen, most=_MAX_LISTED)}")
    if problems:
        raise CheckpointError(
            f"{source} does not fit {type(module).__name__}: {'; '.join(problems)}. "
            "Is the configuration that of these weights?"
        )
