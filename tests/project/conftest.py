"""A project of the tiny generator, with and without samples."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from datasetgan.checkpoints.generator_files import save_generator
from datasetgan.checkpoints.native import WeightCard
from datasetgan.generators import StyleGAN2
from datasetgan.project import Project
from datasetgan.taxonomy import ClassTaxonomy


@pytest.fixture
def checkpoint(tiny_generator: StyleGAN2, tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere" / "tiny.safetensors"
    save_generator(path, tiny_generator, card=WeightCard(title="test"))
    return path


@pytest.fixture
def project(checkpoint: Path, taxonomy: ClassTaxonomy, tmp_path: Path) -> Project:
    return Project.create(tmp_path / "cells", name="cells", generator=checkpoint, taxonomy=taxonomy)


@pytest.fixture
def sampled(project: Project) -> Project:
    project.add_samples(3)
    return project


def paint(path: Path, label_map: NDArray[np.uint8]) -> None:
    """Save class ids as an 8-bit grey PNG, by other means than the project's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(label_map).save(path)


def a_label_map(seed: int, *, size: tuple[int, int] = (32, 32)) -> NDArray[np.uint8]:
    """All five classes and unpainted pixels, scattered."""
    values = np.array([0, 1, 2, 3, 4, 255], dtype=np.uint8)
    return values[np.random.RandomState(seed).randint(0, 6, size)]


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture
def full_disk_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let so many more files be written, then report a full disk."""

    real = os.fsync

    def arm(files: int) -> None:
        left = [files]

        def fsync(descriptor: int) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            real(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)

    return arm
