"""Reading everything that a project holds into a `ReportContent`."""

from collections.abc import Callable, Sequence

import numpy as np

from datasetgan.dataset import (
    LabelledDataset,
    PhotoPair,
    SampleRecord,
    read_dataset,
    read_photo,
)
from datasetgan.dataset.manifest import MANIFEST_NAME
from datasetgan.downstream import Evaluation, load_segmenter
from datasetgan.errors import DatasetError, ProjectError
from datasetgan.interpreter import Interpreter, load_interpreter
from datasetgan.project import PaintedLabel, Project, RunRecord, Sample, read_records
from datasetgan.report.content import (
    DatasetSummary,
    PaintedSummary,
    ReportContent,
    ScoreSummary,
    ShownSample,
)
from datasetgan.report.photos import collect_photos
from datasetgan.report.pictures import shrink_image, shrink_label_map, shrink_uncertainty
from datasetgan.report.provenance import collect_provenance
from datasetgan.report.selection import spread
from datasetgan.report.uncertainty_maps import UncertaintyMaps, uncertainty_maps
from datasetgan.runtime import Runtime
from datasetgan.serialization import read_json, sha256_of_file

__all__ = ["collect_report"]

_PAINTED, _SAMPLES, _RANKED, _DROPPED = 16, 24, 6, 12
"""How many images of each kind are shown."""

_DROP_FRACTION = 0.1


def collect_report(
    project: Project,
    *,
    dataset_name: str,
    drop_fraction: float | None,
    pairs: Sequence[PhotoPair],
    runtime: Runtime,
    on_photo: Callable[[], None],
) -> ReportContent:
    """Read a project; the arguments and errors are those of `write_report`."""
    folder = project.layout.dataset(dataset_name)
    if not folder.is_dir():
        raise ProjectError(
            f"{project.folder} has no dataset {dataset_name!r} to report on. "
            f"Generate it with `datasetgan generate {project.folder}`."
        )
    # The report's own record is of the page before this one.
    records = tuple(r for r in read_records(project) if r.stage != "report")
    by_stage: dict[str, RunRecord] = {record.stage: record for record in records}
    if drop_fraction is None:
        drop_fraction = _trained_drop_fraction(by_stage.get("train"))
    dataset = read_dataset(folder, drop_fraction=drop_fraction)
    interpreter = None
    if project.layout.interpreter.is_file():
        interpreter = load_interpreter(project.layout.interpreter, runtime=runtime)
    segmenter = None
    if project.layout.segmenter.is_file():
        segmenter = load_segmenter(project.layout.segmenter, runtime=runtime)
    scores = _scores(project, dataset, by_stage)
    return ReportContent(
        name=project.settings.name,
        folder=project.folder.name or ".",
        taxonomy=project.taxonomy,
        painted=_painted(project),
        dataset=_dataset(
            project,
            dataset,
            name=dataset_name,
            drop_fraction=drop_fraction,
            interpreter=interpreter,
            runtime=runtime,
        ),
        scores=scores,
        photos=collect_photos(
            segmenter,
            pairs,
            taxonomy=project.taxonomy,
            evaluation=scores.evaluation,
            on_photo=on_photo,
        ),
        records=records,
        provenance=collect_provenance(
            project,
            dataset,
            dataset_name=dataset_name,
            interpreter=interpreter,
            records=records,
        ),
    )


def _trained_drop_fraction(train: RunRecord | None) -> float:
    """Return the share that training left out, so that the report shows what it was fed."""
    found = _DROP_FRACTION if train is None else train.settings.get("drop_fraction")
    return float(found) if isinstance(found, (int, float)) else _DROP_FRACTION


def _painted(project: Project) -> PaintedSummary:
    count = 0
    class_pixels = np.zeros(len(project.taxonomy), dtype=np.int64)
    shown: list[ShownSample] = []
    for painted in project.painted():
        count += 1
        pixels = np.bincount(painted.label_map.ravel(), minlength=256)
        class_pixels += pixels[: len(class_pixels)]
        if len(shown) < _PAINTED:
            shown.append(_show_painted(project, painted))
    return PaintedSummary(
        num_samples=len(project.samples),
        num_painted=count,
        class_pixels=tuple(class_pixels.tolist()),
        shown=tuple(shown),
    )


def _show_painted(project: Project, painted: PaintedLabel) -> ShownSample:
    key = painted.sample.key
    assert isinstance(painted.sample, Sample)  # there is no report of photos
    return ShownSample(
        key=key,
        seed=painted.sample.seed,
        image=shrink_image(read_photo(project.layout.image(key))),
        label_map=shrink_label_map(painted.label_map),
    )


def _dataset(
    project: Project,
    dataset: LabelledDataset,
    *,
    name: str,
    drop_fraction: float,
    interpreter: Interpreter | None,
    runtime: Runtime,
) -> DatasetSummary:
    manifest = dataset.manifest
    if any(len(r.class_pixels) != len(dataset.taxonomy) for r in manifest.samples) or not len(
        dataset
    ):
        raise DatasetError(
            f"{dataset.folder / MANIFEST_NAME} is damaged: it lists no samples, or not one count "
            "of pixels per class. Generate the dataset again."
        )
    by_score = sorted(dataset.kept, key=lambda record: (record.uncertainty_score, record.key))
    ranked, dropped = spread(by_score, _RANKED), dataset.dropped[:_DROPPED]
    heat = uncertainty_maps(
        project, dataset, [*ranked, *dropped], interpreter=interpreter, runtime=runtime
    )
    class_pixels = np.sum([record.class_pixels for record in dataset.kept], axis=0)
    return DatasetSummary(
        name=name,
        taxonomy=dataset.taxonomy,
        height=manifest.height,
        width=manifest.width,
        score_rule=str(manifest.settings.get("score_rule", "top_decile_mean")),
        drop_fraction=drop_fraction,
        kept_scores=tuple(record.uncertainty_score for record in dataset.kept),
        dropped_scores=tuple(record.uncertainty_score for record in dataset.dropped),
        class_pixels=tuple(class_pixels.tolist()),
        shown=tuple(_show(dataset, record) for record in spread(dataset.kept, _SAMPLES)),
        ranked=tuple(_show(dataset, record, heat) for record in ranked),
        dropped=tuple(_show(dataset, record, heat) for record in dropped),
        heat_note=heat.note,
    )


def _show(
    dataset: LabelledDataset, record: SampleRecord, heat: UncertaintyMaps | None = None
) -> ShownSample:
    sample = dataset.load(record)
    uncertainty = None if heat is None else heat.maps.get(record.key)
    return ShownSample(
        key=record.key,
        seed=record.seed,
        image=shrink_image(sample.image),
        label_map=shrink_label_map(sample.label_map),
        score=record.uncertainty_score,
        uncertainty=None if uncertainty is None else shrink_uncertainty(uncertainty),
    )


def _scores(
    project: Project, dataset: LabelledDataset, by_stage: dict[str, RunRecord]
) -> ScoreSummary:
    """Read the evaluation, and note where a file was made again after it."""
    path = project.layout.evaluation
    if not path.is_file():
        return ScoreSummary(None)
    evaluation = read_json(path, Evaluation)
    notes = []
    segmenter = project.layout.segmenter
    scored = by_stage["evaluate"].digests.get("segmenter") if "evaluate" in by_stage else None
    if not segmenter.is_file():
        notes.append("The segmenter that was scored is no longer in the project.")
    elif scored is not None and scored != sha256_of_file(segmenter):
        notes.append("The segmenter was trained again after these scores: evaluate it anew.")
    trained = by_stage["train"].digests.get("manifest") if "train" in by_stage else None
    if trained is not None and trained != sha256_of_file(dataset.folder / MANIFEST_NAME):
        notes.append("The segmenter was trained on another dataset than the one shown here.")
    return ScoreSummary(evaluation, tuple(notes))
