import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save
from torch.nn import functional as F

from datasetgan.checkpoints.native import WeightCard, write_checkpoint
from datasetgan.downstream import Segmenter, SegmenterSettings, build_segmenter, load_segmenter
from datasetgan.downstream.segmenter import _Config
from datasetgan.errors import CheckpointError, UsageError
from datasetgan.runtime import Runtime

CARD = WeightCard(title="test")


@pytest.fixture
def segmenter(channels, discs):
    settings = SegmenterSettings(model=channels)
    return Segmenter(discs, settings, (32, 32), build_segmenter(channels, 3).eval())


@pytest.fixture
def other(tiny, discs):
    torch.manual_seed(0)
    settings = SegmenterSettings(model=tiny)
    return Segmenter(discs, settings, (32, 48), build_segmenter(tiny, 3).eval())


def noise(size, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (*size, 3)).astype(np.uint8)


def test_prediction_at_training_size_is_the_strongest_channel(segmenter):
    strongest = np.random.RandomState(1).randint(0, 3, (32, 32))
    photo = noise((32, 32)) // 2 + np.eye(3, dtype=np.uint8)[strongest] * 128
    label_map = segmenter.predict(photo)
    assert label_map.dtype == np.uint8
    assert (label_map == strongest).all()


@pytest.mark.parametrize("size", [(1, 1), (7, 90), (64, 64), (100, 33)])
def test_prediction_at_the_photos_size(segmenter, size):
    """Class by class equals resizing all logits at once."""
    photo = noise(size)
    pixels = torch.from_numpy(photo).permute(2, 0, 1)[None].float()
    small = F.interpolate(pixels, (32, 32), mode="bilinear", antialias=True).round()
    logits = F.interpolate(small, size, mode="bilinear")
    label_map = segmenter.predict(photo)
    assert label_map.shape == size
    top = logits[0].sort(dim=0, descending=True)
    clear = (top.values[0] - top.values[1] > 1e-2).numpy()
    assert (label_map == top.indices[0].numpy())[clear].all()


def test_ties_go_to_the_smallest_id(segmenter):
    with torch.no_grad():
        segmenter.module.weight.zero_()
        segmenter.module.bias.copy_(torch.tensor([1.0, 2.0, 2.0]))
    assert (segmenter.predict(noise((9, 9))) == 1).all()


def test_bfloat16_agrees(segmenter):
    half = Segmenter(
        segmenter.taxonomy,
        segmenter.settings,
        segmenter.image_size,
        segmenter.module,
        Runtime(precision="bfloat16"),
    )
    photo = noise((32, 32))
    assert (half.predict(photo) == segmenter.predict(photo)).mean() > 0.97


@pytest.mark.parametrize(
    "photo",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_bad_photo(segmenter, photo):
    with pytest.raises(UsageError, match=r"must be \[H, W, 3\] uint8 RGB, got"):
        segmenter.predict(photo)


def test_round_trip(other, tmp_path):
    path = tmp_path / "segmenter.safetensors"
    other.save(path, card=CARD)
    loaded = load_segmenter(path)
    assert loaded.taxonomy == other.taxonomy
    assert loaded.settings == other.settings
    assert loaded.image_size == (32, 48)
    photo = noise((40, 50))
    assert (loaded.predict(photo) == other.predict(photo)).all()
    loaded.save(tmp_path / "again.safetensors", card=CARD)
    assert path.read_bytes() == (tmp_path / "again.safetensors").read_bytes()


def test_missing_and_truncated_files(other, tmp_path):
    path = tmp_path / "segmenter.safetensors"
    with pytest.raises(CheckpointError, match=r"segmenter\.safetensors does not exist"):
        load_segmenter(path)
    other.save(path, card=CARD)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=r"segmenter\.safetensors is truncated"):
        load_segmenter(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("0.bias"), r"missing: 0\.bias"),
        (lambda t: t.update(odd=torch.ones(1)), "unexpected: odd"),
        (lambda t: t.update({"0.bias": torch.ones(9)}), r"0\.bias is \[9\], expected \[8\]"),
        (lambda t: t["0.bias"].fill_(float("nan")), r"0\.bias hold NaN"),
    ],
)
def test_weights_that_do_not_fit(other, tmp_path, change, message):
    path = tmp_path / "segmenter.safetensors"
    tensors = {name: tensor.clone() for name, tensor in other.module.state_dict().items()}
    change(tensors)
    config = _Config(other.taxonomy, other.settings, other.image_size)
    write_checkpoint(path, tensors, kind="segmenter", architecture="tiny", config=config, card=CARD)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_segmenter(path)
    assert str(path) in str(caught.value)


def test_headers_that_do_not_fit(other, tmp_path):
    path = tmp_path / "segmenter.safetensors"
    tensors = other.module.state_dict()
    config = _Config(other.taxonomy, other.settings, other.image_size)
    write_checkpoint(path, tensors, kind="generator", architecture="", config=config, card=CARD)
    with pytest.raises(CheckpointError, match="is a generator checkpoint; expected a segmenter"):
        load_segmenter(path)
    write_checkpoint(
        path, tensors, kind="segmenter", architecture="tinny", config=config, card=CARD
    )
    with pytest.raises(CheckpointError, match=r"unknown segmenter 'tinny'\. Did you mean 'tiny'"):
        load_segmenter(path)
    write_checkpoint(path, tensors, kind="segmenter", architecture="tiny", config=CARD, card=CARD)
    with pytest.raises(CheckpointError, match="config"):
        load_segmenter(path)
    path.write_bytes(save(load_file(path)))
    with pytest.raises(CheckpointError, match="not a DatasetGAN checkpoint"):
        load_segmenter(path)
