"""Keypoints of a project: named in project.toml, imported whole or not, read with features."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from datasetgan.dataset import KeypointSchema
from datasetgan.errors import ConfigError, LabelError, ProjectError, StorageError, UsageError
from datasetgan.generators import NoiseSeed
from datasetgan.interpreter.keypoints import KeypointSettings
from datasetgan.project import Project, samples
from datasetgan.project.settings import read_settings, settings_text
from datasetgan.taxonomy import ClassTaxonomy
from tests.project.conftest import files_of

SCHEMA = KeypointSchema(("nucleus", "cell"))


@pytest.fixture
def project(checkpoint: Path, taxonomy: ClassTaxonomy, tmp_path: Path) -> Project:
    return Project.create(
        tmp_path / "cells",
        name="cells",
        generator=checkpoint,
        taxonomy=taxonomy,
        keypoints=SCHEMA,
    )


def coco_file(path: Path, points: dict[str, list[float]]) -> Path:
    """Write points [x, y, v, x, y, v] of samples as COCO does."""
    data = {
        "images": [{"id": i, "file_name": f"{key}.png"} for i, key in enumerate(points)],
        "categories": [{"id": 1, "keypoints": list(SCHEMA.names)}],
        "annotations": [
            {"image_id": i, "category_id": 1, "keypoints": values}
            for i, values in enumerate(points.values())
        ],
    }
    path.write_text(json.dumps(data))
    return path


@pytest.fixture
def two(tmp_path: Path) -> Path:
    points = {"sample-0002": [1.5, 2, 2, 30, 31, 1], "sample-0000": [10.25, 4, 2, 5.5, 6, 2]}
    return coco_file(tmp_path / "two.json", points)


def test_names_and_settings_come_back_as_they_were_written(project: Project) -> None:
    assert Project.open(project.folder) == project
    assert project.keypoints == SCHEMA
    path = project.layout.settings
    text = path.read_text("utf-8")
    path.write_text(text.replace("[keypoints.fit]", "[keypoints.fit]\nsigma_share = 0.05\nsteps=7"))
    opened = Project.open(project.folder)
    settings = opened.stage_settings("keypoints.fit", KeypointSettings, overrides={"steps": 9})
    assert settings == KeypointSettings(sigma_share=0.05, steps=9)
    path.write_text(settings_text(opened.settings))
    assert read_settings(path) == opened.settings


def test_a_project_without_keypoints_opens_and_says_so(
    checkpoint: Path, taxonomy: ClassTaxonomy, tmp_path: Path, two: Path
) -> None:
    plain = Project.create(tmp_path / "p", name="p", generator=checkpoint, taxonomy=taxonomy)
    assert "keypoints" not in plain.layout.settings.read_text()
    assert Project.open(plain.folder).settings.keypoints is None
    with pytest.raises(ProjectError, match=r"project\.toml names no keypoints\. Add a table"):
        plain.import_keypoints(two)
    assert plain.stage_settings("keypoints.fit", KeypointSettings) == KeypointSettings()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"cell"', '"nucleus"', r"'nucleus' stands twice"),
        ('"cell"', '"two\\nlines"', r"no keypoint name: one printable line"),
        ("names = [", "name = [", r"keypoints\.names: Field required"),
        ("[keypoints.fit]", "[keypoints.fti]", r"keypoints\.fti.*Did you mean 'fit'"),
        ("[keypoints.fit]", "[keypoints.fit]\nsigma = 1", r"\[keypoints\.fit\]: .*'sigma'"),
    ],
)
def test_a_wrong_table_is_named(project: Project, old: str, new: str, message: str) -> None:
    path = project.layout.settings
    text = path.read_text("utf-8")
    assert old in text.split("[keypoints]")[1]
    head, tail = text.split("[keypoints]")
    path.write_text(head + "[keypoints]" + tail.replace(old, new, 1))
    with pytest.raises(ConfigError, match=message) as caught:
        Project.open(project.folder).stage_settings("keypoints.fit", KeypointSettings)
    assert str(path) in str(caught.value)


def test_an_import_adds_replaces_and_counts(sampled: Project, two: Path, tmp_path: Path) -> None:
    first = sampled.import_keypoints(two)
    assert first.added == ("sample-0000", "sample-0002")
    assert (first.replaced, first.missing) == ((), ("sample-0001",))
    assert first.visible == {"nucleus": 2, "cell": 1}
    again = coco_file(
        tmp_path / "again.json",
        {"sample-0001": [3.5, 3, 0, 4, 4, 2], "sample-0002": [8.5, 9, 2, 7, 7, 2]},
    )
    second = sampled.import_keypoints(again, keypoint_format="coco")
    assert (second.added, second.replaced) == (("sample-0001",), ("sample-0002",))
    assert second.missing == ()
    read = {a.sample.key: a.keypoints for a in Project.open(sampled.folder).annotated()}
    assert list(read) == ["sample-0000", "sample-0001", "sample-0002"]
    np.testing.assert_array_equal(read["sample-0000"].points, [[10.25, 4], [5.5, 6]])
    np.testing.assert_array_equal(read["sample-0002"].points, [[8.5, 9], [7, 7]])
    assert read["sample-0001"].visible.tolist() == [False, True]
    # The bytes do not tell in how many steps the points came.
    data = sampled.layout.keypoints.read_bytes()
    sampled.import_keypoints(again)
    assert sampled.layout.keypoints.read_bytes() == data


def test_nothing_is_written_unless_all_fits(
    sampled: Project, two: Path, tmp_path: Path, full_disk_after: Callable[[int], None]
) -> None:
    sampled.import_keypoints(two)
    before = files_of(sampled.folder)
    wrong = coco_file(
        tmp_path / "wrong.json",
        {"sample-0000": [1.5, 1, 2, 1, 1, 2], "sample-0001": [33.5, 1, 2, 1, 1, 2]},
    )
    with pytest.raises(LabelError, match=r"sample-0001: keypoint 'nucleus' lies at x 33\.5"):
        sampled.import_keypoints(wrong)
    with pytest.raises(UsageError, match=r"unknown keypoint format 'voc'"):
        sampled.import_keypoints(two, keypoint_format="voc")
    full_disk_after(0)
    with pytest.raises(StorageError, match=r"disk is full"):
        sampled.import_keypoints(two)
    assert files_of(sampled.folder) == before


def test_samples_come_before_keypoints(project: Project, two: Path) -> None:
    with pytest.raises(ProjectError, match=r"no samples to annotate yet\. Draw some"):
        project.import_keypoints(two)


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("sample-0000", "sample-0009", LabelError, r"unknown sample 'sample-0009'"),
        ('"nucleus"', '"core"', LabelError, r"holds the keypoints core, cell, but .*project\.toml"),
        ("10.25", "32.5", LabelError, r"sample-0000: keypoint 'nucleus' lies at x 32\.5"),
        ("10.25", '"x"', ConfigError, r"samples\.sample-0000\.points"),
        ("10.25", "NaN", ConfigError, r"not finite numbers"),
        ('"samples"', '"sample"', ConfigError, r"unknown key 'sample'"),
        ("false", "true, true", ConfigError, r"visible must be \[2\] bool"),
    ],
)
def test_a_file_that_was_edited_wrongly_is_named(
    sampled: Project, two: Path, old: str, new: str, error: type[Exception], message: str
) -> None:
    sampled.import_keypoints(two)
    path = sampled.layout.keypoints
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(error, match=message) as caught:
        list(sampled.annotated())
    assert str(path) in str(caught.value)


def test_features_are_those_of_the_annotated_samples(sampled: Project, two: Path) -> None:
    generator = sampled.load_generator()
    with pytest.raises(ProjectError, match=r"no sample with keypoints.*import-keypoints"):
        list(sampled.annotated_features(generator))
    sampled.import_keypoints(two)
    found = list(sampled.annotated_features(generator))
    assert [a.key for a in found] == ["sample-0000", "sample-0002"]
    assert [a.size for a in found] == [(32, 32), (32, 32)]
    ws = sampled.latents(["sample-0002"]).ws
    again = generator.synthesize(ws, noise=NoiseSeed((sampled.samples[2].seed,)))
    for mine, level in zip(found[1].features.tensors, again.features.tensors, strict=True):
        np.testing.assert_array_equal(mine.numpy(), level.detach().numpy())
    np.testing.assert_array_equal(found[1].keypoints.points, [[1.5, 2], [30, 31]])
    generator.digest = "1" * 64
    with pytest.raises(ProjectError, match=r"not with 111111111111"):
        sampled.annotated_features(generator)


def test_the_latents_are_read_once(
    sampled: Project, two: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled.import_keypoints(two)
    reads, read = [], samples.safe_open
    monkeypatch.setattr(samples, "safe_open", lambda *a: (reads.append(a), read(*a))[1])
    assert len(list(sampled.annotated_features(sampled.load_generator()))) == 2
    assert len(reads) == 1
