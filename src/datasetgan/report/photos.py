"""Real photos with their painted truth and the segmenter's prediction."""

from collections.abc import Callable, Sequence

from datasetgan.dataset import PhotoPair, read_label_png, read_photo
from datasetgan.downstream import (
    Evaluation,
    Segmenter,
    confusion_matrix,
    mean_iou,
    pixel_accuracy,
)
from datasetgan.report.content import PhotoSummary, ShownPhoto
from datasetgan.report.pictures import shrink_image, shrink_label_map
from datasetgan.report.selection import spread
from datasetgan.taxonomy import ClassTaxonomy

__all__ = ["MAX_PHOTOS", "collect_photos"]

MAX_PHOTOS = 20


def collect_photos(
    segmenter: Segmenter | None,
    pairs: Sequence[PhotoPair],
    *,
    taxonomy: ClassTaxonomy,
    evaluation: Evaluation | None,
    on_photo: Callable[[], None],
) -> PhotoSummary:
    """Predict photos again, at most `MAX_PHOTOS` of them.

    Args:
        segmenter: of the project; None if none is trained yet.
        pairs: photos with masks.
        taxonomy: of the project, for a summary without photos.
        evaluation: the scores to show them beside.
        on_photo: called after each photo.

    Raises:
        DatasetError: a photo cannot be read.
        LabelError: a mask does not fit its photo or the segmenter's classes.
    """
    if segmenter is None:
        return PhotoSummary(taxonomy, "missing")
    if not pairs:
        return PhotoSummary(segmenter.taxonomy, "trained")
    shown = []
    for pair in spread(pairs, MAX_PHOTOS):
        shown.append(_show(segmenter, pair))
        on_photo()
    return PhotoSummary(segmenter.taxonomy, "trained", tuple(shown), _notes(pairs, evaluation))


def _show(segmenter: Segmenter, pair: PhotoPair) -> ShownPhoto:
    photo = read_photo(pair.photo)
    truth = read_label_png(pair.mask, segmenter.taxonomy, size=photo.shape[:2])
    prediction = segmenter.predict(photo)
    confusion = confusion_matrix(prediction, truth, num_classes=len(segmenter.taxonomy))
    return ShownPhoto(
        name=pair.name,
        photo=shrink_image(photo),
        truth=shrink_label_map(truth),
        prediction=shrink_label_map(prediction),
        pixel_accuracy=pixel_accuracy(confusion),
        mean_iou=mean_iou(confusion),
    )


def _notes(pairs: Sequence[PhotoPair], evaluation: Evaluation | None) -> tuple[str, ...]:
    notes = []
    if len(pairs) > MAX_PHOTOS:
        notes.append(f"{MAX_PHOTOS} of {len(pairs)} photos, evenly spaced in the order of names.")
    evaluated = set() if evaluation is None else {photo.name for photo in evaluation.photos}
    if evaluation is not None and {pair.name for pair in pairs} != evaluated:
        notes.append("These photos are not exactly those that the scores above were measured on.")
    return tuple(notes)
