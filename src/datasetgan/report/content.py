"""What a report says: plain values and small pictures, read once, drawn later."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from datasetgan.downstream import Evaluation
from datasetgan.project import RunRecord
from datasetgan.taxonomy import ClassTaxonomy

__all__ = [
    "DatasetSummary",
    "Facts",
    "PaintedSummary",
    "PhotoSummary",
    "ReportContent",
    "ScoreSummary",
    "ShownPhoto",
    "ShownSample",
]


@dataclass(frozen=True, eq=False)
class ShownSample:
    """One image with its label map, of a size to be shown.

    Attributes:
        key: its name.
        seed: of its latent and noise.
        image: [H, W, 3] uint8 RGB.
        label_map: [h, w] uint8 class ids, `IGNORE_INDEX` where unpainted.
        score: the uncertainty of the whole image, nats; None where a person painted.
        uncertainty: [h, w] float32 nats per pixel, where known.
    """

    key: str
    seed: int
    image: NDArray[np.uint8]
    label_map: NDArray[np.uint8]
    score: float | None = None
    uncertainty: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class PaintedSummary:
    """What people painted.

    Attributes:
        num_samples: images drawn to be painted.
        num_painted: those that have a label map.
        class_pixels: painted pixels of each class, in the order of ids.
        shown: some of the painted images.
    """

    num_samples: int
    num_painted: int
    class_pixels: tuple[int, ...]
    shown: tuple[ShownSample, ...]


@dataclass(frozen=True, eq=False)
class DatasetSummary:
    """What was generated.

    Attributes:
        name: of the dataset within the project.
        taxonomy: the classes that its images are labelled with.
        height: of every image, pixels.
        width: of every image, pixels.
        score_rule: how an image's score comes from its uncertainty map.
        drop_fraction: share of the most uncertain images that is left out.
        kept_scores: of the images to work with, nats.
        dropped_scores: of those left out, the highest first.
        class_pixels: of the kept images, pixels of each class.
        shown: some kept images, evenly spaced over the dataset.
        ranked: some kept images, from the most certain to the least.
        dropped: the most uncertain images of those left out.
        heat_note: why uncertainty maps are not shown, if they are not.
    """

    name: str
    taxonomy: ClassTaxonomy
    height: int
    width: int
    score_rule: str
    drop_fraction: float
    kept_scores: tuple[float, ...]
    dropped_scores: tuple[float, ...]
    class_pixels: tuple[int, ...]
    shown: tuple[ShownSample, ...]
    ranked: tuple[ShownSample, ...]
    dropped: tuple[ShownSample, ...]
    heat_note: str | None = None


@dataclass(frozen=True)
class ScoreSummary:
    """How good the segmenter is on real photos.

    Attributes:
        evaluation: the scores; None before `datasetgan evaluate`.
        notes: what a reader must know about them, one sentence each.
    """

    evaluation: Evaluation | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ShownPhoto:
    """A real photo with its painted truth and what the segmenter made of it.

    Attributes:
        name: of the photo.
        photo: [H, W, 3] uint8 RGB.
        truth: [H, W] uint8 class ids, `IGNORE_INDEX` where nobody painted.
        prediction: [H, W] uint8 class ids.
        pixel_accuracy: share of painted pixels that are right, at the photo's own size.
        mean_iou: over the classes that occur in truth or prediction.
    """

    name: str
    photo: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    prediction: NDArray[np.uint8]
    pixel_accuracy: float
    mean_iou: float


@dataclass(frozen=True, eq=False)
class PhotoSummary:
    """Predictions beside the truth.

    Attributes:
        taxonomy: the classes of the label maps, the segmenter's.
        segmenter: whether one is trained.
        shown: the photos; none if it is not known where they lie.
        notes: what a reader must know about them, one sentence each.
    """

    taxonomy: ClassTaxonomy
    segmenter: Literal["trained", "missing"]
    shown: tuple[ShownPhoto, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """A titled list of names and values.

    Attributes:
        title: of the list.
        rows: name and value of each fact.
    """

    title: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class ReportContent:
    """Everything that the page shows.

    Attributes:
        name: of the project.
        folder: name of the project's folder, as commands take it.
        taxonomy: the classes of the project.
        painted: what people painted.
        dataset: what was generated.
        scores: on real photos.
        photos: predictions beside the truth.
        records: what each stage took, in the order of the stages.
        provenance: where everything comes from.
    """

    name: str
    folder: str
    taxonomy: ClassTaxonomy
    painted: PaintedSummary
    dataset: DatasetSummary
    scores: ScoreSummary
    photos: PhotoSummary
    records: tuple[RunRecord, ...]
    provenance: tuple[Facts, ...]
