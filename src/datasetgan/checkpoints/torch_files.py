"""What `torch.save` writes: the zip archive of today and the legacy stream before it.

Both keep the numbers outside their pickle and refer to them by persistent ids
``("storage", class, key, location, count)``.
"""

from collections.abc import Callable
from typing import Final

from datasetgan.checkpoints.archives import Archive
from datasetgan.checkpoints.pickle_values import Budget, GlobalName, Reader
from datasetgan.checkpoints.pickles import run_pickle
from datasetgan.checkpoints.tensor_references import STORAGE_DTYPES, Storage

__all__ = ["LEGACY_START", "read_legacy_stream", "read_pickle", "read_torch_archive"]

LEGACY_START: Final = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
"""The first pickle of every legacy file: the magic number as a ten-byte integer."""

_MAX_NUMEL: Final = 2**40


def read_pickle(data: memoryview, budget: Budget) -> object:
    """Read a bare pickle, as NVIDIA's snapshots are; storages in it are legacy streams.

    Raises:
        CheckpointError: see `run_pickle`.
    """
    value, _ = run_pickle(data, Reader(budget, load_bytes=_read_nested))
    return value


def _read_nested(data: memoryview, budget: Budget) -> object:
    if data[: len(LEGACY_START)].tobytes() != LEGACY_START:
        budget.refuse("a storage inside the pickle is no torch file")
    return read_legacy_stream(data, budget)


def read_legacy_stream(data: memoryview, budget: Budget) -> object:
    """Read a legacy file: magic number, version, machine, value, keys, then the numbers.

    Raises:
        CheckpointError: see `run_pickle`; the numbers are truncated or of a
            big-endian machine.
    """
    storages: dict[str, Storage] = {}
    places: dict[str, int] = {}

    def fetch_of(key: str) -> Callable[[int], bytearray]:
        def fetch(num_bytes: int) -> bytearray:
            if key not in places:
                budget.refuse("a storage that the pickle names is missing")
            budget.spend(num_bytes)
            return bytearray(data[places[key] : places[key] + num_bytes])

        return fetch

    def persistent(pid: object) -> Storage:
        if isinstance(pid, tuple) and len(pid) == 6 and pid[5] is None:
            pid = pid[:5]  # a view of another storage, as in files before PyTorch 0.4
        key, storage = _storage(pid, budget, fetch_of)
        return storages.setdefault(key, storage)

    # 1. The pickles.
    plain, position = Reader(budget), len(LEGACY_START)
    _, position = run_pickle(data, plain, start=position)
    machine, position = run_pickle(data, plain, start=position)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        budget.refuse("the torch file is of a big-endian machine, which is not read")
    reader = Reader(budget, persistent=persistent)
    value, position = run_pickle(data, reader, start=position)
    keys, position = run_pickle(data, plain, start=position)
    # 2. The numbers, each storage behind its count.
    for key in keys if isinstance(keys, list) else ():
        if not isinstance(key, str) or key not in storages or key in places:
            budget.refuse("the torch file lists storages that it does not use")
        count = int.from_bytes(data[position : position + 8], "little")
        places[key] = position + 8
        position += 8 + storages[key].num_bytes
        if count != storages[key].numel or position > len(data):
            budget.refuse("the torch file is truncated within its numbers")
    return value


def read_torch_archive(archive: Archive, pickle_name: str) -> object:
    """Read the zip archive of `torch.save`: ``data.pkl`` and one member per storage.

    Args:
        pickle_name: the member ``.../data.pkl``.

    Raises:
        CheckpointError: see `run_pickle`; a storage is missing or too short, or the
            file is of a big-endian machine.
    """
    budget = archive.budget
    root = pickle_name.removesuffix("data.pkl")
    storages: dict[tuple[str, str, int], Storage] = {}
    if f"{root}byteorder" in archive.names and archive.read(f"{root}byteorder") != b"little":
        budget.refuse("the torch file is of a big-endian machine, which is not read")

    def fetch_of(key: str) -> Callable[[int], bytearray]:
        def fetch(num_bytes: int) -> bytearray:
            member = f"{root}data/{key}"
            if archive.size(member) != num_bytes:
                budget.refuse(f"its storage {key[:20]!a} is missing or of another size")
            return archive.read(member)

        return fetch

    def persistent(pid: object) -> Storage:
        key, storage = _storage(pid, budget, fetch_of)
        return storages.setdefault((key, str(storage.dtype), storage.numel), storage)

    # Some pickle their networks with NVIDIA's persistence inside torch.save.
    reader = Reader(budget, persistent=persistent, load_bytes=_read_nested)
    value, _ = run_pickle(memoryview(archive.read(pickle_name)), reader)
    return value


def _storage(
    pid: object, budget: Budget, fetch_of: Callable[[str], Callable[[int], bytearray]]
) -> tuple[str, Storage]:
    """Return the key and the storage of a persistent id; where it lay (location) is dropped."""
    if not isinstance(pid, tuple) or len(pid) != 5 or not isinstance(pid[0], str):
        budget.refuse("a persistent id is of an unknown form")
    kind, cls, key, _, numel = pid
    if (
        kind != "storage"
        or not isinstance(cls, GlobalName)
        or cls.name not in STORAGE_DTYPES
        or not isinstance(key, str)
        or type(numel) is not int
        or not 0 <= numel < _MAX_NUMEL
    ):
        budget.refuse("a persistent id is of an unknown form")
    return key, Storage(STORAGE_DTYPES[cls.name], numel, fetch_of(key))
