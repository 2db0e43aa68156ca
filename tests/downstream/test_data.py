import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from datasetgan.downstream.augment import NO_AUGMENTATION, AugmentationSettings
from datasetgan.downstream.data import (
    LABEL_MAPS,
    TrainingStream,
    normalize,
    resize_image,
    resize_label_map,
)
from tests.downstream.conftest import draw_disc

SIDES = st.integers(1, 40)


def stream_of(dataset, *, length=36, size=(32, 32), augmentation=NO_AUGMENTATION, seed=0):
    return TrainingStream(
        dataset, LABEL_MAPS, length=length, size=size, augmentation=augmentation, seed=seed
    )


def test_every_pass_shows_each_kept_sample_once(make_dataset):
    dataset = make_dataset(count=12, drop_fraction=0.25)
    stream = stream_of(dataset, length=27)
    order = [stream.position(i) for i in range(27)]
    passes = [order[:9], order[9:18], order[18:]]
    assert all(sorted(p) == list(range(9)) for p in passes)
    assert passes[0] != passes[1]
    assert order != [stream_of(dataset, length=27, seed=1).position(i) for i in range(27)]


def test_an_example_depends_on_its_index_alone(make_dataset):
    dataset = make_dataset(count=5)
    forward = stream_of(dataset, length=12, augmentation=AugmentationSettings())
    backward = stream_of(dataset, length=12, augmentation=AugmentationSettings())
    examples = [forward[i] for i in range(12)]
    for i in reversed(range(12)):
        assert torch.equal(backward[i][0], examples[i][0])
        assert torch.equal(backward[i][1], examples[i][1])
    same = [i for i in range(12) if forward.position(i) == forward.position(0)]
    assert len(same) >= 2
    assert not torch.equal(examples[same[0]][0], examples[same[1]][0])


def test_examples_are_the_samples_normalised(make_dataset):
    dataset = make_dataset(count=3)
    stream = stream_of(dataset, length=3)
    for i in range(3):
        sample = dataset.load(dataset.kept[stream.position(i)])
        image, label_map = stream[i]
        expected = (sample.image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        np.testing.assert_allclose(image.permute(1, 2, 0).numpy(), expected, atol=1e-5)
        assert (label_map.numpy() == sample.label_map).all()
        assert label_map.dtype == torch.int64
    assert len(stream) == 3
    with pytest.raises(IndexError):
        stream[3]


def test_examples_are_stretched(make_dataset):
    dataset = make_dataset(count=2, size=(24, 40))
    image, label_map = stream_of(dataset, size=(16, 32))[0]
    assert image.shape == (3, 16, 32)
    assert label_map.shape == (16, 32)


def test_normalize_leaves_leading_dimensions():
    images = torch.rand(2, 5, 3, 4, 6)
    assert torch.equal(normalize(images)[1, 2], normalize(images[1, 2]))


@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 99))
def test_label_maps_take_the_nearest_pixel_centre(height, width, rows, columns, seed):
    label_map = np.random.RandomState(seed).randint(0, 256, (height, width)).astype(np.uint8)
    resized = resize_label_map(label_map, (rows, columns))
    # Exactly between two centres either is nearest: allow both.
    for axis_rows, row in enumerate((np.arange(rows) + 0.5) * height / rows):
        candidates = {int(row), int(np.ceil(row)) - 1} & set(range(height))
        for axis_columns, column in enumerate((np.arange(columns) + 0.5) * width / columns):
            near = {int(column), int(np.ceil(column)) - 1} & set(range(width))
            allowed = {label_map[r, c] for r in candidates for c in near}
            assert resized[axis_rows, axis_columns].item() in allowed


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (20, 50), (32, 32)])
def test_images_are_resized_as_pillow_does(size):
    image, _ = draw_disc(4)
    pillow = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
    resized = resize_image(image, size).permute(1, 2, 0).numpy()
    assert resized.dtype == np.uint8
    assert np.abs(resized.astype(int) - np.asarray(pillow)).max() <= 1
