import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from datasetgan.errors import UsageError
from datasetgan.metrics.segmentation import confusion_matrix, f1, iou, mean_iou, pixel_accuracy

K = 4
IDS = hnp.arrays(np.uint8, 60, elements=st.integers(0, K - 1))


@given(IDS, IDS, hnp.arrays(np.bool_, 60))
def test_scores_equal_those_of_sklearn(truth, prediction, painted):
    painted[0] = True
    masked = np.where(painted, truth, 255).astype(np.uint8)
    confusion = confusion_matrix(prediction, masked, num_classes=K)
    t, p = truth[painted], prediction[painted]
    present = np.isin(np.arange(K), np.concatenate([t, p]))
    labels = np.flatnonzero(present)
    assert (confusion == sklearn.metrics.confusion_matrix(t, p, labels=np.arange(K))).all()
    expected = sklearn.metrics.jaccard_score(t, p, labels=labels, average=None)
    np.testing.assert_allclose(iou(confusion)[present], expected)
    assert np.isnan(iou(confusion)[~present]).all()
    expected_f1 = sklearn.metrics.f1_score(t, p, labels=labels, average=None)
    np.testing.assert_allclose(f1(confusion)[present], expected_f1)
    assert np.isnan(f1(confusion)[~present]).all()
    assert mean_iou(confusion) == pytest.approx(expected.mean())
    assert mean_iou(confusion, absent="zero") == pytest.approx(expected.sum() / K)
    assert pixel_accuracy(confusion) == pytest.approx(sklearn.metrics.accuracy_score(t, p))


def test_scores_by_hand():
    truth = np.array([[0, 0, 0, 1], [1, 1, 255, 255]])
    prediction = np.array([[0, 0, 1, 1], [1, 2, 0, 3]])
    confusion = confusion_matrix(prediction, truth, num_classes=4)
    assert confusion.dtype == np.int64
    assert confusion.tolist() == [[2, 1, 0, 0], [0, 2, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    # Class 2 is predicted but never true: 0. Class 3 stands at an unpainted pixel: undefined.
    np.testing.assert_allclose(iou(confusion), [2 / 3, 2 / 4, 0, np.nan])
    np.testing.assert_allclose(f1(confusion), [4 / 5, 4 / 6, 0, np.nan])
    assert mean_iou(confusion) == pytest.approx((2 / 3 + 1 / 2) / 3)
    assert mean_iou(confusion, absent="zero") == pytest.approx((2 / 3 + 1 / 2) / 4)
    assert pixel_accuracy(confusion) == pytest.approx(4 / 6)


def test_absent_zero_is_the_official_rule():
    """I / (U + 1e-8) of whole-set sums, plain mean over all ids, as in the official code."""
    random = np.random.RandomState(0)
    pairs = [(random.randint(3, size=50), random.randint(3, size=50)) for _ in range(3)]
    intersection, union = np.zeros(5), np.zeros(5)
    for prediction, truth in pairs:
        for c in range(5):
            intersection[c] += ((prediction == c) & (truth == c)).sum()
            union[c] += ((prediction == c) | (truth == c)).sum()
    official = (intersection / (union + 1e-8)).mean()
    total = sum(confusion_matrix(p, t, num_classes=5) for p, t in pairs)
    assert mean_iou(total, absent="zero") == pytest.approx(official, abs=1e-8)


def test_nothing_scored_is_undefined():
    confusion = confusion_matrix(np.zeros(3, int), np.full(3, 255), num_classes=2)
    assert confusion.sum() == 0
    assert np.isnan(mean_iou(confusion))
    assert np.isnan(pixel_accuracy(confusion))
    assert mean_iou(confusion, absent="zero") == 0


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2)), r"one shape, got \[2, 3\] and \[3, 2\]"),
        (np.array([7]), np.array([0]), "prediction holds class id 7, expected 0 to 3"),
        (np.array([255]), np.array([0]), "prediction holds class id 255"),
        (np.array([0]), np.array([4]), "truth holds class id 4"),
        (np.array([0]), np.array([-1]), "truth holds class id -1"),
    ],
)
def test_bad_input(prediction, truth, message):
    with pytest.raises(UsageError, match=message):
        confusion_matrix(prediction, truth, num_classes=4)
