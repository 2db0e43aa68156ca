"""The shipped label maps are what their written recipes paint."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from datasetgan import assets
from datasetgan.checkpoints.generator_files import load_generator
from datasetgan.dataset import read_label_png
from datasetgan.generators import sample_latents
from datasetgan.taxonomy import ClassTaxonomy

TOOLS = Path(__file__).parent.parent / "tools"
TAXONOMY = ClassTaxonomy.from_names(assets.EMBEDDED_CLASSES)


def render(recipes: Path, images: Path, out: Path) -> dict[str, NDArray[np.uint8]]:
    command = [sys.executable, TOOLS / "paint.py", "render", recipes, images, out]
    subprocess.run(command, check=True, capture_output=True)
    return {path.name: np.asarray(Image.open(path)) for path in out.iterdir()}


def test_the_photos_recipes_paint_their_masks(tmp_path: Path) -> None:
    painted = assets.painted_photos()
    masks = render(TOOLS / "recipes" / "real", painted.photos, tmp_path)
    assert len(masks) == 20
    for name, mask in masks.items():
        shipped = read_label_png(painted.masks / name, TAXONOMY)
        assert np.array_equal(mask, shipped), name


def test_the_samples_recipes_paint_their_masks(tmp_path: Path) -> None:
    painted = assets.painted_samples()
    generator = load_generator("wbc")
    images, out = tmp_path / "images", tmp_path / "masks"
    images.mkdir()
    for i, seed in enumerate(painted.seeds):
        latents = sample_latents(generator, [seed], truncation_psi=painted.truncation_psi)
        picture = generator.synthesize(latents.ws, noise=latents.noise).to_uint8()[0]
        Image.fromarray(picture).save(images / f"sample-{i:04d}.png")
    masks = render(TOOLS / "recipes" / "samples", images, out)
    assert len(masks) == 16
    for name, mask in masks.items():
        shipped = read_label_png(painted.masks / name, TAXONOMY)
        # Rounding of another processor may move a pixel across a threshold.
        assert (mask != shipped).mean() < 0.002, name


def test_a_bad_recipe_ends_in_one_line(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    recipe = '{"image": "a.png", "steps": [{"class": "nucleus", "polgyon": []}]}'
    (tmp_path / "a.json").write_text(recipe)
    command = [sys.executable, TOOLS / "paint.py", "render", tmp_path, tmp_path, tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "a.json" in done.stderr
    assert "polgyon" in done.stderr


@pytest.mark.parametrize("folder", ["real", "samples"])
def test_every_recipe_names_its_painter(folder: str) -> None:
    for path in (TOOLS / "recipes" / folder).glob("*.json"):
        assert '"painter": "Claude, an AI model, by eye' in path.read_text("utf-8"), path.name
