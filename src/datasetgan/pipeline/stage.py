"""What the stages share: the project that is meant, its settings, what must be there before."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from datasetgan.dataset.manifest import MANIFEST_NAME
from datasetgan.errors import ProjectError
from datasetgan.project import Project, SettingsTable
from datasetgan.serialization import sha256_of_file

__all__ = ["Settings", "manifest_digest", "open_project", "require", "settings_of"]

T = TypeVar("T")

Settings = Mapping[str, Any]
"""Values that replace those of ``project.toml``, by name; None leaves one as it is."""


def open_project(project: Project | str | Path) -> Project:
    """Return the project, opened if its folder was given; see `Project.open`."""
    return project if isinstance(project, Project) else Project.open(project)


def settings_of(
    project: Project,
    table: SettingsTable,
    cls: type[T],
    settings: T | Settings | None,
    *,
    defaults: Settings | None = None,
) -> T:
    """Return a stage's settings.

    Args:
        table: of ``project.toml``.
        cls: the settings' class.
        settings: the settings themselves, which is all then; or values that replace the
            table's.
        defaults: values that the table may replace.

    Raises:
        ConfigError: an unknown key or a value that does not fit.
    """
    if isinstance(settings, cls):
        return settings
    assert settings is None or isinstance(settings, Mapping)
    return project.stage_settings(table, cls, defaults=defaults, overrides=settings)


def require(path: Path, project: Project, *, command: str) -> None:
    """Raise `ProjectError` unless a file or folder of an earlier stage is there."""
    if not path.exists():
        raise ProjectError(
            f"{path} does not exist yet. Run `datasetgan {command} {project.folder}` first."
        )


def manifest_digest(project: Project, dataset: str) -> str:
    """Return the SHA-256 of a dataset's manifest, which names every file's."""
    return sha256_of_file(project.layout.dataset(dataset) / MANIFEST_NAME)
