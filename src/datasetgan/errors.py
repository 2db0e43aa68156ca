"""The exceptions that DatasetGAN raises on bad input.

Every one carries a single message that says what was expected, what came and
what to do. The command line prints it and exits with code 2, no traceback.

::

    DatasetGANError
    ├── UsageError        an argument out of range, or an unknown name
    ├── ConfigError       a settings or index file that does not parse
    ├── CheckpointError   weights that are truncated, misshapen or not finite
    ├── ProjectError      a project folder that is missing, newer or inconsistent
    │   └── LabelError    a label map that does not fit its sample or taxonomy
    ├── TrainingError     a training that diverged
    ├── DatasetError      a generated dataset that is incomplete or altered
    └── StorageError      the disk is full, or a file cannot be written
"""

from collections.abc import Collection, Iterable
from dataclasses import Field, fields
from difflib import get_close_matches
from types import UnionType
from typing import Any, ClassVar, Literal, Protocol, Union, get_args, get_origin, get_type_hints

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DatasetError",
    "DatasetGANError",
    "LabelError",
    "ProjectError",
    "StorageError",
    "TrainingError",
    "UsageError",
    "check_literals",
    "listed",
    "unknown_name",
]


class DatasetGANError(Exception):
    """Base of every error that a user can mend; its text is one clear message."""


class UsageError(DatasetGANError):
    """An argument is out of range, or a name is unknown."""


class ConfigError(DatasetGANError):
    """A settings or index file does not parse or holds unknown keys."""


class CheckpointError(DatasetGANError):
    """A weights file is truncated, misshapen, not finite or of another kind."""


class ProjectError(DatasetGANError):
    """A project folder is missing, of a newer version or inconsistent."""


class LabelError(ProjectError):
    """A label map does not fit its sample or the class taxonomy."""


class TrainingError(DatasetGANError):
    """A training diverged: a loss or a weight is not finite."""


class DatasetError(DatasetGANError):
    """A generated dataset is incomplete or was altered after it was written."""


class StorageError(DatasetGANError):
    """A file cannot be written: the disk is full or the place is read-only."""


def unknown_name(what: str, name: str, valid: Iterable[str]) -> str:
    """Return the message for an unknown name: the nearest valid one, then all of them.

    Args:
        what: the kind of thing, for instance ``"class"``.
        name: the name that came.
        valid: every name that would have been accepted.
    """
    names = list(valid)
    near = get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"unknown {what} {name!r}.{hint} Valid: {', '.join(names)}."


def listed(names: Collection[str], *, most: int = 8) -> str:
    """Return the first names in one line, and how many more there are."""
    shown = list(names)[:most]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


class _Settings(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


def check_literals(settings: _Settings) -> None:
    """Check that every field annotated as a `Literal` holds one of its values.

    A settings class calls it in `__post_init__`: Python itself takes any value, and a
    misspelt one would be read as whatever the last branch does.

    Args:
        settings: a dataclass; a field may be ``Literal[...]`` or ``Literal[...] | None``.

    Raises:
        UsageError: names the first such field, the value that came and the valid ones.
    """
    hints = get_type_hints(type(settings))
    for field in fields(settings):
        valid, value = _literal_values(hints[field.name]), getattr(settings, field.name)
        # By type as well: True == 1, yet it is no member of Literal[1, 2].
        if valid and (type(value), value) not in [(type(v), v) for v in valid]:
            raise UsageError(unknown_name(field.name, str(value), map(str, valid)))


def _literal_values(hint: Any) -> tuple[object, ...]:
    """Return what a type of literals allows; nothing for a type that is more than literals."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    if get_origin(hint) not in (Union, UnionType):
        return ()
    parts = [(None,) if part is type(None) else _literal_values(part) for part in get_args(hint)]
    return tuple(value for part in parts for value in part) if all(parts) else ()
