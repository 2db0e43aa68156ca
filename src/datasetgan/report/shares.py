"""How much of the picture each class takes: painted, generated and on real photos."""

from collections.abc import Sequence
from dataclasses import dataclass

from datasetgan.report.content import ReportContent

__all__ = ["ClassShare", "class_shares"]


@dataclass(frozen=True)
class ClassShare:
    """Share of one class, 0 to 1, of all labelled pixels; None where it is not known.

    Attributes:
        name: of the class.
        painted: by people on generated images.
        generated: by the interpreter, on the kept images of the dataset.
        real: by people on the photos of the evaluation.
    """

    name: str
    painted: float | None
    generated: float | None
    real: float | None


def class_shares(content: ReportContent) -> tuple[ClassShare, ...]:
    """Return the shares of every class by name: the project's classes, then any others.

    A dataset or an evaluation may know other classes than the project does now.
    """
    names = content.taxonomy.names
    painted = _shares(names, content.painted.class_pixels)
    dataset = content.dataset
    generated = _shares(dataset.taxonomy.names, dataset.class_pixels)
    real: dict[str, float] = {}
    evaluation = content.scores.evaluation
    if evaluation is not None:
        # A row of the confusion matrix counts the pixels of one true class.
        real = _shares(evaluation.classes, [sum(row) for row in evaluation.confusion])
    every = dict.fromkeys([*names, *generated, *real])
    return tuple(
        ClassShare(name, painted.get(name), generated.get(name), real.get(name)) for name in every
    )


def _shares(names: Sequence[str], pixels: Sequence[int]) -> dict[str, float]:
    total = sum(pixels)
    if not total:
        return {}
    return {name: count / total for name, count in zip(names, pixels, strict=True)}
