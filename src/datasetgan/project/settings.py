"""`project.toml`: generator, classes and settings of a project."""

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import reduce
from pathlib import Path, PureWindowsPath
from typing import Any, Literal, TypeVar, get_args

import tomli_w

from datasetgan.errors import ProjectError, UsageError, unknown_name
from datasetgan.generators import Sampling
from datasetgan.keypoints import KeypointSchema
from datasetgan.serialization import from_plain, read_toml, to_plain
from datasetgan.settings import commented_defaults
from datasetgan.taxonomy import ClassTaxonomy

__all__ = [
    "FORMAT",
    "PHOTO_FORMAT",
    "KeypointTable",
    "PhotoTable",
    "ProjectSettings",
    "SamplingSettings",
    "SettingsTable",
    "is_generator_file",
    "read_settings",
    "settings_text",
    "stage_settings",
]

FORMAT = 1
"""Version of the project folder that this code writes and reads."""

PHOTO_FORMAT = 2
"""The same of a project of photos, which older versions refuse by this number."""

SettingsTable = Literal["fit", "generate", "train", "keypoints.fit", "keypoints.train"]
"""The tables whose keys belong to another room's dataclass."""

_TABLES: tuple[Literal["fit", "generate", "train"], ...] = ("fit", "generate", "train")

T = TypeVar("T")


SamplingSettings = Sampling
"""How images to paint are drawn: the table `[sampling]`."""


@dataclass(frozen=True)
class KeypointTable:
    """The named points of a project.

    Attributes:
        names: of the points that are marked in every image, in their fixed order.
        fit: what differs from the defaults of the keypoint interpreter's settings.
        train: the same for the keypoint network's settings.

    Raises:
        UsageError: the names are none, stand twice or are no single lines.
    """

    names: tuple[str, ...]
    fit: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        KeypointSchema(self.names)

    @property
    def schema(self) -> KeypointSchema:
        """The names as the rooms below take them."""
        return KeypointSchema(self.names)


@dataclass(frozen=True)
class PhotoTable:
    """What reads the photos of a project that has photos in place of a generator.

    Attributes:
        encoder: a ``.safetensors`` file's path relative to the project folder and within it.
        encoder_sha256: digest of that file, 64 hexadecimal digits.

    Raises:
        UsageError: the file lies outside, or no digest.
    """

    encoder: str
    encoder_sha256: str

    def __post_init__(self) -> None:
        _check_within_folder(self.encoder, what="encoder")
        _check_digest("encoder_sha256", self.encoder_sha256)


@dataclass(frozen=True)
class ProjectSettings:
    """The content of `project.toml`.

    Attributes:
        format: version of the project folder: `FORMAT`, or `PHOTO_FORMAT` with photos.
        name: one line of text.
        taxonomy: the classes to paint.
        generator: name of an embedded generator, or a ``.safetensors`` file's path
            relative to the project folder and within it; empty with photos.
        generator_sha256: digest of the generator's file, 64 hexadecimal digits.
        sampling: how images to paint are drawn.
        fit: what differs from the defaults of the interpreter's settings.
        generate: the same for the factory's settings.
        train: the same for the segmenter's settings.
        keypoints: the named points; None where the project has none.
        photos: what reads photos; None where a generator draws samples.

    Raises:
        UsageError: a value is out of range.
    """

    format: int
    name: str
    taxonomy: ClassTaxonomy
    generator: str = ""
    generator_sha256: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    fit: dict[str, Any] = field(default_factory=dict)
    generate: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    keypoints: KeypointTable | None = None
    photos: PhotoTable | None = None

    def __post_init__(self) -> None:
        wanted = FORMAT if self.photos is None else PHOTO_FORMAT
        if self.format != wanted:
            raise UsageError(f"format must be {wanted}, got {self.format}.")
        if not self.name.strip() or not self.name.isprintable():
            raise UsageError(f"a project's name is one line of text, got {self.name!r}.")
        if (self.photos is None) != bool(self.generator):
            raise UsageError("a project has a generator or a table [photos], not both.")
        if self.photos is None:
            if is_generator_file(self.generator):
                _check_within_folder(self.generator, what="generator")
            _check_digest("generator_sha256", self.generator_sha256)


def is_generator_file(generator: str) -> bool:
    """Say whether a project's generator is a file in its folder, not an embedded one's name."""
    return generator.endswith(".safetensors")


def _check_digest(name: str, digest: str) -> None:
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise UsageError(f"{name} must be 64 hexadecimal digits, got {digest!r}.")


def _check_within_folder(name: str, *, what: str) -> None:
    # Windows' rules reject what either system would take for a way out of the folder.
    path = PureWindowsPath(name)
    if path.drive or path.root or ".." in path.parts:
        raise UsageError(
            f"{what} {name!r} lies outside the project, where another machine cannot find it. "
            "Copy it into the project folder and give its name there."
        )


def read_settings(path: Path) -> ProjectSettings:
    """Read `project.toml`.

    Raises:
        ProjectError: there is none, or a newer DatasetGAN made the project.
        ConfigError: it does not parse, a key is unknown or a value out of range.
    """
    if not path.is_file():
        raise ProjectError(
            f"{path.parent} is no project: there is no {path.name} in it. "
            f"Make one with `datasetgan new {path.parent}`."
        )
    _check_not_newer(path)
    return read_toml(path, ProjectSettings)


def _check_not_newer(path: Path) -> None:
    # A newer format may hold keys unknown here, so the number is read before all else.
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except ValueError:  # neither TOML nor text: read_toml says so
        return
    found, known = data.get("format"), PHOTO_FORMAT if "photos" in data else FORMAT
    if isinstance(found, int) and found > known:
        raise ProjectError(
            f"{path} was made by a newer DatasetGAN (format {found}, this one reads {known}): "
            "upgrade with `pip install --upgrade datasetgan`."
        )


def stage_settings(
    path: Path,
    settings: ProjectSettings,
    *,
    table: SettingsTable,
    cls: type[T],
    defaults: Mapping[str, Any],
    overrides: Mapping[str, Any],
) -> T:
    """Build a room's settings from `defaults`, the table of `project.toml` and `overrides`.

    Args:
        path: of ``project.toml``, for messages.
        settings: its content.
        table: ``"fit"``, ``"generate"``, ``"train"``, ``"keypoints.fit"`` or
            ``"keypoints.train"``.
        cls: the settings dataclass of the room that runs the stage.
        defaults: values that the table may replace.
        overrides: values that replace the table's, options of the command line for one,
            nested as the table's; None stands for an option that was not given.

    Raises:
        ConfigError: names the file, the table and the key that is unknown or unfit.
    """
    if table not in get_args(SettingsTable):
        raise UsageError(unknown_name("settings table", table, get_args(SettingsTable)))
    data = _merged(_nested_defaults(cls), defaults, _values_of(settings, table), overrides)
    return from_plain(cls, data, source=f"{path}: [{table}]")


def _nested_defaults(cls: type[Any]) -> dict[str, Any]:
    """Return the defaults that are settings themselves: they may differ from their class's own."""
    factories = {f.name: f.default_factory for f in fields(cls)}
    made = {name: make() for name, make in factories.items() if make is not MISSING}
    return {name: to_plain(value) for name, value in made.items() if is_dataclass(value)}


def _merged(*sources: Mapping[str, Any]) -> dict[str, Any]:
    """Unite values, of nested tables too; a later one wins, and None is none."""
    data: dict[str, Any] = {}
    for source in sources:
        for key, value in source.items():
            both = isinstance(value, Mapping) and isinstance(data.get(key), dict)
            if value is not None:
                data[key] = _merged(data[key], value) if both else value
    return data


def _values_of(settings: ProjectSettings, table: SettingsTable) -> dict[str, Any]:
    name, _, part = table.partition(".")
    if not part:
        return dict(getattr(settings, name))
    return {} if settings.keypoints is None else dict(getattr(settings.keypoints, part))


def settings_text(
    settings: ProjectSettings, stages: Mapping[SettingsTable, object] | None = None
) -> str:
    """Return settings as TOML with comments; `read_settings` reads it back unchanged.

    Args:
        stages: settings of the rooms that run the stages, whose values are written in their
            table as comments: what a user may set there.
    """
    lines = [
        "# A DatasetGAN project; README.md beside this file explains the folder.",
        _line("format", settings.format),
        _line("name", settings.name),
        "",
        *_source_lines(settings),
        "",
        "# Classes in the order of their ids; colours are RGB. White means unpainted.",
        "# Painted label maps hold the ids: a class may be renamed, but not moved.",
        "[taxonomy]",
        "classes = [",
    ]
    for c in settings.taxonomy.classes:
        parent = "" if c.parent is None else f", {_line('parent', c.parent)}"
        red, green, blue = c.color
        lines.append(
            f"  {{ id = {c.id}, {_line('name', c.name)}{parent}, "
            f"color = [{red}, {green}, {blue}] }},"
        )
    lines += ["]", ""]
    if settings.photos is None:
        lines += [
            "# How `sample` draws: truncation_psi, and truncation_cutoff "
            "(all rows where left out).",
            "[sampling]",
            *(_line(key, value) for key, value in to_plain(settings.sampling).items()),
            "",
        ]
    names = [name for name in _TABLES if name != "generate" or settings.photos is None]
    named = " and ".join([", ".join(f"`{name}`" for name in names[:-1]), f"`{names[-1]}`"])
    lines += [f"# Settings of {named}; a key left out has its default."]
    if stages is not None:
        lines += ["# Those behind a # are the defaults: take the # away to change one."]
    stages = stages or {}
    tables = [_table(name, getattr(settings, name), stages.get(name)) for name in names]
    if settings.keypoints is not None:
        tables += [
            "# Points to mark in every image, and settings of their two networks.\n"
            + tomli_w.dumps({"keypoints": {"names": settings.keypoints.names}}),
            _table("keypoints.fit", settings.keypoints.fit, stages.get("keypoints.fit")),
            _table("keypoints.train", settings.keypoints.train, stages.get("keypoints.train")),
        ]
    return "\n".join(["\n".join(lines), *tables])


def _table(name: str, values: dict[str, Any], defaults: object | None) -> str:
    """Write a table: the defaults that hold as comments, then the values that do not."""
    text = f"[{name}]\n"
    if defaults is not None:
        text += commented_defaults(defaults, given=_dotted(values))
    nested = reduce(lambda inner, part: {part: inner}, reversed(name.split(".")), values)
    return text + tomli_w.dumps(nested).removeprefix(f"[{name}]\n")


def _dotted(values: Mapping[str, Any]) -> list[str]:
    names = []
    for key, value in values.items():
        inner = _dotted(value) if isinstance(value, Mapping) else []
        names += [key, *(f"{key}.{name}" for name in inner)]
    return names


def _source_lines(settings: ProjectSettings) -> list[str]:
    if settings.photos is None:
        return [
            "# An embedded generator's name, or a .safetensors file in this folder, "
            "and its digest.",
            _line("generator", settings.generator),
            _line("generator_sha256", settings.generator_sha256),
        ]
    return [
        "# The network that reads the photos, a file in this folder, and its digest.",
        "[photos]",
        _line("encoder", settings.photos.encoder),
        _line("encoder_sha256", settings.photos.encoder_sha256),
    ]


def _line(key: str, value: object) -> str:
    return tomli_w.dumps({key: value}).rstrip("\n")
