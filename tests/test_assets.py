"""The embedded default: complete, consistent, within its size."""

import numpy as np
import pytest

from datasetgan import assets
from datasetgan.checkpoints.generator_files import load_generator, locate_generator
from datasetgan.checkpoints.native import read_checkpoint
from datasetgan.dataset import find_pairs, read_label_png, read_photo
from datasetgan.taxonomy import IGNORE_INDEX, ClassTaxonomy

TAXONOMY = ClassTaxonomy.from_names(assets.EMBEDDED_CLASSES)


def test_the_generator_says_where_it_comes_from() -> None:
    path = locate_generator("wbc")
    card = read_checkpoint(path, kind="generator").card
    assert card.licence == "CC-BY-4.0"
    assert "Acevedo" in (card.attribution or "")
    assert (card.images_seen or 0) > 50_000
    assert path.stat().st_size < 25e6
    assert load_generator("wbc").resolution == 64


def test_sixteen_painted_samples_cover_every_class() -> None:
    painted = assets.painted_samples()
    assert len(set(painted.seeds)) == len(painted.seeds) == 16
    shown = np.zeros(256, dtype=int)
    for i in range(16):
        label_map = read_label_png(painted.masks / f"sample-{i:04d}.png", TAXONOMY, size=(64, 64))
        assert {0, 3} <= set(np.unique(label_map)), "every sample shows plasma and a nucleus"
        shown += np.bincount(label_map.ravel(), minlength=256) > 0
    assert (shown[: len(TAXONOMY)] > 0).all()
    assert len(list(painted.masks.iterdir())) == 16


def test_twenty_painted_photos() -> None:
    painted = assets.painted_photos()
    pairs = find_pairs(painted.photos, painted.masks)
    assert len(pairs) == 20
    unpainted = 0
    for pair in pairs:
        assert read_photo(pair.photo).shape == (128, 128, 3)
        label_map = read_label_png(pair.mask, TAXONOMY, size=(128, 128))
        assert {0, 1, 2, 3} <= set(np.unique(label_map))
        unpainted += int((label_map == IGNORE_INDEX).sum())
    assert unpainted < 0.001 * 20 * 128 * 128


@pytest.mark.parametrize("words", ["CC BY 4.0", "Acevedo", "by eye", "tools/recipes"])
def test_the_card_tells(words: str) -> None:
    card = (assets.embedded_generators()["wbc"].parent.parent / "CARD.md").read_text("utf-8")
    assert words in card
