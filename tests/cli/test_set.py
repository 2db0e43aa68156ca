"""`--set` and `--config`: every setting can be reached, typed and named when it is wrong."""

import inspect
import json
from dataclasses import fields
from pathlib import Path

import pytest

from datasetgan.cli import generators
from datasetgan.gan_training import RunSettings, TrainingSettings
from datasetgan.interpreter import load_interpreter
from datasetgan.pipeline import STAGE_SETTINGS
from datasetgan.project import Project
from tests.cli.conftest import CLASSES, Cli
from tests.cli.test_bad_input import assert_refused


def test_a_setting_for_one_run(cli: Cli, fitted: Path) -> None:
    options = ("--folds", 0, "--threads", 1, "--set", "fit.num_members=3", "--set", "max_steps=4")
    before = (fitted / "project.toml").read_bytes()
    assert cli("fit", fitted, *options).code == 0
    assert load_interpreter(fitted / "interpreter.safetensors").ensemble.members.num_members == 3
    record = json.loads((fitted / "records/fit.json").read_text("utf-8"))
    assert record["settings"]["max_steps"] == 4
    assert (fitted / "project.toml").read_bytes() == before

    # An option of its own wins over --set, which wins over project.toml.
    seeds = ("--seed", 5, "--set", "seed=7")
    assert cli("fit", fitted, *options, *seeds).code == 0
    assert json.loads((fitted / "records/fit.json").read_text("utf-8"))["settings"]["seed"] == 5


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("num_member=3", ("unknown setting 'fit.num_member'", "Did you mean 'fit.num_members'?")),
        ("num_members", ("--set takes NAME=VALUE", "num_members")),
        ("num_members=three", ("num_members=three", "integer")),
        ("train.steps=3", ("unknown setting",)),
        ("num_members=0", ("num_members must be at least 1",)),
    ],
)
def test_what_cannot_be_set(cli: Cli, fitted: Path, text: str, parts: tuple[str, ...]) -> None:
    before = (fitted / "interpreter.safetensors").read_bytes()
    assert_refused(cli("fit", fitted, "--set", text, "--threads", 1), *parts)
    assert (fitted / "interpreter.safetensors").read_bytes() == before


def test_a_new_project_shows_every_setting(cli: Cli, tmp_path: Path, generator_file: Path) -> None:
    folder = tmp_path / "cells"
    options = ("--generator", generator_file, "--classes", CLASSES, "--keypoints", "tip")
    assert cli("new", folder, *options, "--truncation-psi", 0.9).code == 0
    text = (folder / "project.toml").read_text("utf-8")
    for cls in STAGE_SETTINGS.values():
        for field in fields(cls):
            assert f"# {field.name}" in text or f"# {field.name}." in text, field.name
    # What stands there is what holds: images are generated as those to paint are drawn.
    assert text.count("#truncation_psi = 0.9") == 1
    assert Project.open(folder).settings.generate == {}


def test_shown_defaults_are_those_that_hold() -> None:
    own = {f.name: f.default for cls in (TrainingSettings, RunSettings) for f in fields(cls)}
    shown = 0
    for name, parameter in inspect.signature(generators.train_generator).parameters.items():
        if name in own:
            option = parameter.annotation.__metadata__[0]
            assert parameter.default is None
            assert str(option.show_default) == str(own[name]), name
            shown += 1
    assert shown >= 12


def test_a_training_takes_its_settings_from_a_file(cli: Cli, tmp_path: Path) -> None:
    config = tmp_path / "training.toml"
    config.write_text("r1_interval = 8\nbatchs = 4\n", "utf-8")
    options = ("--out", tmp_path / "g.safetensors", "--resolution", 16, "--config", config)
    assert_refused(
        cli("train-generator", tmp_path, *options), "training.toml", "Did you mean 'batch'?"
    )
    config.write_text("r1_interval = 8\nbatch = 4\n", "utf-8")
    outcome = cli("train-generator", tmp_path, *options, "--set", "batch=1")
    assert_refused(outcome, "batch must be at least 2, got 1")
