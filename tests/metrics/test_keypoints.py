from functools import reduce
from operator import add

import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score

from datasetgan.dataset import Keypoints, KeypointSchema
from datasetgan.errors import UsageError
from datasetgan.metrics.keypoints import keypoint_errors, score_keypoints
from datasetgan.serialization import from_plain, to_plain

SCHEMA = KeypointSchema(("a", "b", "c"))


def draw(random, size):
    points = random.uniform(0, (size[1], size[0]), (3, 2))
    return Keypoints(points, random.rand(3) < 0.7)


@pytest.fixture
def images():
    """Predictions near their truth, in pictures of different sizes."""
    random = np.random.RandomState(0)
    found = []
    for _ in range(40):
        size = tuple(random.randint(20, 60, 2).tolist())
        truth = draw(random, size)
        moved = truth.points + random.normal(0, 3, (3, 2))
        found.append((Keypoints(moved, random.rand(3) < 0.6), truth, size))
    return found


def test_scores_against_plain_sums(images):
    shares = (0.05, 0.1, 0.3)
    errors = [keypoint_errors(p, t, size=s, shares=shares) for p, t, s in images]
    scores = score_keypoints(errors, SCHEMA)
    assert scores.images == 40
    rows = [(scores.overall, range(3)), *((s, [j]) for j, s in enumerate(scores.keypoints))]
    for score, which in rows:
        pixels, sides = [], []
        for prediction, truth, size in images:
            for j in which:
                if truth.visible[j]:
                    dx, dy = prediction.points[j] - truth.points[j]
                    pixels.append(np.hypot(dx, dy))
                    sides.append(np.hypot(dx, dy) / max(size))
        assert score.points == len(pixels)
        assert score.l2_pixels == pytest.approx(np.mean(pixels))
        assert score.l2_sides == pytest.approx(np.mean(sides))
        assert score.pck == pytest.approx([np.mean(np.array(sides) <= s) for s in shares])
        true = np.concatenate([t.visible[list(which)] for _, t, _ in images])
        called = np.concatenate([p.visible[list(which)] for p, _, _ in images])
        assert score.precision == pytest.approx(precision_score(true, called))
        assert score.recall == pytest.approx(recall_score(true, called))
    assert [s.name for s in scores.keypoints] == ["a", "b", "c"]
    assert scores.overall.pck[0] < scores.overall.pck[1] < scores.overall.pck[2]
    again = from_plain(type(scores), to_plain(scores), source="here")
    assert again == scores


def test_errors_add_up_in_any_grouping(images):
    errors = [keypoint_errors(p, t, size=s) for p, t, s in images]
    grouped = [reduce(add, errors[:7]), reduce(add, errors[7:])]
    assert score_keypoints(grouped, SCHEMA).overall.l2_pixels == pytest.approx(
        score_keypoints(errors, SCHEMA).overall.l2_pixels
    )
    assert score_keypoints(grouped, SCHEMA).images == 40


def test_an_invisible_point_is_not_scored_by_its_place():
    truth = Keypoints(np.array([[1.0, 1], [5, 5], [9, 9]]), np.array([False, True, True]))
    found = Keypoints(np.array([[99.0, 99], [5, 5], [9, 12]]), np.array([False, False, True]))
    scores = score_keypoints([keypoint_errors(found, truth, size=(10, 10))], SCHEMA)
    a, b, c = scores.keypoints
    assert (a.points, a.l2_pixels, a.l2_sides, a.pck) == (0, None, None, ())
    assert (a.precision, a.recall) == (None, None)
    assert (b.l2_pixels, b.pck, b.precision, b.recall) == (0, (1, 1, 1), None, 0)
    assert (c.l2_pixels, c.l2_sides, c.pck) == (3, pytest.approx(0.3), (0, 0, 0))
    assert (c.precision, c.recall) == (1, 1)


def test_refusals(images):
    prediction, truth, size = images[0]
    error = keypoint_errors(prediction, truth, size=size)
    with pytest.raises(UsageError, match="no images"):
        score_keypoints([], SCHEMA)
    with pytest.raises(UsageError, match="errors of 3 keypoints, the schema has 1"):
        score_keypoints([error], KeypointSchema(("a",)))
    with pytest.raises(UsageError, match="above 0"):
        keypoint_errors(prediction, truth, size=size, shares=(0.1, 0.0))
    with pytest.raises(UsageError, match="do not add up"):
        error + keypoint_errors(prediction, truth, size=size, shares=(0.1,))
    with pytest.raises(UsageError, match="1 points were predicted, 3 are true"):
        keypoint_errors(Keypoints(truth.points[:1], truth.visible[:1]), truth, size=size)
