from pathlib import Path

import numpy as np
import pytest
import torch

from datasetgan.gan_training.photos.images import TrainingImages
from datasetgan.generators import StyleGAN2, StyleGAN2Config

SMALL = StyleGAN2Config(
    resolution=8, z_dim=4, w_dim=4, mapping_layers=2, channel_base=64, channel_max=8
)


def build_small(*, label_dim: int = 0, seed: int = 0) -> StyleGAN2:
    config = StyleGAN2Config(**{**vars(SMALL), "label_dim": label_dim})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return StyleGAN2(config)


@pytest.fixture
def dark_photos() -> TrainingImages:
    pixels = np.random.RandomState(0).randint(0, 60, (128, 8, 8, 3)).astype(np.uint8)
    return TrainingImages(pixels, None, (), (), "dark")


@pytest.fixture
def labelled_photos() -> TrainingImages:
    """Dark photographs of class 0, bright ones of class 1."""
    random = np.random.RandomState(0)
    dark, bright = random.randint(0, 60, (64, 8, 8, 3)), random.randint(195, 255, (64, 8, 8, 3))
    pixels = np.concatenate([dark, bright]).astype(np.uint8)
    return TrainingImages(pixels, np.repeat([0, 1], 64), ("dark", "bright"), (), "labelled")


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    return tmp_path / "run"
