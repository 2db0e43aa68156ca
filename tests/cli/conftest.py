"""The command line in this process, and a project small enough for a test."""

import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
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
        capsys.readouterr()
        code = run_main(monkeypatch, arguments)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


def run_main(patch: pytest.MonkeyPatch, arguments: Sequence[object]) -> int:
    """Run a command and return its exit code."""
    patch.setattr(sys, "argv", ["datasetgan", *map(str, arguments)])
    try:
        main()
    except SystemExit as exit_:
        return int(exit_.code or 0)
    return 0


def run_quietly(*arguments: object) -> str:
    """Run a command that has to succeed, outside of any test; return what it printed."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out:
        assert run_main(patch, arguments) == 0, arguments
    return out.getvalue()


# Projects are made once; every test works on a copy of its own.
@pytest.fixture(scope="session")
def made_generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("generator") / "tiny.safetensors"
    save_generator(path, build_tiny_generator(), card=WeightCard(title="tiny"))
    return path


@pytest.fixture(scope="session")
def made_sampled(tmp_path_factory: pytest.TempPathFactory, made_generator: Path) -> Path:
    folder = tmp_path_factory.mktemp("sampled") / "cells"
    run_quietly("new", folder, "--generator", made_generator, "--classes", CLASSES)
    run_quietly("sample", folder, "-n", 2, "--threads", 1)
    return folder


@pytest.fixture(scope="session")
def made_fitted(tmp_path_factory: pytest.TempPathFactory, made_sampled: Path) -> Path:
    folder = tmp_path_factory.mktemp("fitted")
    project = folder / "cells"
    shutil.copytree(made_sampled, project)
    fit_quickly(project)
    run_quietly("import-labels", project, write_masks(folder / "masks"))
    run_quietly("fit", project, "--threads", 1)
    return project


def fit_quickly(project: Path) -> None:
    """Give a project the settings of a (bad) fit that takes a moment."""
    settings = (project / "project.toml").read_text("utf-8")
    quick = "[fit]\nmax_steps = 5\nnum_members = 2\npixels_per_image = 64\n"
    (project / "project.toml").write_text(settings.replace("[fit]\n", quick), "utf-8")


@pytest.fixture
def generator_file(tmp_path: Path, made_generator: Path) -> Path:
    return Path(shutil.copy(made_generator, tmp_path))


@pytest.fixture
def sampled(tmp_path: Path, generator_file: Path, made_sampled: Path) -> Path:
    """A project with two images to paint."""
    return Path(shutil.copytree(made_sampled, tmp_path / "cells"))


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """A mask of every class for each of the two images: stripes."""
    return write_masks(tmp_path / "masks")


def write_masks(folder: Path) -> Path:
    folder.mkdir()
    stripes = np.repeat(np.arange(5, dtype=np.uint8), 7)[:32]
    for i in range(2):
        Image.fromarray(np.tile(stripes, (32, 1))).save(folder / f"sample-{i:04d}.png")
    return folder


@pytest.fixture
def fitted(tmp_path: Path, generator_file: Path, masks: Path, made_fitted: Path) -> Path:
    """A project with painted samples and a (badly) fitted interpreter."""
    return Path(shutil.copytree(made_fitted, tmp_path / "cells"))
