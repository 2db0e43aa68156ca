"""Reading photographs, and their exact symmetries."""

import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datasetgan.errors import DatasetError
from datasetgan.training.images import TrainingImages, read_training_images, sample_batch


def png(size: tuple[int, int], color: tuple[int, int, int]) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", size, color).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def files() -> dict[str, bytes]:
    good = {f"a/{i:03d}.png": png((20, 16), (i, 0, 0)) for i in range(100)}
    return good | {"bad.png": b"no picture", "tiny.png": png((7, 9), (0, 0, 0)), "x.txt": b""}


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_folder_and_zip_give_the_same(tmp_path: Path, files: dict[str, bytes], kind: str) -> None:
    source = tmp_path / "photos"
    if kind == "folder":
        for name, data in files.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(data)
    else:
        with zipfile.ZipFile(source, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    images = read_training_images(source, resolution=8)
    assert images.pixels.shape == (100, 8, 8, 3)
    assert images.pixels[:, 0, 0, 0].tolist() == list(range(100))
    assert len(images.skipped) == 2
    assert "bad.png: not a readable image" in images.skipped[0]
    assert "tiny.png: 7x9 is smaller than 8" in images.skipped[1]


def test_too_few_images_are_refused(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(png((8, 8), (0, 0, 0)))
    with pytest.raises(DatasetError, match="holds 1 usable images"):
        read_training_images(tmp_path, resolution=8)
    with pytest.raises(DatasetError, match="does not exist"):
        read_training_images(tmp_path / "none", resolution=8)


def test_every_symmetry_of_the_square_is_drawn() -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (1, 4, 4, 3)).astype(np.uint8)
    images = TrainingImages(pixels, ())
    generator = torch.Generator().manual_seed(0)
    batch = sample_batch(images, 200, generator=generator, dihedral=True)
    found = {((p.permute(1, 2, 0) + 1) * 127.5).round().byte().numpy().tobytes() for p in batch}
    turned = [np.rot90(pixels[0], k) for k in range(4)]
    expected = {np.ascontiguousarray(t).tobytes() for t in turned}
    expected |= {np.ascontiguousarray(t[:, ::-1]).tobytes() for t in turned}
    assert found == expected
