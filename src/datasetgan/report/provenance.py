"""Where everything in a project comes from: digests, cards, seeds, settings, versions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from datasetgan.checkpoints.native import WeightCard, read_checkpoint
from datasetgan.dataset import LabelledDataset
from datasetgan.dataset.manifest import MANIFEST_NAME
from datasetgan.interpreter import Interpreter
from datasetgan.project import Project, RunRecord, Sample
from datasetgan.report.content import Facts
from datasetgan.serialization import sha256_of_file, to_plain

__all__ = ["collect_provenance", "ranges"]

Row = tuple[str, str]


def collect_provenance(
    project: Project,
    dataset: LabelledDataset,
    *,
    dataset_name: str,
    interpreter: Interpreter | None,
    records: Sequence[RunRecord],
) -> tuple[Facts, ...]:
    """List what the generator, samples, interpreter, dataset and segmenter are.

    Args:
        interpreter: of the project; None if there is none.
        records: of the project's stages, for their settings and versions.

    Raises:
        CheckpointError: a checkpoint is damaged.
        ConfigError: the index of samples does not parse.
    """
    facts = [
        _generator(project),
        _samples(project.samples),
        _interpreter(project, interpreter),
        _dataset(dataset, dataset_name),
        _segmenter(project),
    ]
    facts += [
        Facts(f"Settings of {record.stage}", tuple(_flat(record.settings)))
        for record in records
        if record.settings and record.stage != "generate"  # the dataset has its own
    ]
    return (*facts, _versions(records))


def _generator(project: Project) -> Facts:
    checkpoint = read_checkpoint(project.generator_file, kind="generator")
    rows = [
        ("Name", project.settings.generator),
        ("SHA-256", checkpoint.sha256),
        ("Architecture", checkpoint.architecture),
    ]
    return Facts("Generator", (*rows, *_card(checkpoint.card)))


def _samples(samples: Sequence[Sample]) -> Facts:
    if not samples:
        return Facts("Images to paint", (("Samples", "none are drawn yet"),))
    settings = sorted({(s.truncation_psi, s.truncation_cutoff or 0) for s in samples})
    truncation = ", ".join(
        f"psi {psi:g}" + (f" on the first {cutoff} rows" if cutoff else "")
        for psi, cutoff in settings
    )
    rows = (("Seeds", ranges(sample.seed for sample in samples)), ("Truncation", truncation))
    return Facts("Images to paint", rows)


def ranges(seeds: Iterable[int]) -> str:
    """Write numbers in short: 3, 1, 2, 9 is ``"1-3, 9"``."""
    runs: list[tuple[int, int]] = []
    for seed in sorted(seeds):
        if runs and seed <= runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], seed)
        else:
            runs.append((seed, seed))
    return ", ".join(f"{a}" if a == b else f"{a}\N{EN DASH}{b}" for a, b in runs)


def _interpreter(project: Project, interpreter: Interpreter | None) -> Facts:
    if interpreter is None:
        return Facts("Style Interpreter", (("File", "none is fitted, or it was removed"),))
    card = read_checkpoint(project.layout.interpreter, kind="interpreter").card
    ensemble = interpreter.ensemble
    rows = [
        ("SHA-256 of content", interpreter.digest),
        ("Members", str(ensemble.members.num_members)),
        (
            "Feature levels",
            ", ".join(f"{level.name} ({level.channels})" for level in ensemble.inputs.levels),
        ),
        ("Fitted on generator", ensemble.generator_digest or "not recorded"),
    ]
    return Facts("Style Interpreter", (*rows, *_card(card)))


def _dataset(dataset: LabelledDataset, name: str) -> Facts:
    manifest = dataset.manifest
    rows = [
        ("Name", name),
        ("Images", f"{len(manifest.samples)} of {manifest.width} x {manifest.height} pixels"),
        ("Seeds", ranges(sample.seed for sample in manifest.samples)),
        ("SHA-256 of the manifest", sha256_of_file(dataset.folder / MANIFEST_NAME)),
        ("Generator", manifest.generator_sha256),
        ("Interpreter", manifest.interpreter_sha256),
        ("Made by", f"DatasetGAN {manifest.datasetgan_version}, PyTorch {manifest.torch_version}"),
    ]
    return Facts("Dataset", (*rows, *_flat(manifest.settings)))


def _segmenter(project: Project) -> Facts:
    path = project.layout.segmenter
    if not path.is_file():
        return Facts("Segmenter", (("File", "none is trained yet"),))
    checkpoint = read_checkpoint(path, kind="segmenter")
    rows = [("SHA-256", checkpoint.sha256), ("Architecture", checkpoint.architecture)]
    return Facts("Segmenter", (*rows, *_card(checkpoint.card)))


def _card(card: WeightCard) -> list[Row]:
    return [(f"Card: {name}", value) for name, value in _flat(to_plain(card))]


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[Row]:
    """Turn nested settings into rows of text; a name within a table has a dot before it."""
    rows: list[Row] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}".replace("_", " "), _text(value)))
    return rows


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(item) for item in value)
    return str(value)


def _versions(records: Sequence[RunRecord]) -> Facts:
    """Unite the versions of all stages; where they differ, name the stages."""
    stages: dict[Row, list[str]] = {}
    for record in records:
        for name, value in record.versions.items():
            stages.setdefault((name, value), []).append(record.stage)
    several = {name for name, _ in stages if sum(n == name for n, _ in stages) > 1}
    rows = [
        (name, f"{value} ({', '.join(where)})" if name in several else value)
        for (name, value), where in stages.items()
    ]
    return Facts("Versions", tuple(rows) or (("Records", "none were kept"),))
