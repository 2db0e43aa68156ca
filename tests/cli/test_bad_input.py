"""Bad input: one clear message that names the file and the remedy, exit code 2, no traceback."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from datasetgan.checkpoints.native import WeightCard, write_checkpoint
from tests.cli.conftest import CLASSES, Cli, Outcome
from tests.conftest import build_tiny_generator


def assert_refused(outcome: Outcome, *parts: str) -> None:
    message = " ".join(outcome.err.split())
    assert outcome.code == 2, outcome
    assert message.startswith("error: ")
    assert "Traceback" not in outcome.out + outcome.err
    for part in parts:
        assert part in message, message


def save(path: Path, mask: np.ndarray) -> None:  # type: ignore[type-arg]
    Image.fromarray(mask.astype(np.uint8)).save(path)


@pytest.mark.parametrize(
    ("mask", "parts"),
    [
        (np.zeros((16, 32)), ("32x16", "32x32")),
        (np.full((32, 32), 9), ("9",)),
        (np.full((32, 32, 3), 77), ("no class",)),
        (np.full((32, 32), 255), ("no pixel is painted", "leave the file out")),
    ],
    ids=["size", "class id", "colour", "empty"],
)
def test_a_bad_mask_leaves_no_label_map(
    cli: Cli,
    sampled: Path,
    masks: Path,
    mask: np.ndarray,  # type: ignore[type-arg]
    parts: tuple[str, ...],
) -> None:
    save(masks / "sample-0001.png", mask)
    assert_refused(cli("import-labels", sampled, masks), "sample-0001.png", *parts)
    assert not list(sampled.glob("labels/*.png"))


def test_a_mask_for_no_sample(cli: Cli, sampled: Path, masks: Path) -> None:
    (masks / "sample-0001.png").rename(masks / "sample-0007.png")
    assert_refused(cli("import-labels", sampled, masks), "sample-0007", "sample-0001")
    assert not list(sampled.glob("labels/*.png"))


def test_a_truncated_checkpoint(cli: Cli, tmp_path: Path, generator_file: Path) -> None:
    generator_file.write_bytes(generator_file.read_bytes()[:-100])
    outcome = cli("new", tmp_path / "p", "--generator", generator_file, "--classes", CLASSES)
    assert_refused(outcome, str(generator_file), "truncated", "Copy or download it again")
    assert not (tmp_path / "p").exists()


def without(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    del tensors["mapping.w_avg"]
    return tensors


def extra(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return tensors | {"mapping.fc9.weight": torch.zeros(2)}


def misshapen(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return tensors | {"mapping.w_avg": torch.zeros(3)}


def broken(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return tensors | {"mapping.w_avg": torch.full((8,), float("nan"))}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without, "missing: mapping.w_avg"),
        (extra, "unexpected: mapping.fc9.weight"),
        (misshapen, "misshapen: mapping.w_avg is [3], expected [8]"),
        (broken, "mapping.w_avg hold NaN"),
    ],
)
def test_a_checkpoint_that_does_not_fit(
    cli: Cli, tmp_path: Path, change: object, message: str
) -> None:
    generator = build_tiny_generator()
    path = tmp_path / "odd.safetensors"
    write_checkpoint(
        path,
        change(dict(generator.state_dict())),  # type: ignore[operator]
        kind="generator",
        architecture="stylegan2",
        config=generator.config,
        card=WeightCard(title="odd"),
    )
    outcome = cli("new", tmp_path / "p", "--generator", path, "--classes", CLASSES)
    assert_refused(outcome, str(path), message)
    assert not (tmp_path / "p").exists()


def test_a_full_disk_while_generating(
    cli: Cli, fitted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = 21

    def fsync(_descriptor: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        outcome = cli("generate", fitted, "-n", 40, "--threads", 1)
    assert_refused(outcome, "the disk is full", "run the same command again")
    assert not list(fitted.rglob("*.partial"))
    assert not (fitted / "datasets/default/manifest.json").exists()
    assert cli("generate", fitted, "-n", 40, "--threads", 1).code == 0
    assert (fitted / "datasets/default/manifest.json").exists()


def test_a_project_of_a_newer_version(cli: Cli, sampled: Path) -> None:
    path = sampled / "project.toml"
    path.write_text(path.read_text("utf-8").replace("format = 1", "format = 2\nnew_key = 1"))
    assert_refused(cli("fit", sampled), str(path), "newer DatasetGAN", "upgrade")


@pytest.mark.parametrize("command", ["sample", "generate"])
def test_zero_images(cli: Cli, fitted: Path, command: str) -> None:
    assert_refused(cli(command, fitted, "-n", 0), "at least 1, got 0")


def test_an_unknown_setting(cli: Cli, sampled: Path) -> None:
    path = sampled / "project.toml"
    path.write_text(path.read_text("utf-8") + "\n[trian]\nsteps = 1\n")
    assert_refused(cli("fit", sampled), str(path), "unknown key 'trian'", "Did you mean 'train'?")


@pytest.mark.parametrize(
    ("command", "before"), [("fit", "import-labels"), ("generate", "fit"), ("train", "generate")]
)
def test_a_stage_too_early_names_the_one_before(
    cli: Cli, sampled: Path, command: str, before: str
) -> None:
    assert_refused(cli(command, sampled), f"datasetgan {before}")


@pytest.mark.parametrize("option", ["--photos", "--masks"])
def test_a_report_with_half_a_pair_of_folders(cli: Cli, fitted: Path, option: str) -> None:
    assert_refused(cli("report", fitted, option, fitted / "labels"), "give both, or neither")


def test_no_project(cli: Cli, tmp_path: Path) -> None:
    assert_refused(cli("fit", tmp_path / "none"), "no project", "datasetgan new")


def test_an_unknown_generator_and_device(cli: Cli, tmp_path: Path, sampled: Path) -> None:
    outcome = cli("new", tmp_path / "p", "--generator", "wcb", "--classes", CLASSES)
    assert_refused(outcome, "unknown generator 'wcb'", "wbc")
    assert_refused(cli("sample", sampled, "--device", "cuda:9"), "Present: cpu")
