"""The folder of a training run: its plan, its snapshots, its log."""

import csv
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from datasetgan.errors import UsageError
from datasetgan.gan_training.settings import TrainingSettings
from datasetgan.gan_training.step_report import StepReport
from datasetgan.serialization import (
    atomic_file,
    read_json,
    storage_errors,
    to_plain,
    write_json,
)

__all__ = ["RunFiles", "RunPlan", "SnapshotRecord"]

_LOG_STEPS = 16  # one row of the log holds the mean of so many steps


@dataclass(frozen=True)
class RunPlan:
    """What a run must keep from its first step to its last.

    Attributes:
        architecture: the generator's, for instance ``"stylegan2"``.
        network: its configuration.
        settings: the recipe.
        data_digest: of the photographs as they are trained on.
        start_digest: of the checkpoint it started from; None for a fresh generator.
        format: of this file.
    """

    architecture: str
    network: dict[str, bool | int | float | str]
    settings: TrainingSettings
    data_digest: str
    start_digest: str | None = None
    format: int = 1


@dataclass(frozen=True)
class SnapshotRecord:
    """Scores of one snapshot; smaller is better.

    Attributes:
        images_seen: photographs drawn before it.
        kid: kernel distance between pictures and photographs.
        kid_deviation: over the subsets it was computed with.
        fid: Frechet distance.
        features: the feature network of both, in words: scores of different ones do not
            compare, nor with published ones over Inception features.
        num_samples: pictures drawn for the scores.
        seconds: since the snapshot before, or since the command was started.
    """

    images_seen: int
    kid: float
    kid_deviation: float
    fid: float
    features: str
    num_samples: int
    seconds: float


@dataclass(frozen=True)
class _Records:
    snapshots: tuple[SnapshotRecord, ...] = ()


class RunFiles:
    """Where everything lies in the folder of a run.

    ::

        plan.json                         what the run must keep; see `RunPlan`
        photos.*                          the photographs, cropped, one memory-mapped array
        training-state.safetensors        both networks and optimisers: what resuming needs
        snapshots/generator-00050000.safetensors   the running average, a native checkpoint
        snapshots/samples-00050000.png    64 samples of it, without truncation
        snapshots.json                    the scores of every snapshot; see `SnapshotRecord`
        log.csv                           losses, R1, ADA, speed: means over 16 steps
        neighbours.png                    samples beside their nearest photographs
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plan = folder / "plan.json"
        self.state = folder / "training-state.safetensors"
        self.records = folder / "snapshots.json"
        self.log_file = folder / "log.csv"
        self.neighbours = folder / "neighbours.png"
        self._pending: list[StepReport] = []

    def generator(self, images_seen: int) -> Path:
        """Return where the snapshot of so many images lies."""
        return self.folder / "snapshots" / f"generator-{images_seen:08d}.safetensors"

    def samples(self, images_seen: int) -> Path:
        """Return where the samples of a snapshot lie."""
        return self.folder / "snapshots" / f"samples-{images_seen:08d}.png"

    def check_plan(self, plan: RunPlan) -> None:
        """Write the plan of a new run, or compare it with that of the run in the folder.

        Raises:
            UsageError: they differ; every difference is listed.
        """
        if not self.plan.exists():
            write_json(self.plan, plan)
            return
        then, now = _flat(to_plain(read_json(self.plan, RunPlan))), _flat(to_plain(plan))
        changed = [
            f"{key} was {then.get(key)}, is {now.get(key)}"
            for key in sorted(then.keys() | now.keys())
            if then.get(key) != now.get(key)
        ]
        if changed:
            raise UsageError(
                f"{self.folder} holds a run of other settings: {'; '.join(changed)}. Give the "
                "same ones to go on, or another folder (--run) to start afresh."
            )

    def read_records(self) -> tuple[SnapshotRecord, ...]:
        """Read the scores of the snapshots so far."""
        return read_json(self.records, _Records).snapshots if self.records.exists() else ()

    def write_records(self, records: list[SnapshotRecord]) -> None:
        """Write the scores of all snapshots, atomically."""
        write_json(self.records, _Records(tuple(records)))

    def log(self, report: StepReport) -> None:
        """Take in one step; every so many steps one row of means goes to the log."""
        self._pending.append(report)
        if len(self._pending) == _LOG_STEPS:
            self.flush_log()

    def flush_log(self) -> None:
        """Write the steps that wait for the next row, so that a snapshot ends with one."""
        if not self._pending:
            return
        rows = [asdict(r) for r in self._pending]
        mean = {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}
        mean["images_seen"] = rows[-1]["images_seen"]
        self._pending.clear()
        with storage_errors(self.log_file):
            new = not self.log_file.exists()
            with self.log_file.open("a", newline="") as file:
                writer = csv.DictWriter(file, [f.name for f in fields(StepReport)])
                if new:
                    writer.writeheader()
                writer.writerow({key: f"{value:.6g}" for key, value in mean.items()})

    def cut_log(self, images_seen: int) -> None:
        """Drop the rows behind the state that a run goes on from: they come again."""
        if not self.log_file.exists():
            return
        with self.log_file.open(newline="") as file:
            rows = [r for r in csv.DictReader(file) if float(r["images_seen"]) <= images_seen]
        lines = [
            ",".join(f.name for f in fields(StepReport)),
            *(",".join(r.values()) for r in rows),
        ]
        with atomic_file(self.log_file) as target:
            target.write(("\n".join(lines) + "\n").encode())


def _flat(data: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in data.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
