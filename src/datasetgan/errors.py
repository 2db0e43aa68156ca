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

from collections.abc import Iterable
from difflib import get_close_matches

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
