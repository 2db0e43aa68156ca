"""What settings dataclasses share: names, types and explanations; in as text, and out again."""

import json
import re
import textwrap
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import is_dataclass
from functools import reduce
from inspect import cleandoc
from typing import Any, Literal, get_args, get_origin, get_type_hints

import tomli_w
from pydantic import TypeAdapter, ValidationError

from datasetgan.errors import UsageError, unknown_name

__all__ = ["commented_defaults", "parse_assignments", "setting_types"]

_WIDTH = 98


def setting_types(cls: type[Any]) -> dict[str, Any]:
    """Return the type of every setting by name, ``"augmentation.scale"`` for a nested one."""
    types: dict[str, Any] = {}
    for name, hint in get_type_hints(cls).items():
        if isinstance(hint, type) and is_dataclass(hint):
            types |= {f"{name}.{inner}": found for inner, found in setting_types(hint).items()}
        else:
            types[name] = hint
    return types


def parse_assignments(
    texts: Iterable[str], tables: Mapping[str, type[Any]]
) -> dict[str, dict[str, Any]]:
    """Read texts ``NAME=VALUE``, as an option ``--set`` takes them.

    A name is that of a setting, behind its table's: ``fit.num_members=5``,
    ``train.augmentation.scale=[0.8, 1.2]``. Those of the first table may stand alone.
    A value is one of TOML; text needs no quotes.

    Args:
        tables: the settings dataclass of each table by name, at least one.

    Returns:
        For each table what was set, nested plain values that fit the dataclass's types:
        overrides for `Project.stage_settings`. Of several values for one name the last counts.

    Raises:
        UsageError: a text of another form, an unknown name, or a value of another type.
    """
    first = next(iter(tables))
    types = {
        f"{table}.{name}": hint
        for table, cls in tables.items()
        for name, hint in setting_types(cls).items()
    }
    values: dict[str, dict[str, Any]] = {table: {} for table in tables}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            raise UsageError(f"--set takes NAME=VALUE, got {text!r}. Names: {', '.join(types)}.")
        name = name if name in types else f"{first}.{name}"
        if name not in types:
            raise UsageError(f"--set {text}: {unknown_name('setting', name, types)}")
        table = next(table for table in tables if name.startswith(f"{table}."))
        *path, key = name.removeprefix(f"{table}.").split(".")
        nested = reduce(lambda node, part: node.setdefault(part, {}), path, values[table])
        nested[key] = _typed(value, types[name], source=f"--set {text}")
    return values


def _typed(text: str, hint: Any, *, source: str) -> Any:
    """Return the plain value that a text means for a setting of a type."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        parsed = {"value": text}  # a shell takes quotes away
    # As text where only that fits: a name may look like a number.
    problem: ValidationError | None = None
    for value in (parsed["value"], text):
        plain = json.dumps(value, default=str)
        try:
            TypeAdapter(hint).validate_json(plain, strict=True)
        except ValidationError as error:
            problem = problem or error
        else:
            return json.loads(plain)
    assert problem is not None
    raise UsageError(f"{source}: {problem.errors()[0]['msg']}.") from problem


def commented_defaults(settings: object, *, given: Collection[str] = ()) -> str:
    """Return every setting as a TOML line behind ``#``, with an explanation behind ``# ``.

    Taking the ``#`` away leaves a line that means what its absence meant. A setting that
    is None has no line in TOML: its explanation says that it is left out.

    Args:
        settings: a settings dataclass; its values are the defaults that are written.
        given: names, as in `setting_types`, that need no line.
    """
    lines = []
    for name, hint in setting_types(type(settings)).items():
        if name in given:
            continue
        *path, key = name.split(".")
        owner = reduce(getattr, path, settings)
        value = getattr(owner, key)
        absent = " (left out)" if value is None else ""
        text = f"{name}{absent}: {_explanation(type(owner), key, hint)}"
        lines += textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ")
        lines += [] if value is None else [f"#{name} = {_inline(value)}"]
    return "".join(f"{line}\n" for line in lines)


def _explanation(cls: type[Any], name: str, hint: Any) -> str:
    """Return the first sentence on an attribute out of its class's docstring, and its choices."""
    for owner in cls.__mro__:
        section = re.search(r"^Attributes:\n((?: .*\n?|\n)*)", cleandoc(owner.__doc__ or ""), re.M)
        entry = section and re.search(rf"^    {name}: (.*(?:\n {{5,}}.*)*)", section[1], re.M)
        if entry:
            break
    else:
        return name
    text = " ".join(entry[1].split()).replace("``", "") + " "
    # Up to a full stop; those in brackets are of a citation.
    sentence = re.findall(r"^(?:\([^()]*\)|\.(?=\S)|[^.])*", text)[0].rstrip()
    choices = [
        c for part in (hint, *get_args(hint)) if get_origin(part) is Literal for c in get_args(part)
    ]
    if any(f'"{choice}"' not in sentence for choice in choices):
        sentence += f" ({', '.join(map(_inline, choices))})"
    return f"{sentence}."


def _inline(value: Any) -> str:
    """Return a value as TOML on one line."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_inline, value))}]"
    return tomli_w.dumps({"v": value}).removeprefix("v = ").rstrip("\n")
