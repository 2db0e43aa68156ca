"""What each stage took: seconds, peak memory, versions, settings, digests."""

import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Literal, get_args

import torch

from datasetgan.errors import UsageError, unknown_name
from datasetgan.project.project import Project
from datasetgan.serialization import read_json, write_json

__all__ = ["RunNotes", "RunRecord", "Stage", "peak_memory_mb", "read_records", "record_run"]

Stage = Literal[
    "sample",
    "import-labels",
    "import-keypoints",
    "fit",
    "fit-keypoints",
    "generate",
    "label",
    "train",
    "train-keypoints",
    "evaluate",
    "evaluate-keypoints",
    "report",
]
"""The commands that leave a record, in the order in which a project goes through them."""

_MB = 1024 * 1024


@dataclass
class RunNotes:
    """What a stage adds to its record while it runs.

    Attributes:
        settings: plain values, `to_plain` of the stage's settings.
        digests: SHA-256 of what went in and came out, by a name for each.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRecord:
    """The last finished run of a stage.

    Attributes:
        stage: its name.
        seconds: wall-clock time.
        versions: of DatasetGAN, Python, PyTorch, NumPy and the platform.
        settings: of the stage.
        digests: SHA-256 of what went in and came out.
        peak_memory_mb: `peak_memory_mb()` at the stage's end. The system counts from
            the start of the process, so of several stages in one process a later
            one never shows less than an earlier one.
    """

    stage: Stage
    seconds: float
    versions: dict[str, str]
    settings: dict[str, Any]
    digests: dict[str, str]
    peak_memory_mb: float | None = None


@contextmanager
def record_run(project: Project, stage: Stage, *, run: str | None = None) -> Iterator[RunNotes]:
    """Measure a block and write ``records/<stage>.json`` when it ends without error.

    Args:
        run: name of the run that the record belongs to; the project's own by default.

    Yields:
        Notes to fill with the stage's settings and digests.

    Raises:
        UsageError: an unknown stage, or a name that no run can have.
        StorageError: the record cannot be written.
    """
    if stage not in get_args(Stage):
        raise UsageError(unknown_name("stage", stage, get_args(Stage)))
    path = project.layout.run(run).record(stage)
    notes = RunNotes()
    start = time.perf_counter()
    yield notes
    record = RunRecord(
        stage=stage,
        seconds=round(time.perf_counter() - start, 3),
        versions=_versions(),
        settings=notes.settings,
        digests=notes.digests,
        peak_memory_mb=peak_memory_mb(),
    )
    write_json(path, record)


def read_records(project: Project, *, run: str | None = None) -> tuple[RunRecord, ...]:
    """Return the records there are, in the order of `Stage`; see `record_run`.

    Raises:
        ConfigError: a record does not parse.
    """
    layout = project.layout.run(run)
    paths = [layout.record(stage) for stage in get_args(Stage)]
    return tuple(read_json(path, RunRecord) for path in paths if path.exists())


def peak_memory_mb() -> float | None:
    """Return the peak resident memory of this process plus its largest finished child.

    In units of 2**20 bytes; None on Windows, which has no `getrusage`.
    """
    if sys.platform == "win32":
        return None
    import resource

    # Kilobytes on Linux, bytes on macOS (getrusage(2) of each).
    unit = 1 if sys.platform == "darwin" else 1024
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak = sum(resource.getrusage(process).ru_maxrss for process in who)
    return round(peak * unit / _MB, 1)


def _versions() -> dict[str, str]:
    # No host name, user or path: records may be published.
    return {
        "datasetgan": version("datasetgan"),
        "python": platform.python_version(),
        "torch": str(torch.__version__),  # with the build, "+cpu" or "+cu130"
        "numpy": version("numpy"),
        "platform": f"{platform.system()} {platform.machine()}",
    }
