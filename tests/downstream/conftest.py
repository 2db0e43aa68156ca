"""A small dataset of coloured discs, and networks small enough for tests."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from datasetgan.dataset import (
    DatasetManifest,
    LabelledDataset,
    LabelledSample,
    read_dataset,
    write_sample,
)
from datasetgan.downstream.models import SEGMENTERS
from datasetgan.serialization import write_json
from datasetgan.taxonomy import ClassTaxonomy

Bytes = NDArray[np.uint8]
MakeDataset = Callable[..., LabelledDataset]

# Colours of the classes in pictures (not those of the palette).
LOOKS = np.array([[200, 190, 190], [210, 90, 90], [90, 60, 160]], dtype=np.uint8)


def draw_disc(seed: int, size: tuple[int, int] = (32, 32)) -> tuple[Bytes, Bytes]:
    """Draw a disc with a core on a background: picture [H, W, 3] and label map [H, W]."""
    random = np.random.RandomState(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    center = random.uniform(0.4, 0.6, 2) * size
    distance = np.hypot(rows - center[0], columns - center[1]) / min(size)
    label_map = (distance < 0.35).astype(np.uint8) + (distance < 0.18)
    noise = random.normal(0, 5, (*size, 3))
    return (LOOKS[label_map] + noise).clip(0, 255).astype(np.uint8), label_map.astype(np.uint8)


@pytest.fixture
def discs() -> ClassTaxonomy:
    return ClassTaxonomy.from_names(["background", "ring", "core"])


@pytest.fixture
def make_dataset(tmp_path: Path, discs: ClassTaxonomy) -> MakeDataset:
    """Return a function that writes a dataset and opens it."""

    def make(
        name: str = "dataset",
        *,
        count: int = 12,
        size: tuple[int, int] = (32, 32),
        first_seed: int = 0,
        drop_fraction: float = 0.0,
    ) -> LabelledDataset:
        records = []
        for i in range(count):
            image, label_map = draw_disc(first_seed + i, size)
            sample = LabelledSample(f"{i:06d}", first_seed + i, image, label_map, None, i / 100)
            records.append(write_sample(tmp_path / name, sample, discs))
        manifest = DatasetManifest(
            format=1,
            datasetgan_version="0",
            torch_version="0",
            generator_sha256="0" * 64,
            interpreter_sha256="0" * 64,
            taxonomy=discs,
            height=size[0],
            width=size[1],
            uncertainty_scale=1e-4,
            samples=tuple(records),
        )
        write_json(tmp_path / name / "manifest.json", manifest)
        return read_dataset(tmp_path / name, drop_fraction=drop_fraction)

    return make


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a network with what makes training hard to repeat: batch norm and dropout."""

    def build(num_classes: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Conv2d(8, num_classes, 3, padding=1),
        )

    monkeypatch.setitem(SEGMENTERS, "tiny", build)
    return "tiny"


@pytest.fixture
def channels(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a network whose logits are the red, green and blue of a picture."""

    def build(num_classes: int) -> nn.Module:
        layer = nn.Conv2d(3, num_classes, 1)
        with torch.no_grad():
            # Undo the normalisation, so that logits are colours in [0, 1].
            layer.weight.copy_(torch.diag(torch.tensor([0.229, 0.224, 0.225]))[..., None, None])
            layer.bias.copy_(torch.tensor([0.485, 0.456, 0.406]))  # type: ignore[union-attr]
        return layer

    monkeypatch.setitem(SEGMENTERS, "channels", build)
    return "channels"
