"""`datasetgan fit`: validation, its table and file, heads, and what cannot be validated."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from datasetgan.interpreter import ValidationReport, load_interpreter
from datasetgan.serialization import read_json
from tests.cli.conftest import Cli
from tests.cli.test_bad_input import assert_refused


def test_fit_ends_with_scores_of_held_out_samples(cli: Cli, fitted: Path) -> None:
    outcome = cli("fit", fitted, "--threads", 1)
    assert outcome.code == 0, outcome.err
    assert "Scores on 2 held-out images" in outcome.out
    assert "nucleus" in outcome.out
    report = read_json(fitted / "validation.json", ValidationReport)
    assert report.protocol == "leave-one-out"  # two samples are painted
    assert {image.key for image in report.images} == {"sample-0000", "sample-0001"}
    assert report.mean_iou is not None
    settings = json.loads((fitted / "records" / "fit.json").read_text("utf-8"))["settings"]
    assert settings["folds"] == 5


def test_scores_of_an_earlier_fit_do_not_stay(cli: Cli, fitted: Path) -> None:
    assert (fitted / "validation.json").is_file()
    outcome = cli("fit", fitted, "--folds", 0, "--threads", 1)
    assert outcome.code == 0
    assert "held-out images" not in outcome.out
    assert not (fitted / "validation.json").exists()


def test_one_fold_is_none(cli: Cli, fitted: Path) -> None:
    assert_refused(cli("fit", fitted, "--folds", 1), "--folds", "2 or more")


def test_every_head_can_be_asked_for(cli: Cli, fitted: Path) -> None:
    for head in ("paper", "linear", "mlp", "conv"):
        outcome = cli("fit", fitted, "--head", head, "--folds", 0, "--threads", 1)
        assert outcome.code == 0, outcome.err
        assert load_interpreter(fitted / "interpreter.safetensors").ensemble.members.name == head
    assert_refused(cli("fit", fitted, "--head", "deep"), "deep", "conv", "linear", "mlp", "paper")


def test_one_painted_sample_fits_but_cannot_be_validated(cli: Cli, fitted: Path) -> None:
    (fitted / "labels" / "sample-0001.png").unlink()
    outcome = cli("fit", fitted, "--threads", 1)
    assert outcome.code == 0, outcome.err
    assert "Not validated: one image alone" in " ".join(outcome.out.split())
    assert read_json(fitted / "validation.json", ValidationReport).protocol == "none"


def test_a_class_of_one_image_cannot_be_validated(cli: Cli, fitted: Path, masks: Path) -> None:
    mask = np.array(Image.open(masks / "sample-0001.png"))
    mask[mask == 4] = 0
    Image.fromarray(mask).save(masks / "sample-0001.png")
    assert cli("import-labels", fitted, masks).code == 0
    outcome = cli("fit", fitted, "--threads", 1)
    assert outcome.code == 0, outcome.err
    said = " ".join(outcome.out.split())
    assert "platelet" in said
    assert "painted in one image alone (sample-0000)" in said
    report = read_json(fitted / "validation.json", ValidationReport)
    assert [entry.name for entry in report.unvalidated] == ["platelet"]


def test_two_classes_with_one_pixel_each(cli: Cli, sampled: Path, masks: Path) -> None:
    for path in masks.glob("*.png"):
        mask = np.full((32, 32), 255, dtype=np.uint8)
        mask[3, 4], mask[20, 21] = 0, 3
        Image.fromarray(mask).save(path)
    assert cli("import-labels", sampled, masks).code == 0
    outcome = cli("fit", sampled, "--threads", 1)
    assert outcome.code == 0, outcome.err
    assert "Painted nowhere" in outcome.out
