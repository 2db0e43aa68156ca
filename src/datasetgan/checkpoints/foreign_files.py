"""Weights files of other projects, read without running anything that lies in them."""

import mmap
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from safetensors import SafetensorError, safe_open
from torch import Tensor

from datasetgan.checkpoints.archives import Archive
from datasetgan.checkpoints.foreign_networks import (
    DraftNetwork,
    find_networks,
    holds_tensorflow,
    read_tensor,
)
from datasetgan.checkpoints.identify import refuse_other_files, refuse_other_networks
from datasetgan.checkpoints.native import FORMAT
from datasetgan.checkpoints.pickle_values import (
    NUMBER_CODES,
    ArrayDraft,
    Budget,
    DtypeDraft,
    Record,
    array_view,
)
from datasetgan.checkpoints.torch_files import (
    LEGACY_START,
    read_legacy_stream,
    read_pickle,
    read_torch_archive,
)
from datasetgan.errors import CheckpointError, unknown_name
from datasetgan.serialization import sha256_of_file

__all__ = ["Accepted", "FileFormat", "ForeignFile", "ForeignNetwork", "read_foreign"]

FileFormat = Literal[
    "nvidia-pickle",
    "nvidia-tf-pickle",
    "pickle",
    "torch-zip",
    "torch-legacy",
    "npz",
    "safetensors",
]

Accepted = Literal["generators", "any"]
"""Which networks are read: generators and classifiers of features, or whatever there is."""

# Wrappers put these before every name.
_PREFIXES: Final = ("module.", "_orig_mod.", "G_ema.", "g_ema.")
# numpy writes the header always so; nothing else is worth a parser.
_NPY_HEADER: Final = re.compile(
    rb"\{'descr': '([<>|=])([a-zA-Z]\d{1,3})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,13}, ?)*(?:\d{1,13})?)\), \}\s*"
)


@dataclass(frozen=True)
class ForeignNetwork:
    """One network of a foreign file.

    Attributes:
        name: as the file calls it, for instance ``"G_ema"``; ``""`` for a bare state dict.
        class_name: of the network's Python class or TensorFlow function; ``""`` if unknown.
        tensors: by name, on the CPU, of the file's own types; TensorFlow's as
            ``G_mapping/...`` and ``G_synthesis/...``.
        config: the settings it was built with (NVIDIA's `init_kwargs`, TensorFlow's
            static kwargs), plain values; None where the file has none.
    """

    name: str
    class_name: str
    tensors: dict[str, Tensor]
    config: dict[str, Any] | None


@dataclass(frozen=True)
class ForeignFile:
    """A foreign file as read.

    Attributes:
        path: the file.
        sha256: digest of its bytes.
        format: how it was written; ``"pickle"`` is a bare pickle of no known project.
        networks: by name.
    """

    path: Path
    sha256: str
    format: FileFormat
    networks: dict[str, ForeignNetwork]


def read_foreign(
    path: Path, *, member: str | None = None, accept: Accepted = "generators"
) -> ForeignFile:
    """Read a weights file of another project: pickle, torch file, npz or safetensors.

    No code of the file is run and no class of it is built: pickles go through a
    machine that knows tensors, arrays, plain containers and a few inert stand-ins.
    Memory stays within a few times the file's size. Prefixes that all names of a
    network share (``module.``, ``_orig_mod.``, ``G_ema.``, ``g_ema.``) are removed.

    Args:
        member: read the tensors of this network alone, for instance ``"G_ema"``.
        accept: with ``"generators"`` a file of other networks is refused by what it is.

    Raises:
        CheckpointError: the file is missing, truncated, hostile, of another kind or
            holds no such network; the message names what it is.
    """
    refuse_other_files(path)
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        with Archive(path) as archive:
            form, drafts = _read_archive(path, archive)
            return _foreign_file(
                path, form, drafts, budget=archive.budget, member=member, accept=accept
            )
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 30:
        networks = {"": ForeignNetwork("", "", _read_safetensors(path, accept), None)}
        return _chosen(path, "safetensors", networks, member=member)
    if not head.startswith(b"\x80"):
        shown = head[:8].hex(" ")
        raise CheckpointError(
            f"{path} is no weights file that is known: it begins with the bytes {shown}. "
            "Known: pickles of StyleGAN, files of torch.save, .npz and .safetensors."
        )
    with path.open("rb") as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    budget = Budget.for_content(str(path), len(data))
    if head.startswith(LEGACY_START):
        value = read_legacy_stream(data, budget)
        form = "torch-legacy"
    else:
        value = read_pickle(data, budget)
        form = _pickle_format(value)
    drafts = find_networks(value, budget)
    return _foreign_file(path, form, drafts, budget=budget, member=member, accept=accept)


def _pickle_format(value: object) -> FileFormat:
    if holds_tensorflow(value):
        return "nvidia-tf-pickle"
    parts = value.values() if isinstance(value, dict) else (value,)
    return "nvidia-pickle" if any(isinstance(part, Record) for part in parts) else "pickle"


def _foreign_file(
    path: Path,
    form: FileFormat,
    drafts: Mapping[str, DraftNetwork],
    *,
    budget: Budget,
    member: str | None,
    accept: Accepted,
) -> ForeignFile:
    drafts = {name: draft for name, draft in drafts.items() if draft.values}
    if not drafts:
        raise CheckpointError(
            f"{path} holds no tensors where weights are kept. Expected networks or state dicts "
            "at its top level, for instance G_ema or g_ema."
        )
    if accept == "generators":
        refuse_other_networks(path, {n: (d.class_name, d.values) for n, d in drafts.items()})
    networks = {
        name: ForeignNetwork(
            name=name,
            class_name=draft.class_name,
            tensors={
                tensor: read_tensor(value, budget)
                for tensor, value in draft.values.items()
                if member in (None, name)
            },
            config=draft.config,
        )
        for name, draft in drafts.items()
    }
    return _chosen(path, form, networks, member=member)


def _chosen(
    path: Path, form: FileFormat, networks: Mapping[str, ForeignNetwork], *, member: str | None
) -> ForeignFile:
    """Return the file with the networks asked for, common prefixes off, and its digest."""
    if member is not None and member not in networks:
        message = unknown_name("network", member, sorted(networks))
        raise CheckpointError(f"{path}: {message}")
    chosen = {
        name: ForeignNetwork(
            name=name,
            class_name=network.class_name,
            tensors=_without_prefix(network.tensors),
            config=network.config,
        )
        for name, network in networks.items()
        if member in (None, name)
    }
    return ForeignFile(path, sha256_of_file(path), form, chosen)


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    while True:
        # A mean latent laid beside the network has no prefix of its own.
        own = [name for name in tensors if name != "latent_avg"]
        common = next(
            (p for p in _PREFIXES if own and all(name.startswith(p) for name in own)), None
        )
        if common is None:
            return tensors
        tensors = {name.removeprefix(common): tensor for name, tensor in tensors.items()}


def _read_archive(path: Path, archive: Archive) -> tuple[FileFormat, dict[str, DraftNetwork]]:
    names = archive.names
    if any(name.endswith("constants.pkl") or "/code/" in name for name in names):
        raise CheckpointError(
            f"{path} is a TorchScript program, not a set of weights. Save the network's "
            "state_dict() instead."
        )
    pickles = [name for name in names if re.fullmatch(r"([^/]+/)?data\.pkl", name)]
    if len(pickles) == 1:
        value = read_torch_archive(archive, pickles[0])
        return "torch-zip", find_networks(value, archive.budget)
    if names and all(name.endswith(".npy") for name in names):
        values: dict[str, object] = {
            name.removesuffix(".npy"): _read_npy(name, archive) for name in names
        }
        return "npz", {"": DraftNetwork("", values, None)}
    inside = next((n for n in names if n.endswith((".pkl", ".pt", ".pth"))), None)
    advice = f"Unpack it and give {inside[:80]!a} in it." if inside else "Unpack it."
    raise CheckpointError(
        f"{path} is a zip archive of {len(names)} files, neither a torch file nor an .npz. {advice}"
    )


def _read_npy(name: str, archive: Archive) -> ArrayDraft:
    """Read an array of numbers; NumPy's own reader would evaluate the header first."""
    budget = archive.budget
    data = memoryview(archive.read(name)).toreadonly()
    width = {b"\x93NUMPY\x01\x00": 2, b"\x93NUMPY\x02\x00": 4}.get(bytes(data[:8]))
    if width is None:
        budget.refuse(f"{name[:80]!a} in it is no NumPy array")
    start = 8 + width + int.from_bytes(data[8 : 8 + width], "little")
    header = _NPY_HEADER.fullmatch(bytes(data[8 + width : min(start, 4096)]))
    if header is None or header[2].decode() not in NUMBER_CODES:
        budget.refuse(f"{name[:80]!a} in it is no array of numbers")
    order, code, fortran, sizes = (part.decode() for part in header.groups())
    shape = tuple(int(size) for size in sizes.split(",") if size.strip())
    dtype = DtypeDraft(code, "<" if order in "|=" else order)
    order = "F" if fortran == "True" else "C"
    return ArrayDraft(array_view(data[start:], dtype, shape, budget, order=order))


def _read_safetensors(path: Path, accept: Accepted) -> dict[str, Tensor]:
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            if header.get("format") == FORMAT:
                raise CheckpointError(
                    f"{path} is already a native {header.get('kind', '')} checkpoint: use it as "
                    "it is, there is nothing to import."
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is truncated or no safetensors file ({error}). "
            "Copy or download it again and compare its size and sha256."
        ) from error
    if not tensors:
        raise CheckpointError(f"{path} holds no tensors.")
    if accept == "generators":
        refuse_other_networks(path, {"": ("", tensors)})
    return tensors
