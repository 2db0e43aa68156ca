"""What the stages share: the project that is meant, its settings, what must be there before."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from datasetgan.dataset.manifest import MANIFEST_NAME
from datasetgan.errors import ProjectError
from datasetgan.features.source import FeatureSource
from datasetgan.generators import Generator
from datasetgan.interpreter import Interpreter, check_fitted_on, load_interpreter
from datasetgan.project import Project, SettingsTable
from datasetgan.runtime import Runtime
from datasetgan.serialization import sha256_of_file

__all__ = [
    "Settings",
    "fitted_interpreter",
    "manifest_digest",
    "open_project",
    "require",
    "settings_of",
]

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


def fitted_interpreter(
    project: Project, source: Generator | FeatureSource, runtime: Runtime
) -> Interpreter | None:
    """Load the project's interpreter; None before the first `fit`.

    Raises:
        UsageError: it was fitted on another source of features.
    """
    path = project.layout.interpreter
    if not path.exists():
        return None
    interpreter = load_interpreter(path, runtime=runtime)
    check_fitted_on(interpreter.ensemble, source.digest, what=f"interpreter in {path}")
    return interpreter


def manifest_digest(project: Project, dataset: str) -> str:
    """Return the SHA-256 of a dataset's manifest, which names every file's."""
    return sha256_of_file(project.layout.dataset(dataset) / MANIFEST_NAME)
