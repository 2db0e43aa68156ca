import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasetgan.dataset import KeypointRecord, Keypoints, KeypointSchema, check_keypoints
from datasetgan.errors import ConfigError, LabelError, UsageError
from datasetgan.serialization import from_plain, read_json, to_plain, write_json

SCHEMA = KeypointSchema(("nucleus", "cell"))
COORDINATE = st.floats(-1e4, 1e4)


def points(*rows, visible=None):
    array = np.array(rows, dtype=np.float64).reshape(-1, 2)
    return Keypoints(array, np.ones(len(array), bool) if visible is None else np.array(visible))


def test_names():
    assert len(SCHEMA) == 2
    assert SCHEMA.index("cell") == 1
    assert KeypointSchema(("aile gauche", "眼")).index("眼") == 1
    with pytest.raises(UsageError, match=r"unknown keypoint 'nuclues'.*'nucleus'"):
        SCHEMA.index("nuclues")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "at least one name"),
        (("a", "b", "a"), "'a' stands twice"),
        (("",), "one printable line"),
        ((" a",), "one printable line"),
        (("a\nb",), "one printable line"),
        (("a\tb",), "one printable line"),
    ],
)
def test_bad_names(names, message):
    with pytest.raises(UsageError, match=message):
        KeypointSchema(names)


@pytest.mark.parametrize(
    ("array", "visible", "message"),
    [
        (np.zeros((2, 3)), np.ones(2, bool), r"\[J, 2\] float64, got \[2, 3\]"),
        (np.zeros((2, 2), np.float32), np.ones(2, bool), "float32"),
        (np.zeros((2, 2)), np.ones(3, bool), r"must be \[2\] bool.*got \[3\]"),
        (np.zeros((2, 2)), np.ones(2), "float64"),
        (np.full((1, 2), np.nan), np.zeros(1, bool), "not finite"),
    ],
)
def test_bad_arrays(array, visible, message):
    with pytest.raises(UsageError, match=message):
        Keypoints(array, visible)


@settings(deadline=None)
@given(st.lists(st.tuples(COORDINATE, COORDINATE, st.booleans()), min_size=1, max_size=5))
def test_the_plain_form_comes_back_to_a_thousandth(rows):
    keypoints = points(*((x, y) for x, y, _ in rows), visible=[v for *_, v in rows])
    record = from_plain(KeypointRecord, to_plain(keypoints.to_record()), source="here")
    again = record.to_keypoints()
    np.testing.assert_allclose(again.points, keypoints.points, rtol=0, atol=5.1e-4)
    np.testing.assert_array_equal(again.visible, keypoints.visible)
    assert again.to_record() == record


def test_a_file_holds_it(tmp_path):
    record = points((1.25, 63.1234567), (0, 0), visible=[True, False]).to_record()
    write_json(tmp_path / "points.json", record)
    assert read_json(tmp_path / "points.json", KeypointRecord) == record
    assert record.points[0] == (1.25, 63.123)


@pytest.mark.parametrize(
    "data",
    [
        {"points": [[1.0, 2.0]], "visible": [True, False]},
        {"points": [[1.0, 2.0, 3.0]], "visible": [True]},
        {"points": [["1", 2.0]], "visible": [True]},
        {"points": [[1.0, 2.0]], "visible": [1]},
        {"points": [[1.0, 2.0]]},
    ],
)
def test_bad_plain_forms(data):
    with pytest.raises(ConfigError, match="here"):
        from_plain(KeypointRecord, data, source="here")


def test_stretching_keeps_places():
    stretched = points((0, 0), (32, 10), (64, 20)).resized((20, 64), to=(40, 16))
    np.testing.assert_allclose(stretched.points, [[0, 0], [8, 20], [16, 40]])


def test_points_are_checked_against_names_and_picture():
    check_keypoints(points((0, 0), (30, 20)), SCHEMA, size=(20, 30), source="s")
    outside = points((5, 5), (20, 30), visible=[True, False])
    check_keypoints(outside, SCHEMA, size=(20, 30), source="s")
    with pytest.raises(LabelError, match="s has 1 keypoints, expected 2: nucleus, cell"):
        check_keypoints(points((1, 1)), SCHEMA, size=(20, 30), source="s")
    for wrong in ((20.0, 20.5), (30.5, 20.0), (-0.1, 0.0), (0.0, -0.1)):
        with pytest.raises(LabelError, match=r"s: keypoint 'cell' lies at x .* 30 x 20"):
            check_keypoints(points((1, 1), wrong), SCHEMA, size=(20, 30), source="s")
