"""Reads a file under an audit hook: whatever it makes the process do is seen."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datasetgan.checkpoints.foreign_files import read_foreign
from datasetgan.errors import CheckpointError
from tests.checkpoints import writers

_FORBIDDEN = ("import", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.remove", "exec")
_FORBIDDEN += ("subprocess", "socket.connect", "shutil", "ctypes", "compile", "pickle.find_class")

_watched: list[str] | None = None


def _audit(event: str, args: tuple[Any, ...]) -> None:
    writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
    if _watched is not None and (writes or event.startswith(_FORBIDDEN)):
        _watched.append(f"{event} {args}"[:200])


sys.addaudithook(_audit)  # for good, but idle outside `no_side_effects`


@contextmanager
def no_side_effects() -> Iterator[None]:
    """Fail if the block imports, compiles, executes, starts, connects or writes."""
    global _watched
    _watched = []
    try:
        yield
    finally:
        seen, _watched = _watched, None
    assert not seen, seen


def read_one_of_each(folder: Path) -> None:
    """Read an honest file of each kind, so that libraries load their own late modules first."""
    np.savez_compressed(folder / "x.npz", a=np.ones(2))
    for path in (
        writers.write_torch_zip(folder / "x.pt", {"a": torch.ones(2)}),
        writers.write_pickle(folder / "x.pkl", {"a": np.ones(2)}),
        writers.write_safetensors(folder / "x.safetensors", {"a": torch.ones(2)}),
        folder / "x.npz",
    ):
        read_foreign(path)


def refused(path: Path, data: bytes, *, match: str | None = None) -> str:
    """Read a file that must be refused and must do nothing; return the message."""
    path.write_bytes(data)
    with no_side_effects(), pytest.raises(CheckpointError, match=match) as caught:
        read_foreign(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 1000
    return message


def quiet_or_refused(path: Path) -> None:
    """Read a file that may be honest; it must do nothing."""
    with no_side_effects():
        try:
            read_foreign(path)
        except CheckpointError:
            return
