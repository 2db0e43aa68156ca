"""Scores of held-out predictions, all of them functions of sums over images.

Reliability: does a mean probability of 0.8 mean right in 8 of 10 pixels? Risk and
coverage: does the error fall when the most uncertain part is left out, as the paper's
filter does? Class scores come from confusion matrices, see `datasetgan.metrics.segmentation`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasetgan.errors import UsageError
from datasetgan.interpreter.predict import Prediction
from datasetgan.metrics.segmentation import Confusion, confusion_matrix, mean_iou, pixel_accuracy
from datasetgan.taxonomy import IGNORE_INDEX

__all__ = [
    "DROPPED_SHARES",
    "HeldOutStatistics",
    "ReliabilityCurve",
    "RiskCurve",
    "measure_image",
    "reliability_curve",
    "risk_by_image",
    "risk_by_image_iou",
    "risk_by_pixel",
]

DROPPED_SHARES = (0.0, 0.05, 0.10, 0.15, 0.20, 0.25, 0.30)
"""Shares of images or pixels, the most uncertain ones, that risk curves leave out."""

_RELIABILITY_BINS = 15
# The upper half of a float32's bits: for values from 0 on, order is kept and values
# fall together only where they differ by less than one part in 128.
_UNCERTAINTY_BINS = 1 << 15
_LOWER_BITS = 16

_Counts = NDArray[np.int64]
_Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class HeldOutStatistics:
    """All that scores need of one held-out image or, added up, of many.

    Attributes:
        confusion: [K, K] pixels, rows by truth, columns by the majority vote.
        bin_pixels: [15] pixels by the maximum of their mean probability, equal widths.
        bin_hits: [15] those whose most probable class is right.
        bin_confidence: [15] sums of the maxima.
        rank_pixels: [32768] pixels by uncertainty, ascending.
        rank_errors: [32768] those whose majority vote is wrong.
    """

    confusion: Confusion
    bin_pixels: _Counts
    bin_hits: _Counts
    bin_confidence: _Floats
    rank_pixels: _Counts
    rank_errors: _Counts

    def __add__(self, other: "HeldOutStatistics") -> "HeldOutStatistics":
        return HeldOutStatistics(
            self.confusion + other.confusion,
            self.bin_pixels + other.bin_pixels,
            self.bin_hits + other.bin_hits,
            self.bin_confidence + other.bin_confidence,
            self.rank_pixels + other.rank_pixels,
            self.rank_errors + other.rank_errors,
        )


@dataclass(frozen=True, kw_only=True)
class ReliabilityCurve:
    """How often the most probable class is right, by the probability given to it.

    Attributes:
        pixels: in each of 15 bins of equal width over [0, 1]; 1 belongs to the last.
        confidence: mean probability in each bin; None where it is empty.
        accuracy: share of right pixels in each bin; None where it is empty.
        expected_calibration_error: mean of |accuracy - confidence| over all pixels, each
            with its bin's (Naeini et al. 2015).
    """

    pixels: tuple[int, ...]
    confidence: tuple[float | None, ...]
    accuracy: tuple[float | None, ...]
    expected_calibration_error: float


@dataclass(frozen=True, kw_only=True)
class RiskCurve:
    """The error that remains when the most uncertain share is left out.

    Of the image at the border its part counts, so the curve has no steps: it says
    what to expect of a large set.

    Attributes:
        dropped: shares left out, ascending from 0.
        error: of what is kept, 0 to 1.
    """

    dropped: tuple[float, ...]
    error: tuple[float, ...]

    @property
    def falls(self) -> bool:
        """Whether leaving more out never raises the error."""
        return all(b <= a for a, b in zip(self.error, self.error[1:], strict=False))


def measure_image(
    prediction: Prediction, truth: NDArray[np.integer], *, num_classes: int
) -> HeldOutStatistics:
    """Compare one image's prediction with what was painted.

    Args:
        prediction: of one image, with its mean probabilities.
        truth: [H, W] class ids; 255 is not scored.
        num_classes: ids are 0 to ``num_classes - 1``.

    Raises:
        UsageError: more than one image, no probabilities, or shapes that differ.
    """
    if prediction.probabilities is None or len(prediction.label_map) != 1:
        raise UsageError("a prediction is scored one image at a time, with its mean probability.")
    labels = prediction.label_map[0].cpu().numpy()
    confusion = confusion_matrix(labels, truth, num_classes=num_classes)
    scored = truth != IGNORE_INDEX
    found, choices = prediction.probabilities[0].max(dim=0)
    confidence = found.cpu().numpy()[scored].astype(np.float64)
    hits = choices.cpu().numpy()[scored] == truth[scored]
    # Rounding may lift a probability above 1.
    bins = np.minimum((confidence * _RELIABILITY_BINS).astype(np.int64), _RELIABILITY_BINS - 1)
    # `abs`, since the bits of -0.0 come last.
    uncertainty = np.abs(prediction.uncertainty[0].float().cpu().numpy()[scored])
    ranks = uncertainty.view(np.uint32) >> _LOWER_BITS
    wrong = ranks[labels[scored] != truth[scored]]
    return HeldOutStatistics(
        confusion=confusion,
        bin_pixels=np.bincount(bins, minlength=_RELIABILITY_BINS),
        bin_hits=np.bincount(bins[hits], minlength=_RELIABILITY_BINS),
        bin_confidence=np.bincount(bins, confidence, _RELIABILITY_BINS).astype(np.float64),
        rank_pixels=np.bincount(ranks, minlength=_UNCERTAINTY_BINS),
        rank_errors=np.bincount(wrong, minlength=_UNCERTAINTY_BINS),
    )


def reliability_curve(statistics: HeldOutStatistics) -> ReliabilityCurve | None:
    """Return the reliability of the members' mean probability; None without a scored pixel."""
    pixels = statistics.bin_pixels
    if not pixels.sum():
        return None
    confidence = statistics.bin_confidence / np.maximum(pixels, 1)
    accuracy = statistics.bin_hits / np.maximum(pixels, 1)
    gap = np.abs(accuracy - confidence)
    return ReliabilityCurve(
        pixels=tuple(pixels.tolist()),
        confidence=_where(pixels, confidence),
        accuracy=_where(pixels, accuracy),
        expected_calibration_error=float((gap * pixels).sum() / pixels.sum()),
    )


def risk_by_image(confusions: Sequence[Confusion], scores: Sequence[float]) -> RiskCurve | None:
    """Return the share of wrong pixels, mean over the kept images.

    Args:
        confusions: [K, K] of each image; one without a scored pixel takes no part.
        scores: the uncertainty of each image.

    Returns:
        The curve; None where no pixel of any image is scored.
    """
    ranked = _certain_first(confusions, scores)
    if not ranked:
        return None
    errors = np.array([1 - pixel_accuracy(confusion) for confusion in ranked])
    return _curve(_kept_sums(np.ones(len(ranked)), errors), float(len(ranked)))


def risk_by_image_iou(
    confusions: Sequence[Confusion], scores: Sequence[float], *, classes: Sequence[int]
) -> RiskCurve | None:
    """Return 1 - mean IoU of the kept images' summed confusion matrices.

    A class that no kept image shows leaves the mean: where a rare class stands in few
    images, this curve jumps as they leave.

    Args:
        confusions: [K, K] of each image; one without a scored pixel takes no part.
        scores: the uncertainty of each image.
        classes: ids that the mean is taken over; every true class is among them.

    Returns:
        The curve; None where no pixel of any image is scored.
    """
    ranked = _certain_first(confusions, scores)
    if not ranked:
        return None
    kept = _kept_sums(np.ones(len(ranked)), np.stack(ranked))  # [D, K, K]
    errors = (1 - mean_iou(confusion, classes=classes) for confusion in kept)
    return RiskCurve(dropped=DROPPED_SHARES, error=tuple(errors))


def risk_by_pixel(statistics: HeldOutStatistics) -> RiskCurve | None:
    """Return the share of wrong pixels among the kept ones; None without a scored pixel.

    Pixels of nearly equal uncertainty (one part in 128) are dropped together, each by
    the same part at the border.
    """
    mass = statistics.rank_pixels
    if not mass.sum():
        return None
    kept = _kept_sums(mass, statistics.rank_errors)
    return _curve(kept, float(mass.sum()))


def _certain_first(confusions: Sequence[Confusion], scores: Sequence[float]) -> list[Confusion]:
    """Order the images that have scored pixels, the most certain one first."""
    order = np.argsort(scores, kind="stable").tolist()
    return [confusions[i] for i in order if confusions[i].sum()]


def _curve(kept_errors: _Floats, mass: float) -> RiskCurve:
    shares = kept_errors / (mass * (1 - np.array(DROPPED_SHARES)))
    return RiskCurve(dropped=DROPPED_SHARES, error=tuple(float(share) for share in shares))


def _kept_sums(
    mass: NDArray[np.integer] | _Floats, values: NDArray[np.integer] | _Floats
) -> _Floats:
    """Sum values over the most certain part of a set, for every dropped share.

    Args:
        mass: [G] of each group, ascending by uncertainty.
        values: [G, ...] of each group; a part of a group holds that part of its value.

    Returns:
        [D, ...], one sum per dropped share.
    """
    flat = values.reshape(len(mass), -1).cumsum(axis=0)
    ends = np.concatenate([[0.0], np.cumsum(mass)])
    wanted = ends[-1] * (1 - np.array(DROPPED_SHARES))
    columns = [np.interp(wanted, ends, np.concatenate([[0.0], sums])) for sums in flat.T]
    return np.stack(columns, axis=1).reshape(len(wanted), *values.shape[1:])


def _where(pixels: _Counts, values: _Floats) -> tuple[float | None, ...]:
    return tuple(float(v) if n else None for n, v in zip(pixels, values, strict=True))
