"""Zip archives from strangers: every member is checked before one byte is unpacked."""

import re
import zipfile
import zlib
from pathlib import Path
from typing import Final

from datasetgan.checkpoints.pickle_values import Budget
from datasetgan.errors import CheckpointError

__all__ = ["Archive"]

_MAX_MEMBERS: Final = 100_000
# Trained weights hardly compress; zeros do, a thousandfold.
_MAX_RATIO: Final = 20
_ALLOWANCE: Final = 16 << 20
_PIECE: Final = 1 << 20
_OUTSIDE: Final = re.compile(r"^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)|\0")
_DAMAGED: Final = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    ValueError,  # also a name that is no text, and a position before the file
    NotImplementedError,  # a compression of its own
    RuntimeError,
)


class Archive:
    """A zip file whose members may be read; nothing is ever extracted to disk.

    Args:
        path: an existing file.

    Attributes:
        names: of all members.
        budget: what reading it may cost.

    Raises:
        CheckpointError: the archive is truncated, protected by a password, holds
            paths that lead out of it, or claims to unpack to far more than it has.
    """

    def __init__(self, path: Path) -> None:
        source, size = str(path), path.stat().st_size
        refuse = Budget.for_content(source, size).refuse
        try:
            self._zip = zipfile.ZipFile(path)
        except _DAMAGED as error:
            refuse(f"it is a truncated or damaged zip archive ({_said(error)})")
        members = self._zip.infolist()
        self._members = {member.filename: member for member in members}
        self.names = list(self._members)
        if any(member.flag_bits & 1 for member in members):
            raise CheckpointError(
                f"{path} is a zip archive protected by a password. Unpack it with the password "
                "and give the file that lies in it."
            )
        if len(members) > _MAX_MEMBERS or len(members) != len(self._members):
            refuse(f"the zip archive has {len(members)} members, too many or of the same name")
        if any(_OUTSIDE.search(name) for name in self.names):
            refuse("the zip archive has members whose paths lead out of it")
        packed = sum(member.compress_size for member in members)
        unpacked = sum(member.file_size for member in members)
        if packed > size or unpacked > _MAX_RATIO * size + _ALLOWANCE:
            refuse(f"the zip archive of {size} bytes claims to unpack to {unpacked}, a zip bomb")
        self.budget = Budget.for_content(source, unpacked)

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def size(self, name: str) -> int:
        """Return the bytes of a member, unpacked; 0 if there is none."""
        return self._members[name].file_size if name in self._members else 0

    def read(self, name: str) -> bytearray:
        """Return a member's bytes, checked against its checksum."""
        if name not in self._members:
            self.budget.refuse(f"the archive lacks {name[:80]!a}")
        member = self._members[name]
        self.budget.spend(member.file_size)
        data = bytearray(member.file_size)
        view, filled = memoryview(data), 0
        try:
            with self._zip.open(member) as file:
                while piece := file.read(_PIECE):
                    view[filled : filled + len(piece)] = piece
                    filled += len(piece)
        except _DAMAGED as error:
            self.budget.refuse(f"{name[:80]!a} in it is damaged ({_said(error)})")
        if filled != len(data):
            self.budget.refuse(f"{name[:80]!a} in it is truncated")
        return data


def _said(error: Exception) -> str:
    return ascii(str(error)[:80])[1:-1] or type(error).__name__
