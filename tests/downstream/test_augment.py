from dataclasses import replace

import numpy as np
import pytest
import torch

from datasetgan.downstream.augment import NO_AUGMENTATION, AugmentationSettings, augment
from datasetgan.errors import UsageError
from datasetgan.taxonomy import IGNORE_INDEX
from tests.downstream.conftest import draw_disc


def picture(size=(8, 8)):
    """A picture whose red channel is its label map, no symmetry in it."""
    label_map = torch.arange(size[0] * size[1]).reshape(size) % 200
    return torch.stack([label_map, label_map, label_map]).to(torch.uint8), label_map


def test_the_arguments_alone_decide():
    image, label_map = map(torch.from_numpy, draw_disc(0))
    image = image.permute(2, 0, 1)
    settings = AugmentationSettings()
    torch.manual_seed(1)
    first = augment(image, label_map, settings=settings, seed=5)
    state = torch.random.get_rng_state()
    again = augment(image, label_map, settings=settings, seed=5)
    assert torch.equal(torch.random.get_rng_state(), state)
    other = augment(image, label_map, settings=settings, seed=6)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    assert first[0].dtype == torch.float32
    assert first[1].dtype == label_map.dtype
    assert type(first[0]) is torch.Tensor
    assert 0 <= first[0].min() < first[0].max() <= 1


def test_no_augmentation_changes_nothing():
    image, label_map = picture((8, 16))
    for seed in range(20):
        changed, labels = augment(image, label_map, settings=NO_AUGMENTATION, seed=seed)
        assert torch.equal(changed, image / 255)
        assert torch.equal(labels, label_map)


@pytest.mark.parametrize(
    ("orientation", "size", "count"),
    [
        ("any", (8, 8), 8),
        ("any", (8, 16), 4),
        ("mirrored", (8, 8), 2),
        ("fixed", (8, 8), 1),
    ],
)
def test_orientations(orientation, size, count):
    image, label_map = picture(size)
    settings = replace(NO_AUGMENTATION, orientation=orientation)
    seen = set()
    for seed in range(100):
        changed, labels = augment(image, label_map, settings=settings, seed=seed)
        assert torch.equal((changed[0] * 255).round().long(), labels)
        seen.add(tuple(labels.flatten().tolist()))
    square = label_map.numpy()
    turns = [np.rot90(square, k) for k in range(4)]
    symmetries = turns + [np.fliplr(t) for t in turns]
    allowed = {tuple(s.flatten().tolist()) for s in symmetries if s.shape == square.shape}
    assert len(seen) == count
    assert seen <= allowed
    if orientation == "mirrored":
        assert seen == {tuple(s.flatten().tolist()) for s in (square, np.fliplr(square))}


def test_image_and_labels_are_warped_alike():
    """Flat regions keep their colour's class; what is uncovered is grey and ignored."""
    label_map = torch.zeros(64, 64, dtype=torch.long)
    label_map[16:48, 24:40] = 1
    image = (label_map * 255).to(torch.uint8).expand(3, -1, -1)
    settings = replace(
        NO_AUGMENTATION, orientation="any", rotation=30, translation=0.2, scale=(0.7, 1.3)
    )
    moved, uncovered = 0, set()
    for seed in range(10):
        changed, labels = augment(image, label_map, settings=settings, seed=seed)
        assert set(labels.unique().tolist()) <= {0, 1, IGNORE_INDEX}
        inside = labels != IGNORE_INDEX
        if not inside[0, 0]:
            uncovered.add(round(changed[0, 0, 0].item() * 255))
        # Bilinear and nearest differ by at most half a pixel, along the border.
        wrong = ((changed[0] > 0.5) != (labels == 1)) & inside
        assert wrong.float().mean() < 0.02
        moved += not torch.equal(labels, label_map)
    assert moved == 10
    assert uncovered == {124}


@pytest.mark.parametrize(
    "settings",
    [
        {"brightness": 0.5},
        {"contrast": 0.5},
        {"saturation": 0.9},
        {"hue": 0.4},
        {"blur": 1.0},
        {"noise": 0.2},
    ],
)
def test_looks_change_the_image_alone(settings):
    image, label_map = map(torch.from_numpy, draw_disc(0))
    image = image.permute(2, 0, 1)
    changed, labels = augment(
        image, label_map, settings=replace(NO_AUGMENTATION, **settings), seed=3
    )
    assert torch.equal(labels, label_map)
    assert not torch.allclose(changed, image / 255, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rotation": -1}, "rotation must be within 0 to 180, got -1"),
        ({"hue": 0.6}, r"hue must be within 0 to 0.5, got 0.6"),
        ({"noise": float("nan")}, "noise must be within"),
        ({"scale": (1.2, 0.8)}, "scale must be a smaller and a larger"),
        ({"scale": (0.0, 1.0)}, "scale must be"),
    ],
)
def test_bad_settings(change, message):
    with pytest.raises(UsageError, match=message):
        AugmentationSettings(**change)
