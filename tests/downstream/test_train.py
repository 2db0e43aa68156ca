from dataclasses import replace
from itertools import count
from math import cos, pi
from pathlib import Path

import numpy as np
import pytest
import torch

from datasetgan.dataset import read_dataset
from datasetgan.downstream import (
    NO_AUGMENTATION,
    AugmentationSettings,
    SegmenterSettings,
    paper_settings,
    training_loop,
)
from datasetgan.downstream.data import TrainingStream
from datasetgan.downstream.train import segmentation_loss, train_segmenter
from datasetgan.downstream.training_loop import learning_rate_at
from datasetgan.errors import (
    CheckpointError,
    ConfigError,
    DatasetError,
    TrainingError,
    UsageError,
)
from datasetgan.runtime import Runtime
from datasetgan.serialization import read_toml, write_toml
from tests.downstream.conftest import draw_disc


@pytest.fixture
def settings(tiny):
    return SegmenterSettings(model=tiny, steps=6, batch=4)


def weights(segmenter):
    return segmenter.module.state_dict()


def same(first, second):
    a, b = weights(first), weights(second)
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """A clock that moves by a sixteenth of a second whenever it is read, on every machine."""
    ticks = count()
    monkeypatch.setattr(training_loop, "monotonic", lambda: next(ticks) / 16)


class StoppedError(Exception):
    pass


def stop_after(step):
    def on_progress(progress):
        if progress.step == step:
            raise StoppedError

    return on_progress


def test_it_learns(make_dataset, settings):
    segmenter = train_segmenter(
        make_dataset(count=16), settings=replace(settings, steps=60, learning_rate=0.02)
    )
    right = [(segmenter.predict(p) == t).mean() for p, t in map(draw_disc, range(100, 108))]
    assert np.mean(right) > 0.95
    assert not segmenter.module.training


def test_the_default_network_learns(make_dataset):
    reports = []
    train_segmenter(
        make_dataset(count=8),
        settings=SegmenterSettings(steps=12, batch=4, augmentation=NO_AUGMENTATION),
        on_progress=reports.append,
    )
    assert [r.step for r in reports] == list(range(1, 13))
    assert reports[-1].loss < 0.5 * reports[0].loss
    assert all(r.steps == 12 for r in reports)
    assert [r.seconds for r in reports] == [i / 16 for i in range(1, 13)]


def test_the_arguments_alone_decide(make_dataset, settings):
    dataset = make_dataset()
    torch.manual_seed(1)
    first = train_segmenter(dataset, settings=settings)
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    again = train_segmenter(dataset, settings=settings)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert same(first, again)
    assert not same(first, train_segmenter(dataset, settings=replace(settings, seed=1)))


@pytest.mark.parametrize("stop", [1, 4, 6])
def test_interrupted_equals_uninterrupted(make_dataset, settings, tmp_path, monkeypatch, stop):
    dataset, state = make_dataset(), tmp_path / "state.safetensors"
    drawn, draw = [], TrainingStream.__getitem__
    monkeypatch.setattr(
        TrainingStream, "__getitem__", lambda stream, i: (drawn.append(i), draw(stream, i))[1]
    )
    whole = train_segmenter(dataset, settings=settings)
    with pytest.raises(StoppedError):
        train_segmenter(
            dataset,
            settings=settings,
            state=state,
            state_interval=0,
            on_progress=stop_after(stop),
        )
    assert state.is_file()
    assert drawn == [*range(24), *range(4 * stop)]
    steps, drawn[:] = [], []
    resumed = train_segmenter(
        dataset, settings=settings, state=state, on_progress=lambda p: steps.append(p.step)
    )
    assert steps == list(range(stop + 1, 7))
    assert drawn == list(range(4 * stop, 24))
    assert same(whole, resumed)
    assert not state.exists()


def test_state_of_another_run_is_refused(make_dataset, settings, tmp_path):
    dataset, state = make_dataset(), tmp_path / "state.safetensors"
    with pytest.raises(StoppedError):
        train_segmenter(
            dataset, settings=settings, state=state, state_interval=0, on_progress=stop_after(2)
        )
    kept = state.read_bytes()
    fewer = read_dataset(dataset.folder, drop_fraction=0.5)
    for other, changed in ((dataset, replace(settings, batch=2)), (fewer, settings)):
        with pytest.raises(UsageError, match=r"state\.safetensors is the state of an unfinished"):
            train_segmenter(other, settings=changed, state=state)
    assert state.read_bytes() == kept
    state.write_bytes(kept[:100])
    with pytest.raises(CheckpointError, match="truncated"):
        train_segmenter(dataset, settings=settings, state=state)


def test_the_state_is_written_at_intervals(make_dataset, settings, tmp_path):
    state = tmp_path / "state.safetensors"
    with pytest.raises(StoppedError):
        train_segmenter(
            make_dataset(),
            settings=settings,
            state=state,
            state_interval=3600,
            on_progress=stop_after(3),
        )
    assert not state.exists()


def test_another_image_size(make_dataset, settings):
    dataset = make_dataset(size=(20, 30))
    with pytest.raises(UsageError, match=r"multiples of 16.*got 20 x 30.*image_size = \[16, 32\]"):
        train_segmenter(dataset, settings=settings)
    segmenter = train_segmenter(dataset, settings=replace(settings, image_size=(16, 32)))
    assert segmenter.image_size == (16, 32)
    assert segmenter.predict(draw_disc(0, (20, 30))[0]).shape == (20, 30)


def test_a_dataset_smaller_than_a_batch(make_dataset, settings):
    train_segmenter(make_dataset(count=1), settings=settings)


def test_bfloat16(make_dataset, settings):
    segmenter = train_segmenter(
        make_dataset(), settings=settings, runtime=Runtime(precision="bfloat16")
    )
    assert all(p.dtype == torch.float32 for p in segmenter.module.parameters())
    assert not same(segmenter, train_segmenter(make_dataset(), settings=settings))


def test_the_clock_ends_a_run(make_dataset, settings):
    reports = []
    train_segmenter(
        make_dataset(),
        settings=replace(settings, steps=100_000, max_seconds=2.0),
        on_progress=reports.append,
    )
    assert reports[-1].step == 32
    assert reports[-2].seconds < 2.0 <= reports[-1].seconds
    # The schedule went all the way down although the steps did not.
    assert reports[-1].learning_rate < 0.2 * settings.learning_rate


def test_divergence_is_named(make_dataset, settings):
    with pytest.raises(TrainingError, match=r"diverged.*smaller learning_rate"):
        train_segmenter(make_dataset(), settings=replace(settings, learning_rate=1e38))


def test_refusals(make_dataset, settings, tmp_path):
    with pytest.raises(UsageError, match="float32 or bfloat16"):
        train_segmenter(make_dataset(), settings=settings, runtime=Runtime(precision="float16"))
    with pytest.raises(DatasetError, match="holds no sample"):
        train_segmenter(make_dataset("none", count=0), settings=settings)
    broken = make_dataset("broken", count=4)
    Path(broken.folder / "images" / "000002.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"000002\.png"):
        train_segmenter(broken, settings=settings)


def test_loss_by_hand():
    random = np.random.RandomState(0)
    logits, labels = random.randn(2, 3, 4, 5), random.randint(0, 3, (2, 4, 5))
    labels[0, :2] = 255
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    painted = labels != 255
    picked = np.take_along_axis(log_p, np.where(painted, labels, 0)[:, None], axis=1)[:, 0]
    loss = segmentation_loss(torch.from_numpy(logits), torch.from_numpy(labels))
    assert loss.item() == pytest.approx(-picked[painted].mean(), rel=1e-5)
    unpainted = torch.full((2, 4, 5), 255)
    assert segmentation_loss(torch.from_numpy(logits), unpainted).item() == 0


def test_schedules():
    cosine = SegmenterSettings(learning_rate=2.0)
    assert learning_rate_at(0, settings=cosine) == pytest.approx(0.2)
    assert learning_rate_at(0.025, settings=cosine) == pytest.approx(1.1)
    assert learning_rate_at(0.05, settings=cosine) == pytest.approx(2.0)
    assert learning_rate_at(0.525, settings=cosine) == pytest.approx(1 + cos(pi / 2))
    assert learning_rate_at(1, settings=cosine) == pytest.approx(0)
    constant = replace(cosine, schedule="constant")
    assert {learning_rate_at(d, settings=constant) for d in (0, 0.3, 1)} == {2.0}


def test_the_papers_settings():
    """The official code: Adam 1e-3, batches of 8, 20 epochs, no schedule, no augmentation."""
    paper = paper_settings(100, image_size=(512, 512))
    assert (paper.model, paper.batch, paper.steps) == ("deeplabv3_resnet101", 8, 20 * 12)
    assert (paper.learning_rate, paper.weight_decay, paper.schedule) == (1e-3, 0, "constant")
    assert paper.augmentation == NO_AUGMENTATION
    with pytest.raises(UsageError, match="only 7"):
        paper_settings(7, image_size=(512, 512))


def test_settings_round_trip_as_toml(tmp_path):
    path = tmp_path / "train.toml"
    for settings in (SegmenterSettings(), paper_settings(8, image_size=(384, 512))):
        write_toml(path, settings)
        assert read_toml(path, SegmenterSettings) == settings
    path.write_text("stepps = 3\n")
    with pytest.raises(ConfigError, match="Did you mean 'steps'"):
        read_toml(path, SegmenterSettings)
    path.write_text("[augmentation]\nhue = 3.0\n")
    with pytest.raises(ConfigError, match="hue must be within"):
        read_toml(path, SegmenterSettings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "unet"}, "unknown segmenter 'unet'"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"schedule": "linear"}, "unknown schedule 'linear'.*Valid: cosine, constant"),
        ({"batch": 1}, "batch must be at least 2"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive"),
        ({"weight_decay": -1.0}, "weight_decay must not be negative"),
        ({"max_seconds": 0.0}, "max_seconds must be positive"),
        ({"seed": -1}, "seed must not be negative"),
        ({"image_size": (64, 50)}, r"got 64 x 50\. Set image_size = \[64, 48\]"),
        ({"image_size": (0, 16)}, "multiples of 16"),
    ],
)
def test_bad_settings(change, message):
    with pytest.raises(UsageError, match=message):
        SegmenterSettings(**change)


def test_an_orientation_that_is_none_is_refused():
    """It turned and mirrored all the same."""
    with pytest.raises(UsageError, match=r"unknown orientation 'none'.*any, mirrored, fixed"):
        AugmentationSettings(orientation="none")
