"""Keypoints on the command line: import, fit, train, evaluate, and what goes wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasetgan.dataset import KeypointSchema, read_dataset
from datasetgan.errors import ProjectError
from datasetgan.factory import GenerationSettings, generate_samples
from datasetgan.interpreter import Ensemble, InputSpec, Interpreter
from datasetgan.interpreter.ensemble.heads import build_head
from datasetgan.metrics.keypoints import KeypointScores, PointScore
from datasetgan.pipeline import fit_project, train_project_keypoints
from datasetgan.pipeline.generate import load_project_keypoints
from datasetgan.project import Project
from datasetgan.runtime import Runtime
from tests.cli.conftest import CLASSES, Cli
from tests.cli.test_bad_input import assert_refused

QUICK = "[keypoints.fit]\nnum_members = 2\nsteps = 5\nbatch = 32\npixels_per_image = 64\n"


def coco(path: Path, points: dict[str, list[float]]) -> Path:
    data = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(points)],
        "categories": [{"id": 1, "keypoints": ["nucleus", "cell"]}],
        "annotations": [
            {"image_id": i, "category_id": 1, "keypoints": values}
            for i, values in enumerate(points.values())
        ],
    }
    path.write_text(json.dumps(data))
    return path


@pytest.fixture
def pointed(cli: Cli, tmp_path: Path, generator_file: Path) -> Path:
    """A project that names keypoints, with two images to mark."""
    folder = tmp_path / "cells"
    options = ("--generator", generator_file, "--classes", CLASSES, "--keypoints", "nucleus, cell")
    assert cli("new", folder, *options).code == 0
    assert cli("sample", folder, "-n", 2, "--threads", 1).code == 0
    text = (folder / "project.toml").read_text("utf-8")
    (folder / "project.toml").write_text(text.replace("[keypoints.fit]\n", QUICK), "utf-8")
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    points = {"sample-0000.png": [10.5, 9, 2, 20, 21, 2], "sample-0001.png": [0, 0, 0, 8, 9, 2]}
    return coco(tmp_path / "points.json", points)


@pytest.fixture
def generated(cli: Cli, pointed: Path, file: Path) -> Project:
    """A project with a dataset of eight images whose points were placed by a quick fit."""
    assert cli("import-keypoints", pointed, file).code == 0
    project = Project.open(pointed)
    assert fit_project(project, runtime=Runtime()).keypoints is not None
    generator = project.load_generator()
    levels = generator.feature_levels
    channels = sum(level.channels for level in levels)
    members = build_head("paper", num_members=2, in_channels=channels, num_outputs=5)
    ensemble = Ensemble(InputSpec(levels), members.eval(), generator.digest)
    labels = Interpreter(project.taxonomy, ensemble)
    generate_samples(
        generator,
        labels,
        project.layout.dataset("default"),
        settings=GenerationSettings(num_samples=8, batch=8),
        keypoints=load_project_keypoints(project, Runtime()),
    )
    return project


def test_an_import_says_what_it_did(cli: Cli, pointed: Path, file: Path) -> None:
    outcome = cli("import-keypoints", pointed, file, "--format", "coco")
    assert outcome.code == 0, outcome
    assert "Imported the points of 2 samples (0 replaced)" in outcome.out
    assert f"Next: datasetgan fit {pointed}" in outcome.out
    half = coco(file.with_name("half.json"), {"sample-0001.png": [1.5, 1, 1, 2, 2, 2]})
    again = cli("import-keypoints", pointed, half).out
    assert "Imported the points of 1 samples (1 replaced)" in again
    assert "Visible in none of them: nucleus." in again
    record = json.loads((pointed / "records" / "import-keypoints.json").read_text())
    assert record["settings"] == {"added": 0, "replaced": 1}


def test_from_marks_to_scores_on_photos(cli: Cli, generated: Project, tmp_path: Path) -> None:
    project = generated
    manifest = json.loads((project.layout.dataset("default") / "manifest.json").read_text())
    assert manifest["keypoints"] == {"names": ["nucleus", "cell"]}
    assert len(manifest["samples"][7]["keypoints"]["points"]) == 2
    trained = cli("train-keypoints", project.folder, "--steps", 2, "--threads", 1)
    assert trained.code == 0, trained
    settings = json.loads(project.layout.record("train-keypoints").read_text())["settings"]
    assert settings["training"]["steps"] == 2
    assert settings["training"]["augmentation"]["orientation"] == "fixed"
    assert not project.layout.keypoint_training_state.exists()

    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a.png", "b.jpg", "c.png"):
        noise = np.random.RandomState(ord(name[0])).randint(0, 256, (40, 60, 3))
        Image.fromarray(noise.astype(np.uint8)).save(photos / name)
    marks = {"a.png": [10.5, 9, 2, 59.5, 21, 2], "b.jpg": [0, 0, 0, 8, 9, 2]}
    truth = coco(tmp_path / "truth.json", marks)
    options = ("--photos", photos, "--keypoints", truth, "--threads", 1)
    evaluated = cli("evaluate-keypoints", project.folder, *options)
    assert evaluated.code == 0, evaluated
    assert "Keypoints of 2 real photos" in evaluated.out
    scores = json.loads(project.layout.keypoint_evaluation.read_text())
    assert [score["points"] for score in scores["keypoints"]] == [1, 2]
    assert_refused(
        cli("evaluate-keypoints", project.folder, "--photos", photos, "--keypoints", photos),
        str(photos),
        "cannot be read",
    )


def test_the_networks_table_and_the_options_are_merged(generated: Project) -> None:
    path = generated.layout.settings
    table = "[keypoints.train.training]\nbatch = 4\nsteps = 9\n[keypoints.train]\nthreshold = 0.3\n"
    path.write_text(path.read_text("utf-8").replace("[keypoints.train]\n", table), "utf-8")
    text = path.read_text("utf-8").replace("num_members = 2", "num_members = 2\nsigma_share = 0.06")
    path.write_text(text, "utf-8")
    project = Project.open(generated.folder)
    network = train_project_keypoints(
        project,
        settings={"training": {"steps": 1, "model": None}},
        drop_fraction=0.0,
        runtime=Runtime(),
    )
    assert (network.settings.threshold, network.settings.sigma_share) == (0.3, 0.06)
    training = network.settings.training
    assert (training.batch, training.steps, training.augmentation.orientation) == (4, 1, "fixed")


def test_a_project_without_marks_is_has_nothing_to_fit(pointed: Path) -> None:
    with pytest.raises(ProjectError, match="has no painted sample"):
        fit_project(pointed, runtime=Runtime())
    assert load_project_keypoints(Project.open(pointed), Runtime()) is None


def test_points_alone_are_fitted_validated_and_generated(
    cli: Cli, pointed: Path, file: Path
) -> None:
    assert cli("import-keypoints", pointed, file).code == 0
    fitted = cli("fit", pointed, "--threads", 1)
    assert fitted.code == 0, fitted.err
    assert "Keypoints of 2 held-out samples" in fitted.out
    assert "Not validated: nucleus." in fitted.out
    assert "to 3 points of 2 images" in fitted.out
    assert not (pointed / "interpreter.safetensors").exists()
    validation = json.loads((pointed / "keypoint-validation.json").read_text("utf-8"))
    assert validation["protocol"] == "leave-one-out"

    generated = cli("generate", pointed, "-n", 6, "--threads", 1)
    assert generated.code == 0, generated.err
    assert "Labels:" not in generated.out
    with Image.open(pointed / "datasets/default/labels/000000.png") as image:
        assert (np.asarray(image) == 255).all()
    assert len(read_dataset(pointed / "datasets/default")) == 6
    assert_refused(cli("train", pointed, "--threads", 1), "keypoints")
    assert cli("train-keypoints", pointed, "--steps", 2, "--threads", 1).code == 0

    # Scores of an earlier fit never lie beside a later one.
    assert cli("fit", pointed, "--folds", 0, "--threads", 1).code == 0
    assert not (pointed / "keypoint-validation.json").exists()


def test_what_is_fitted_must_be_what_is_named(cli: Cli, generated: Project) -> None:
    path = generated.layout.settings
    path.write_text(path.read_text("utf-8").replace('"nucleus",\n    "cell"', '"cell", "core"'))
    project = Project.open(generated.folder)
    assert project.keypoints == KeypointSchema(("cell", "core"))
    with pytest.raises(ProjectError, match=r"fitted on the keypoints nucleus, cell, but .*core"):
        load_project_keypoints(project, Runtime())
    generated.layout.keypoint_interpreter.unlink()
    with pytest.raises(ProjectError, match=r"Run `datasetgan fit"):
        load_project_keypoints(generated, Runtime())


def test_stages_in_the_wrong_order(cli: Cli, pointed: Path, file: Path) -> None:
    assert_refused(cli("train-keypoints", pointed), "Run `datasetgan generate")
    options = ("--photos", file.parent, "--keypoints", file)
    assert_refused(cli("evaluate-keypoints", pointed, *options), "Run `datasetgan train-keypoints")


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("<!DOCTYPE a><annotations/>", ("points.json", "declares a document type")),
        ("{", ("points.json", "not valid JSON")),
        (None, ("points.json", "cannot be read")),
    ],
)
def test_a_bad_file_leaves_nothing(
    cli: Cli, pointed: Path, file: Path, content: str | None, parts: tuple[str, ...]
) -> None:
    file.unlink() if content is None else file.write_text(content)
    assert_refused(cli("import-keypoints", pointed, file), *parts)
    assert not (pointed / "labels").exists()


def test_bad_names_make_no_project(cli: Cli, tmp_path: Path, generator_file: Path) -> None:
    options = ("--generator", generator_file, "--classes", CLASSES, "--keypoints", "eye,eye")
    assert_refused(cli("new", tmp_path / "p", *options), "'eye' stands twice")
    assert not (tmp_path / "p").exists()


def test_scores_that_are_undefined_are_printed_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    from datasetgan.cli.tables import print_keypoint_scores

    none = PointScore(
        name="cell", points=0, l2_pixels=None, l2_sides=None, pck=(), precision=None, recall=None
    )
    whole = PointScore(
        name="all",
        points=3,
        l2_pixels=2.0,
        l2_sides=0.0625,
        pck=(0.5, 1.0),
        precision=1.0,
        recall=0.75,
    )
    print_keypoint_scores(
        KeypointScores(images=3, shares=(0.05, 0.1), overall=whole, keypoints=(none,))
    )
    out = capsys.readouterr().out
    assert "PCK@0.05" in out
    assert out.splitlines()[4].count("- │") == 5
    assert "6.2" in out
    assert "75.0" in out
