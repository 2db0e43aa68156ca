"""Datasets carry keypoints, and those without are what they always were."""

import json
from dataclasses import replace

import numpy as np
import pytest

from datasetgan.dataset import (
    Keypoints,
    KeypointSchema,
    begin_dataset,
    finish_dataset,
    read_dataset,
    verify_dataset,
    write_part,
    write_sample,
)
from datasetgan.errors import ConfigError, DatasetError
from tests.dataset.conftest import HEIGHT, WIDTH, make_plan, make_sample

SCHEMA = KeypointSchema(("nucleus", "cell"))


def points(number: int) -> Keypoints:
    stream = np.random.RandomState(number)
    return Keypoints(stream.uniform(0, (WIDTH, HEIGHT), (2, 2)), stream.rand(2) < 0.5)


@pytest.fixture
def folder(tmp_path, taxonomy):
    folder = tmp_path / "points"
    plan = replace(make_plan(taxonomy), keypoints=SCHEMA, keypoint_interpreter_sha256="c" * 64)
    begin_dataset(folder, plan)
    samples = [replace(make_sample(n), keypoints=points(n)) for n in range(4)]
    write_part(folder, 0, tuple(write_sample(folder, s, taxonomy) for s in samples))
    finish_dataset(folder, plan, num_parts=1)
    return folder


def test_points_come_back_to_a_thousandth_of_a_pixel(folder):
    dataset = read_dataset(folder, drop_fraction=0)
    assert dataset.keypoints == SCHEMA
    assert verify_dataset(folder).keypoint_interpreter_sha256 == "c" * 64
    for number, record in enumerate(dataset.kept):
        read, written = dataset.load(record).keypoints, points(number)
        assert read is not None
        np.testing.assert_allclose(read.points, written.points, atol=0.0005 + 1e-9, rtol=0)
        np.testing.assert_array_equal(read.visible, written.visible)


def test_a_dataset_without_points_says_nothing_of_them(dataset_folder):
    assert "keypoint" not in (dataset_folder / "manifest.json").read_text()
    dataset = read_dataset(dataset_folder)
    assert dataset.keypoints is None
    assert dataset.load(dataset.kept[0]).keypoints is None


def test_other_names_are_other_settings(folder, taxonomy):
    plan = make_plan(taxonomy)
    with pytest.raises(DatasetError, match=r"keypoints was nucleus, cell, now None"):
        begin_dataset(folder, plan)
    other = replace(
        plan, keypoints=KeypointSchema(("a", "b")), keypoint_interpreter_sha256="c" * 64
    )
    with pytest.raises(DatasetError, match=r"keypoints was nucleus, cell, now a, b\."):
        begin_dataset(folder, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, r"sample 000001 has 0 keypoints, but the dataset names 2"),
        ({"points": [[1, 2]], "visible": [True]}, r"sample 000001 has 1 keypoints"),
        ({"points": [[1, 2], [1, 2]], "visible": [True]}, r"visible must be \[2\]"),
        ({"points": [[1, 2], [1, float("nan")]], "visible": [True, True]}, r"finite"),
    ],
)
def test_manifests_whose_points_do_not_fit_are_refused(folder, change, message):
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    data["samples"][1]["keypoints"] = change
    path.write_text(json.dumps(data))
    with pytest.raises(ConfigError, match=message):
        read_dataset(folder)
    del data["keypoints"]
    data["samples"][1].pop("keypoints")
    path.write_text(json.dumps(data))
    with pytest.raises(
        ConfigError, match=r"sample 000000 has 2 keypoints, but the dataset names 0"
    ):
        read_dataset(folder)
