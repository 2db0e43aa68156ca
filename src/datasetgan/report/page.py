"""The page as HTML: what `ReportContent` holds, made into pictures and tables."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from datasetgan.downstream import Evaluation
from datasetgan.project import RunRecord
from datasetgan.report.content import DatasetSummary, ReportContent, ShownPhoto, ShownSample
from datasetgan.report.figures import plot_scores, plot_shares, plot_uncertainty
from datasetgan.report.pictures import (
    Picture,
    difference_picture,
    heat_colors,
    heat_picture,
    image_picture,
    label_picture,
    overlay_picture,
)
from datasetgan.report.shares import class_shares
from datasetgan.taxonomy import IGNORE_INDEX, ClassTaxonomy

__all__ = ["render_page"]

_TEMPLATES = Path(__file__).parent / "templates"

# Strong enough to see, weak enough to read black or white numbers on.
_STRONGEST_SHADE = 0.5


@dataclass(frozen=True)
class _Tile:
    """Some pictures side by side with one caption; a picture comes with its alt text."""

    pictures: tuple[tuple[Picture, str], ...]
    name: str
    detail: str = ""


def render_page(content: ReportContent) -> str:
    """Render a report as one HTML page that loads nothing.

    Every text of the project is escaped: names may hold any character.
    """
    dataset, evaluation = content.dataset, content.scores.evaluation
    shares = class_shares(content)
    limit = _heat_limit([*dataset.ranked, *dataset.dropped])
    unit = "nats" if dataset.score_rule == "top_decile_mean" else "nats, summed over pixels"
    return _template().render(
        content=content,
        dataset=dataset,
        evaluation=evaluation,
        shares=shares,
        folder=shlex.quote(content.folder),
        colors={c.name: c.color for c in content.taxonomy.classes},
        painted=[_pair(s, content.taxonomy, made="Painted") for s in content.painted.shown],
        samples=[_pair(s, dataset.taxonomy, made="Generated") for s in dataset.shown],
        ranked=[_heat_tile(s, dataset, limit=limit) for s in dataset.ranked],
        dropped=[_heat_tile(s, dataset, limit=limit) for s in dataset.dropped],
        heat_limit=limit,
        heat_stops=heat_colors()[np.linspace(0, 255, 9).astype(int)].tolist(),
        unit=unit,
        uncertainty_plot=plot_uncertainty(dataset.kept_scores, dataset.dropped_scores, unit=unit),
        shares_plot=plot_shares(shares),
        scores_plot=None if evaluation is None else plot_scores(evaluation),
        confusion=None if evaluation is None else _confusion(evaluation),
        photos=[_photo_tile(photo, content.photos.taxonomy) for photo in content.photos.shown],
        longest=max((record.seconds for record in content.records), default=0.0),
        seconds=sum(record.seconds for record in content.records),
        peak=_peak(content.records),
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = _percent
    return environment.get_template("report.html.j2")


def _percent(value: float | None) -> str:
    """Write a share as per cent with one decimal; nothing at all differs from very little."""
    if value is None:
        return "\N{EN DASH}"
    if value == 0:
        return "0"
    return "<0.1" if value < 0.0005 else f"{100 * value:.1f}"


def _pair(sample: ShownSample, taxonomy: ClassTaxonomy, *, made: str) -> _Tile:
    overlay = overlay_picture(sample.image, sample.label_map, taxonomy)
    pictures = (
        (image_picture(sample.image), f"Generated image {sample.key}"),
        (overlay, f"{made} labels of {sample.key}: {_classes_in(sample, taxonomy)}"),
    )
    return _Tile(pictures, sample.key, f"seed {sample.seed}")


def _classes_in(sample: ShownSample, taxonomy: ClassTaxonomy) -> str:
    ids = [id_ for id_ in np.unique(sample.label_map).tolist() if id_ != IGNORE_INDEX]
    return ", ".join(taxonomy.names[id_] for id_ in ids)


def _heat_limit(samples: Sequence[ShownSample]) -> float | None:
    """Return the nats that the brightest colour stands for; None where no map is known.

    A few pixels lie above it: one outlier must not darken all the others.
    """
    maps = [sample.uncertainty.ravel() for sample in samples if sample.uncertainty is not None]
    if not maps:
        return None
    return max(float(np.quantile(np.concatenate(maps), 0.995)), 0.001)


def _heat_tile(sample: ShownSample, dataset: DatasetSummary, *, limit: float | None) -> _Tile:
    pair = _pair(sample, dataset.taxonomy, made="Generated")
    pictures = pair.pictures
    if sample.uncertainty is not None and limit is not None:
        heat = heat_picture(sample.uncertainty, limit=limit)
        pictures = (*pictures, (heat, f"Uncertainty of {sample.key}, score {sample.score:.3g}"))
    return _Tile(pictures, pair.name, f"{sample.score:#.4g}")


def _photo_tile(photo: ShownPhoto, taxonomy: ClassTaxonomy) -> _Tile:
    difference = difference_picture(photo.photo, photo.truth, photo.prediction)
    wrong = _percent(1 - photo.pixel_accuracy)
    pictures = (
        (image_picture(photo.photo), f"Photo {photo.name}"),
        (label_picture(photo.truth, taxonomy), f"Painted truth of {photo.name}"),
        (label_picture(photo.prediction, taxonomy), f"Prediction for {photo.name}"),
        (difference, f"Wrong pixels of {photo.name}: {wrong} % of the painted ones"),
    )
    detail = f"pixels {_percent(photo.pixel_accuracy)} %, mean IoU {_percent(photo.mean_iou)} %"
    return _Tile(pictures, photo.name, detail)


@dataclass(frozen=True)
class _Cell:
    """A cell of the confusion matrix: its text, and how strong its ground is, 0 to 1."""

    text: str
    shade: str


def _confusion(evaluation: Evaluation) -> list[tuple[str, list[_Cell]]]:
    rows = []
    for name, counts in zip(evaluation.classes, evaluation.confusion, strict=True):
        total = sum(counts)
        shares = [count / total if total else None for count in counts]
        cells = [_Cell(_percent(s), f"{_STRONGEST_SHADE * (s or 0):.3f}") for s in shares]
        rows.append((name, cells))
    return rows


def _peak(records: Sequence[RunRecord]) -> float | None:
    return max((r.peak_memory_mb for r in records if r.peak_memory_mb is not None), default=None)
