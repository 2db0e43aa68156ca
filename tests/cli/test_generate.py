"""The options of `generate`, and what it says of its labels."""

import json
from pathlib import Path

import pytest
from PIL import Image

from datasetgan.cli.draw import describe_labelling
from datasetgan.interpreter import PrecisionChoice
from datasetgan.interpreter import label_precision as precision
from datasetgan.interpreter.labelling import Labeller
from tests.cli.conftest import Cli


@pytest.fixture
def fast_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU where bfloat16 is fast and changes one label of two thousand."""
    monkeypatch.setattr(Labeller, "engine", "numba")
    monkeypatch.setattr(precision, "training_precision", lambda _device: "bfloat16")
    monkeypatch.setattr(precision, "compare_precisions", lambda *_, size: 0.0005)


def settings_of(folder: Path) -> dict[str, object]:
    manifest = json.loads((folder / "datasets/default/manifest.json").read_text("utf-8"))
    return dict(manifest["settings"])


@pytest.mark.usefixtures("fast_bfloat16")
def test_the_precision_in_force_is_said(cli: Cli, fitted: Path) -> None:
    command = ("generate", fitted, "-n", 4, "--threads", 1)
    measured = cli(*command)
    said = "Labels: compiled loops (Numba), bfloat16 (0.05 % of labels differ from float32)."
    assert said in measured.out.splitlines()
    assert settings_of(fitted)["label_precision"] == "bfloat16"
    again = cli(*command)  # nothing is left to label
    assert again.code == 0, again.err
    assert "Labels:" not in again.out
    other = cli(*command, "--label-precision", "float32")
    assert other.code == 2
    assert "label_precision was bfloat16, now float32" in other.err


def test_labels_of_another_size_are_made_and_trained_on(cli: Cli, fitted: Path) -> None:
    options = ("--label-resolution", 48, "--label-precision", "float32", "--uncertainty", "map")
    generated = cli("generate", fitted, "-n", 6, *options, "--threads", 1)
    assert generated.code == 0, generated.err
    assert ", float32." in generated.out
    for name, side in (("images", 32), ("labels", 48), ("uncertainty", 48)):
        with Image.open(fitted / "datasets/default" / name / "000000.png") as picture:
            assert picture.size == (side, side)
    assert settings_of(fitted)["label_resolution"] == 48
    trained = cli("train", fitted, "--steps", 2, "--threads", 1)
    assert trained.code == 0, trained.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--label-resolution", 0), "label_resolution must be at least 1, got 0"),
        (
            ("--label-precision", "bfloat"),
            "unknown value of --label-precision 'bfloat'. Did you mean 'bfloat16'? Valid: auto",
        ),
    ],
)
def test_options_out_of_range(
    cli: Cli, fitted: Path, options: tuple[object, ...], words: str
) -> None:
    refused = cli("generate", fitted, "-n", 2, *options)
    assert refused.code == 2
    assert words in refused.err
    assert not (fitted / "datasets").exists()


@pytest.mark.parametrize(
    ("choice", "line"),
    [
        (PrecisionChoice("float32", "plain"), "Labels: plain PyTorch, float32."),
        (PrecisionChoice("bfloat16", "triton"), "Labels: GPU kernel (Triton), bfloat16."),
        (
            PrecisionChoice("float32", "numba", 0.0123),
            "Labels: compiled loops (Numba), float32 (bfloat16 would change 1.23 % of labels).",
        ),
    ],
)
def test_every_way_of_labelling_is_described(choice: PrecisionChoice, line: str) -> None:
    assert describe_labelling(choice) == line
