"""Tiny networks of timm with random weights, as files of weights."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

TINY_CNN = "test_resnet"
TINY_VIT = "test_vit"


def photograph(height: int, width: int, *, seed: int = 0) -> NDArray[np.uint8]:
    """A dark disk on a bright ground, with noise."""
    random = np.random.RandomState(seed)
    rows, columns = np.mgrid[:height, :width]
    center = random.uniform(0.35, 0.65, 2) * (height, width)
    disk = np.hypot(rows - center[0], columns - center[1]) < min(height, width) / 4
    pixels = np.where(disk[..., None], (90, 40, 120), (220, 200, 210))
    return np.clip(pixels + random.randint(-20, 21, (height, width, 3)), 0, 255).astype(np.uint8)


def tiny_weights(folder: Path, name: str) -> Path:
    """Make the weights file of a network as timm publishes it, classifier included."""
    import timm

    path = folder / f"{name}.safetensors"
    if not path.exists():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = timm.create_model(name, pretrained=False, num_classes=7)
        save_file(network.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def weights_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives the weights file of a network by name."""
    return partial(tiny_weights, tmp_path_factory.mktemp("weights"))
