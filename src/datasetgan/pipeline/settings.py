"""The settings of the stages: their tables in ``project.toml``, what stands there, what is set."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from datasetgan.downstream import KeypointNetworkSettings, SegmenterSettings
from datasetgan.factory import GenerationSettings
from datasetgan.interpreter import FitSettings
from datasetgan.interpreter.keypoints import KeypointSettings
from datasetgan.project import SamplingSettings, SettingsTable
from datasetgan.settings import parse_assignments

__all__ = ["STAGE_SETTINGS", "read_assignments", "stage_defaults"]

STAGE_SETTINGS: dict[SettingsTable, type[Any]] = {
    "fit": FitSettings,
    "generate": GenerationSettings,
    "train": SegmenterSettings,
    "keypoints.fit": KeypointSettings,
    "keypoints.train": KeypointNetworkSettings,
}
"""The settings dataclass of each table."""


def stage_defaults(sampling: SamplingSettings) -> dict[SettingsTable, object]:
    """Return the settings of every stage of a new project, whose samples are drawn like this."""
    # Generated images are truncated as those to paint are.
    generation = replace(
        GenerationSettings(),
        truncation_psi=sampling.truncation_psi,
        truncation_cutoff=sampling.truncation_cutoff,
    )
    return {table: cls() for table, cls in STAGE_SETTINGS.items()} | {"generate": generation}


def read_assignments(
    texts: Iterable[str] | None,
    *tables: SettingsTable,
    options: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:
    """Return what is set for a command: by ``--set``, and by options of its own, which win.

    Args:
        texts: as `parse_assignments` takes them.
        tables: that the command reads; the first one's names may stand without it.
        options: values of the first table; None stands for one that was not given.

    Raises:
        UsageError: see `parse_assignments`.
    """
    values = parse_assignments(texts or (), {table: STAGE_SETTINGS[table] for table in tables})
    first = values[tables[0]]
    first |= {name: value for name, value in options.items() if value is not None}
    return values
