"""Scores of held-out predictions, against scikit-learn, sorting and numbers by hand."""

import numpy as np
import pytest
import sklearn.calibration
import sklearn.metrics
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from datasetgan.errors import UsageError
from datasetgan.interpreter.predict import Prediction
from datasetgan.interpreter.validation.scores import (
    DROPPED_SHARES,
    HeldOutStatistics,
    RiskCurve,
    measure_image,
    reliability_curve,
    risk_by_image,
    risk_by_image_iou,
    risk_by_pixel,
)

K = 4


def random_prediction(
    seed: int, size: tuple[int, int] = (24, 25)
) -> tuple[Prediction, NDArray[np.int64]]:
    """A prediction whose votes, probabilities and uncertainty do not follow each other."""
    random = np.random.RandomState(seed)
    probabilities = random.dirichlet(np.ones(K) * 0.5, size).transpose(2, 0, 1)
    uncertainty = random.exponential(0.1, size)
    truth = random.randint(K, size=size)
    truth[random.rand(*size) < 0.2] = 255
    # Wrong more often where uncertain, so that the curves have a slope.
    wrong = random.rand(*size) < 3 * uncertainty
    labels = np.where(wrong, random.randint(K, size=size), np.where(truth == 255, 0, truth))
    prediction = Prediction(
        torch.from_numpy(labels)[None],
        torch.from_numpy(uncertainty)[None].float(),
        torch.tensor([float(uncertainty.mean())]),
        torch.from_numpy(probabilities)[None].float(),
    )
    return prediction, truth


def measured(seed: int) -> HeldOutStatistics:
    prediction, truth = random_prediction(seed)
    return measure_image(prediction, truth, num_classes=K)


def test_confusion_is_that_of_sklearn() -> None:
    prediction, truth = random_prediction(0)
    painted = truth != 255
    expected = sklearn.metrics.confusion_matrix(
        truth[painted], prediction.label_map[0].numpy()[painted], labels=range(K)
    )
    assert (measured(0).confusion == expected).all()


def test_reliability_is_that_of_sklearn() -> None:
    prediction, truth = random_prediction(0)
    curve = reliability_curve(measured(0))
    assert curve is not None
    assert prediction.probabilities is not None
    mean = prediction.probabilities[0].numpy()
    painted = truth != 255
    confidence, right = mean.max(0)[painted], (mean.argmax(0) == truth)[painted]
    accuracy, mean_confidence = sklearn.calibration.calibration_curve(right, confidence, n_bins=15)
    filled = [i for i, pixels in enumerate(curve.pixels) if pixels]
    assert sum(curve.pixels) == painted.sum()
    np.testing.assert_allclose([curve.accuracy[i] for i in filled], accuracy)
    np.testing.assert_allclose([curve.confidence[i] for i in filled], mean_confidence)
    # The largest of four probabilities is never below 1/4.
    assert curve.pixels[:3] == (0, 0, 0)
    assert curve.accuracy[:3] == curve.confidence[:3] == (None, None, None)
    weights = np.array(curve.pixels)[filled] / painted.sum()
    expected = (weights * np.abs(accuracy - mean_confidence)).sum()
    assert curve.expected_calibration_error == pytest.approx(expected)


def test_calibration_error_by_hand() -> None:
    """Four pixels at 0.9, three of them right; one at 1.0, right; one unpainted."""
    top = torch.tensor([[0.9, 0.9, 0.9, 0.9, 1.0, 0.9]])
    prediction = Prediction(
        torch.zeros(1, 1, 6, dtype=torch.int64),
        torch.zeros(1, 1, 6),
        torch.zeros(1),
        torch.stack([top, 1 - top])[None],
    )
    truth = np.array([[0, 0, 0, 1, 0, 255]])
    curve = reliability_curve(measure_image(prediction, truth, num_classes=2))
    assert curve is not None
    assert curve.pixels[13:] == (4, 1)
    assert curve.accuracy[13:] == (0.75, 1.0)
    assert curve.expected_calibration_error == pytest.approx(4 / 5 * 0.15)


def test_statistics_add_up() -> None:
    """Two images scored together are one image of twice the height."""
    (a, truth_a), (b, truth_b) = random_prediction(0), random_prediction(1)
    assert a.probabilities is not None
    assert b.probabilities is not None
    both = Prediction(
        torch.cat([a.label_map, b.label_map], dim=1),
        torch.cat([a.uncertainty, b.uncertainty], dim=1),
        a.uncertainty_score,
        torch.cat([a.probabilities, b.probabilities], dim=2),
    )
    whole = measure_image(both, np.concatenate([truth_a, truth_b]), num_classes=K)
    summed = measured(0) + measured(1)
    for name in ("confusion", "bin_pixels", "bin_hits", "rank_pixels", "rank_errors"):
        np.testing.assert_array_equal(getattr(summed, name), getattr(whole, name))
    np.testing.assert_allclose(summed.bin_confidence, whole.bin_confidence)


def test_risk_by_pixel_is_that_of_sorting_all_pixels() -> None:
    curve = risk_by_pixel(measured(0) + measured(1))
    assert curve is not None
    uncertainty, wrong = [], []
    for seed in range(2):
        prediction, truth = random_prediction(seed)
        painted = truth != 255
        uncertainty.append(prediction.uncertainty[0].numpy()[painted])
        wrong.append((prediction.label_map[0].numpy() != truth)[painted])
    ranked = np.concatenate(wrong)[np.argsort(np.concatenate(uncertainty))]
    assert curve.dropped == DROPPED_SHARES
    for share, error in zip(curve.dropped, curve.error, strict=True):
        kept = round(len(ranked) * (1 - share))
        # Pixels within one part in 128 of each other count as equal.
        assert error == pytest.approx(ranked[:kept].mean(), abs=0.003)
    assert curve.falls
    assert curve.error[-1] < curve.error[0] - 0.05


def test_equal_pixels_are_dropped_by_the_same_part() -> None:
    """Half the pixels are equally uncertain, half of these wrong: no order among them."""
    prediction = Prediction(
        torch.tensor([[[0] * 16]]),
        torch.tensor([[[0.0] * 7 + [-0.0] + [0.5] * 8]]),
        torch.zeros(1),
        torch.full((1, 2, 1, 16), 0.5),
    )
    truth = np.array([[0] * 8 + [0, 1] * 4])
    curve = risk_by_pixel(measure_image(prediction, truth, num_classes=2))
    assert curve is not None
    kept = 16 * (1 - np.array(DROPPED_SHARES))
    np.testing.assert_allclose(curve.error, (kept - 8) / 2 / kept)


def test_risk_by_image_by_hand() -> None:
    """Ten images: the two most uncertain have half their pixels wrong, the others none."""
    right, half = np.diag([8, 8]), np.array([[4, 4], [4, 4]])
    confusions = [half, *[right] * 8, half]
    scores = [0.9, *np.linspace(0.1, 0.5, 8).tolist(), 0.8]
    curve = risk_by_image(confusions, scores)
    assert curve is not None
    np.testing.assert_allclose(
        curve.error, [1 / 10, 0.75 / 9.5, 0.5 / 9, 0.25 / 8.5, 0, 0, 0], atol=1e-12
    )
    by_iou = risk_by_image_iou(confusions, scores, classes=[0, 1])
    assert by_iou is not None
    # All images: 72 hits and 8 misses of each class either way; without one of the two: 68 and 4.
    np.testing.assert_allclose(by_iou.error[0], 1 - 72 / 88)
    np.testing.assert_allclose(by_iou.error[2], 1 - 68 / 76)
    assert by_iou.error[4:] == (0, 0, 0)
    assert by_iou.falls


@given(st.lists(st.integers(0, 1000), min_size=20, max_size=20, unique=True))
def test_risk_by_image_is_that_of_dropping_whole_images(scores: list[int]) -> None:
    random = np.random.RandomState(0)
    confusions = [random.randint(1, 50, size=(3, 3)) for _ in scores]
    curve = risk_by_image(confusions, [float(score) for score in scores])
    by_iou = risk_by_image_iou(confusions, [float(score) for score in scores], classes=[0, 2])
    assert curve is not None
    assert by_iou is not None
    order = np.argsort(scores)
    for place, share in enumerate(DROPPED_SHARES):  # 0, 1, 2, ... of 20 images
        kept = [confusions[i] for i in order[: round(20 * (1 - share))]]
        errors = [1 - np.trace(c) / c.sum() for c in kept]
        assert curve.error[place] == pytest.approx(np.mean(errors))
        total = np.sum(kept, axis=0)
        hits = np.diag(total)
        ious = hits / (total.sum(0) + total.sum(1) - hits)
        assert by_iou.error[place] == pytest.approx(1 - (ious[0] + ious[2]) / 2)


def test_an_unscored_image_takes_no_part() -> None:
    nothing, right = np.zeros((2, 2), dtype=np.int64), np.array([[3, 1], [0, 0]])
    curve = risk_by_image([nothing, right], [0.1, 0.2])
    assert curve == risk_by_image([right], [0.2])
    assert risk_by_image([nothing], [0.1]) is None
    assert risk_by_image_iou([nothing], [0.1], classes=[0]) is None


def test_nothing_scored_has_no_curve() -> None:
    prediction, truth = random_prediction(0)
    statistics = measure_image(prediction, np.full_like(truth, 255), num_classes=K)
    assert reliability_curve(statistics) is None
    assert risk_by_pixel(statistics) is None


def test_falls() -> None:
    assert RiskCurve(dropped=(0.0, 0.1, 0.2), error=(0.3, 0.2, 0.2)).falls
    assert not RiskCurve(dropped=(0.0, 0.1, 0.2), error=(0.3, 0.1, 0.2)).falls


def test_refuses_predictions_that_cannot_be_scored() -> None:
    prediction, truth = random_prediction(0)
    bare = Prediction(prediction.label_map, prediction.uncertainty, prediction.uncertainty_score)
    with pytest.raises(UsageError, match="with its mean probability"):
        measure_image(bare, truth, num_classes=K)
    with pytest.raises(UsageError, match="one shape"):
        measure_image(prediction, truth[:3], num_classes=K)
