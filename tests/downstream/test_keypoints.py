"""Heat-map networks: what they are shown, that they learn, their scores and their files."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from datasetgan.checkpoints.native import WeightCard
from datasetgan.dataset import Keypoints, KeypointSchema
from datasetgan.downstream import (
    NO_AUGMENTATION,
    AnnotatedPhoto,
    KeypointNetwork,
    KeypointNetworkSettings,
    NetworkTraining,
    evaluate_keypoint_network,
    load_keypoint_network,
    train_keypoint_network,
    train_segmenter,
)
from datasetgan.downstream.data import TrainingStream
from datasetgan.downstream.keypoint_train import heat_map_loss, heat_map_target
from datasetgan.errors import CheckpointError, DatasetError, LabelError, TrainingError, UsageError
from datasetgan.keypoints.heat_maps import gaussian_heat_maps
from datasetgan.runtime import Runtime
from datasetgan.serialization import read_toml, write_toml
from tests.downstream.conftest import draw_disc

SCHEMA = KeypointSchema(("core", "corner"))
CARD = WeightCard(title="a test", licence="CC0-1.0")


def points_of(label_map, *, corner=True):
    rows, columns = np.nonzero(label_map == 2)
    core = [columns.mean() + 0.5, rows.mean() + 0.5]
    return Keypoints(np.array([core, [3.0, 4.0]]), np.array([True, corner]))


@pytest.fixture
def make_annotated(make_dataset):
    """Return a function that opens a dataset whose samples carry points."""

    def make(name="dataset", **options):
        dataset = make_dataset(name, **options)
        records = tuple(
            replace(r, keypoints=points_of(dataset.load(r).label_map, corner=i % 3 > 0).to_record())
            for i, r in enumerate(dataset.manifest.samples)
        )
        manifest = replace(dataset.manifest, keypoints=SCHEMA, samples=records)
        kept = tuple(r for r in records if r.key in {k.key for k in dataset.kept})
        return replace(dataset, manifest=manifest, kept=kept)

    return make


def keypoint_stream(dataset, *, size, settings):
    training = settings.training
    return TrainingStream(
        dataset,
        heat_map_target(dataset, size=size, sigma_share=settings.sigma_share),
        length=24,
        size=size,
        augmentation=training.augmentation,
        seed=training.seed,
    )


@pytest.fixture
def settings(tiny):
    return KeypointNetworkSettings(
        sigma_share=0.06, training=NetworkTraining(model=tiny, steps=6, batch=4)
    )


def same(first, second):
    a, b = first.module.state_dict(), second.module.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


class StoppedError(Exception):
    pass


def test_the_default_network_learns(make_annotated):
    reports = []
    network = train_keypoint_network(
        make_annotated(count=16),
        settings=KeypointNetworkSettings(
            sigma_share=0.08,
            training=NetworkTraining(
                steps=60, batch=8, learning_rate=5e-3, augmentation=NO_AUGMENTATION
            ),
        ),
        on_progress=reports.append,
    )
    assert reports[-1].loss < 0.5 * reports[0].loss
    assert not network.module.training
    errors = []
    for seed in range(100, 106):
        photo, label_map = draw_disc(seed)
        found = network.predict(photo)
        errors.append(np.linalg.norm(found.keypoints.points[0] - points_of(label_map).points[0]))
        assert found.scores.shape == (2,)
    assert np.mean(errors) < 2


def test_examples_are_the_samples_with_their_bumps(make_annotated, settings):
    dataset = make_annotated(count=5)
    plain = replace(settings, training=replace(settings.training, augmentation=NO_AUGMENTATION))
    stream = keypoint_stream(dataset, size=(32, 32), settings=plain)
    shown = set()
    for i in range(5):
        image, heat = stream[i]
        assert heat.shape == (2, 32, 32)
        matches = []
        for record in dataset.kept:
            sample = dataset.load(record)
            expected = gaussian_heat_maps(sample.keypoints, size=(32, 32), sigma=0.06 * 32)
            pixels = (sample.image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
            if np.allclose(image.permute(1, 2, 0).numpy(), pixels, atol=1e-5):
                matches.append(record.key)
                assert torch.equal(heat, expected)
        assert len(matches) == 1
        shown |= set(matches)
    assert len(shown) == 5


def test_examples_are_stretched_with_their_points(make_annotated, settings):
    dataset = make_annotated(count=1, size=(24, 40))
    plain = replace(settings, training=replace(settings.training, augmentation=NO_AUGMENTATION))
    _, heat = keypoint_stream(dataset, size=(48, 48), settings=plain)[0]
    keypoints = dataset.load(dataset.kept[0]).keypoints
    x, y = keypoints.points[0] * [48 / 40, 48 / 24]
    row, column = divmod(int(heat[0].argmax()), 48)
    assert abs(column + 0.5 - x) <= 0.5
    assert abs(row + 0.5 - y) <= 0.5


def test_an_example_depends_on_its_index_alone(make_annotated, settings):
    dataset = make_annotated(count=3)
    forward = keypoint_stream(dataset, size=(32, 32), settings=settings)
    backward = keypoint_stream(dataset, size=(32, 32), settings=settings)
    examples = [forward[i] for i in range(7)]
    for i in reversed(range(7)):
        assert torch.equal(backward[i][0], examples[i][0])
        assert torch.equal(backward[i][1], examples[i][1])


@pytest.mark.parametrize("stop", [1, 4])
def test_interrupted_equals_uninterrupted(make_annotated, settings, tmp_path, stop):
    dataset, state = make_annotated(), tmp_path / "state.safetensors"

    def on_progress(progress):
        if progress.step == stop:
            raise StoppedError

    whole = train_keypoint_network(dataset, settings=settings)
    with pytest.raises(StoppedError):
        train_keypoint_network(
            dataset, settings=settings, state=state, state_interval=0, on_progress=on_progress
        )
    other = replace(settings, sigma_share=0.1)
    with pytest.raises(UsageError, match="state of an unfinished"):
        train_keypoint_network(dataset, settings=other, state=state)
    with pytest.raises(UsageError, match="state of an unfinished"):
        train_segmenter(dataset, settings=settings.training, state=state)
    resumed = train_keypoint_network(dataset, settings=settings, state=state)
    assert same(whole, resumed)
    assert not state.exists()
    seeded = replace(settings, training=replace(settings.training, seed=1))
    assert not same(whole, train_keypoint_network(dataset, settings=seeded))


def test_loss_by_hand():
    random = np.random.RandomState(0)
    outputs, heat = random.rand(2, 3, 8, 9), random.rand(2, 3, 8, 9)
    loss = heat_map_loss(torch.from_numpy(outputs), torch.from_numpy(heat), sigma=1.5)
    expected = ((outputs - heat) ** 2).sum() / 6 / (np.pi * 1.5**2)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    keypoints = Keypoints(np.array([[20.0, 20.3]]), np.array([True]))
    bump = gaussian_heat_maps(keypoints, size=(40, 40), sigma=2.0)[None]
    assert heat_map_loss(torch.zeros_like(bump), bump, sigma=2.0).item() == pytest.approx(1, 1e-3)


@pytest.fixture
def bright():
    """A network whose heat is the red and the green of a photo."""
    layer = nn.Conv2d(3, 2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.diag(torch.tensor([0.229, 0.224, 0.225]))[:2, :, None, None])
        layer.bias.copy_(torch.tensor([0.485, 0.456]))
    settings = KeypointNetworkSettings(threshold=0.5)
    return KeypointNetwork(SCHEMA, settings, (32, 48), layer.eval().requires_grad_(False))


def photo_of(points, size, *, sigma=3.0):
    keypoints = Keypoints(np.array(points, dtype=np.float64), np.ones(2, bool))
    heat = gaussian_heat_maps(keypoints, size=size, sigma=sigma).numpy()
    blank = np.zeros((1, *size))
    return (np.concatenate([heat, blank]).transpose(1, 2, 0) * 255).round().astype(np.uint8)


@pytest.mark.parametrize("size", [(32, 48), (64, 96), (50, 60)])
def test_points_come_in_the_photos_own_pixels(bright, size):
    truth = [[20.3, 11.1], [33.7, 25.2]]
    found = bright.predict(photo_of(truth, size))
    np.testing.assert_allclose(found.keypoints.points, truth, atol=0.25)
    assert found.keypoints.visible.all()
    assert not bright.predict(np.zeros((9, 9, 3), np.uint8)).keypoints.visible.any()
    with pytest.raises(UsageError, match="uint8 RGB"):
        bright.predict(np.zeros((9, 9), np.uint8))


def test_evaluation(bright, tmp_path):
    photos, progress = [], []
    for i, offset in enumerate((0.0, 8.0)):
        path = tmp_path / f"{i}.png"
        Image.fromarray(photo_of([[20.5, 11.5], [33.5, 25.5]], (64, 96))).save(path)
        keypoints = Keypoints(np.array([[20.5 + offset, 11.5], [1, 1]]), np.array([True, False]))
        photos.append(AnnotatedPhoto(path, keypoints))
    scores = evaluate_keypoint_network(bright, photos, on_progress=lambda *p: progress.append(p))
    assert progress == [(1, 2), (2, 2)]
    assert scores.images == 2
    core, corner = scores.keypoints
    assert core.l2_pixels == pytest.approx(4, abs=0.1)
    assert core.l2_sides == pytest.approx(4 / 96, abs=0.002)
    assert core.pck == (0.5, 1, 1)
    assert (corner.points, corner.l2_pixels, corner.precision) == (0, None, 0)
    with pytest.raises(UsageError, match="no photos"):
        evaluate_keypoint_network(bright, [])
    outside = Keypoints(np.array([[97.0, 1], [1, 1]]), np.array([True, True]))
    with pytest.raises(LabelError, match=r"0\.png: keypoint 'core' lies at"):
        evaluate_keypoint_network(bright, [AnnotatedPhoto(photos[0].photo, outside)])
    with pytest.raises(DatasetError, match="does not exist"):
        evaluate_keypoint_network(
            bright, [AnnotatedPhoto(tmp_path / "none.png", photos[0].keypoints)]
        )


def test_round_trip(make_annotated, settings, tmp_path):
    network = train_keypoint_network(make_annotated(), settings=settings)
    path = tmp_path / "network.safetensors"
    network.save(path, card=CARD)
    loaded = load_keypoint_network(path)
    assert (loaded.schema, loaded.settings) == (SCHEMA, settings)
    assert loaded.image_size == (32, 32)
    photo, _ = draw_disc(3)
    first, second = network.predict(photo), loaded.predict(photo)
    np.testing.assert_array_equal(first.keypoints.points, second.keypoints.points)
    np.testing.assert_array_equal(first.scores, second.scores)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CheckpointError, match="truncated"):
        load_keypoint_network(path)


def test_refusals(make_dataset, make_annotated, settings):
    with pytest.raises(DatasetError, match="carries no keypoints"):
        train_keypoint_network(make_dataset("plain"), settings=settings)
    with pytest.raises(DatasetError, match="holds no sample"):
        train_keypoint_network(make_annotated("none", count=0), settings=settings)
    with pytest.raises(UsageError, match="float32 or bfloat16"):
        train_keypoint_network(
            make_annotated(), settings=settings, runtime=Runtime(precision="float16")
        )
    wild = replace(settings, training=replace(settings.training, learning_rate=1e38))
    with pytest.raises(TrainingError, match="diverged"):
        train_keypoint_network(make_annotated("wild"), settings=wild)
    for change in ({"sigma_share": 0.0}, {"threshold": 1.5}):
        with pytest.raises(UsageError, match="must be between 0 and 1"):
            KeypointNetworkSettings(**change)


def test_settings_round_trip_as_toml(tmp_path):
    path = tmp_path / "train.toml"
    write_toml(path, KeypointNetworkSettings())
    assert read_toml(path, KeypointNetworkSettings) == KeypointNetworkSettings()
    assert KeypointNetworkSettings().training.augmentation.orientation == "fixed"
