"""Dataclasses to TOML and JSON and back, and files that appear whole or not at all."""

import errno
import json
import os
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast, get_args, get_type_hints

import tomli_w
from pydantic import ConfigDict, TypeAdapter, ValidationError

from datasetgan.errors import ConfigError, StorageError, UsageError, unknown_name

__all__ = [
    "atomic_file",
    "from_plain",
    "read_json",
    "read_toml",
    "sha256_of_file",
    "storage_errors",
    "to_plain",
    "write_atomic",
    "write_json",
    "write_toml",
]

T = TypeVar("T")

_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}


def to_plain(value: Any) -> dict[str, Any]:
    """Turn a dataclass into plain dictionaries, lists and scalars, leaving out None."""
    return cast(dict[str, Any], _without_none(asdict(value)))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    if isinstance(value, (list, tuple)):
        return [_without_none(v) for v in value]
    return str(value) if isinstance(value, Path) else value


def from_plain(cls: type[T], data: Any, *, source: str) -> T:
    """Build a dataclass from plain data; types are checked, an unknown key is an error.

    Args:
        source: where the data came from, for the message.

    Raises:
        ConfigError: names the source, the key, what was expected and what came.
    """
    try:
        # Strict as JSON is: a list stands for a tuple, but "1" is no number.
        text = json.dumps(data, default=_refuse)
        return cast(T, _adapter(cls).validate_json(text, strict=True))
    except UsageError as error:  # raised by a dataclass about its own values, or by _refuse
        raise ConfigError(f"{source}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the top level"
        if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            valid = _keys_at(cls, data, first["loc"])
            message = unknown_name("key", str(first["loc"][-1]), valid)
        else:
            message = f"{first['msg']}, got {first['input']!r}."
        raise ConfigError(f"{source}: {where}: {message}") from error


def _refuse(value: Any) -> None:
    # TOML has dates and times, settings have not.
    raise UsageError(f"{value} is a {type(value).__name__}; expected a number or a quoted text.")


def _adapter(cls: type[Any]) -> TypeAdapter[Any]:
    if cls not in _ADAPTERS:
        _forbid_unknown_keys(cls, set())
        _ADAPTERS[cls] = TypeAdapter(cls)
    return _ADAPTERS[cls]


def _forbid_unknown_keys(cls: Any, seen: set[Any]) -> None:
    """Mark a dataclass and every dataclass among its fields' types as strict."""
    if cls in seen:
        return
    seen.add(cls)
    for argument in get_args(cls):
        if not isinstance(argument, (str, int)):
            _forbid_unknown_keys(argument, seen)
    if isinstance(cls, type) and is_dataclass(cls):
        cls.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[attr-defined]
        for hint in get_type_hints(cls).values():
            _forbid_unknown_keys(hint, seen)


def _keys_at(cls: type[Any], data: Any, loc: tuple[int | str, ...]) -> list[str]:
    """List the keys that were valid beside an unknown one."""
    schema = _adapter(cls).json_schema()
    node = schema
    for part in (None, *loc[:-1]):
        if part is not None:
            node = node.get("items", {}) if isinstance(part, int) else node["properties"][part]
        for option in [*node.get("anyOf", []), *node.get("allOf", [])]:
            if "$ref" in option or "properties" in option or "items" in option:
                node = option
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
    return sorted(node.get("properties", {}))


def read_toml(path: Path, cls: type[T]) -> T:
    """Read a TOML file into a dataclass.

    Raises:
        ConfigError: the file is missing, does not parse or does not fit the dataclass.
    """
    return _read(path, cls, parse=tomllib.loads, language="TOML")


def read_json(path: Path, cls: type[T]) -> T:
    """Read a JSON file into a dataclass.

    Raises:
        ConfigError: the file is missing, does not parse or does not fit the dataclass.
    """
    return _read(path, cls, parse=json.loads, language="JSON")


def _read(path: Path, cls: type[T], *, parse: Callable[[str], Any], language: str) -> T:
    try:
        data = parse(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist.") from error
    except ValueError as error:  # also of text that is not UTF-8
        raise ConfigError(f"{path} is not valid {language}: {error}.") from error
    return from_plain(cls, data, source=str(path))


def write_toml(path: Path, value: Any) -> None:
    """Write a dataclass as TOML, atomically."""
    write_atomic(path, tomli_w.dumps(to_plain(value)).encode())


def write_json(path: Path, value: Any) -> None:
    """Write a dataclass as indented JSON, atomically; the bytes depend on the value alone."""
    write_atomic(path, (json.dumps(to_plain(value), indent=2) + "\n").encode())


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a read-only place into one clear `StorageError`."""
    remedies = {
        errno.ENOSPC: "the disk is full: free some space and run the same command again",
        errno.EDQUOT: "the disk quota is used up: free some space and run the same command again",
        errno.EACCES: "permission denied: choose a place that you may write to",
        errno.EROFS: "the file system is read-only: choose another place",
        errno.EEXIST: "a part of its path is a file: choose another place",
        errno.ENOTDIR: "a part of its path is a file: choose another place",
    }
    try:
        yield
    except OSError as error:
        if error.errno not in remedies:
            raise
        raise StorageError(f"cannot write {path}: {remedies[error.errno]}.") from error


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a binary file that takes its name only when the block ends without error.

    Raises:
        StorageError: the disk is full or the place cannot be written; nothing is left behind.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; see `atomic_file`."""
    with atomic_file(path) as file:
        file.write(data)


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal, reading it in pieces."""
    digest = sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
