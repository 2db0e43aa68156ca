"""The command line in this process, and a project small enough for a test."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasetgan.checkpoints.generator_files import save_generator
from datasetgan.checkpoints.native import WeightCard
from datasetgan.cli.main import main
from tests.conftest import build_tiny_generator

CLASSES = "background,red_cell,cytoplasm,nucleus,platelet"


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Cli = Callable[..., Outcome]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command as the shell would, without its start-up time."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["datasetgan", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def generator_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_generator(path, build_tiny_generator(), card=WeightCard(title="tiny"))
    return path


@pytest.fixture
def sampled(cli: Cli, tmp_path: Path, generator_file: Path) -> Path:
    """A project with two images to paint."""
    folder = tmp_path / "cells"
    assert cli("new", folder, "--generator", generator_file, "--classes", CLASSES).code == 0
    assert cli("sample", folder, "-n", 2, "--threads", 1).code == 0
    return folder


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """A mask of every class for each of the two images: stripes."""
    folder = tmp_path / "masks"
    folder.mkdir()
    stripes = np.repeat(np.arange(5, dtype=np.uint8), 7)[:32]
    for i in range(2):
        Image.fromarray(np.tile(stripes, (32, 1))).save(folder / f"sample-{i:04d}.png")
    return folder


@pytest.fixture
def fitted(cli: Cli, sampled: Path, masks: Path) -> Path:
    """A project with painted samples and a (badly) fitted interpreter."""
    settings = (sampled / "project.toml").read_text("utf-8")
    quick = "[fit]\nmax_steps = 5\nnum_members = 2\npixels_per_image = 64\n"
    (sampled / "project.toml").write_text(settings.replace("[fit]\n", quick), "utf-8")
    assert cli("import-labels", sampled, masks).code == 0
    assert cli("fit", sampled, "--threads", 1).code == 0
    return sampled
