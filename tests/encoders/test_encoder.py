"""Encoders: what they give for photos of any size, from which files, and what is refused."""

import pickle  # noqa: TID251 - a hostile file
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file

from datasetgan.checkpoints.native import WeightCard
from datasetgan.encoders import (
    Encoder,
    PhotoSource,
    import_encoder,
    load_encoder,
    network_name,
    save_encoder,
)
from datasetgan.errors import CheckpointError, ProjectError, UsageError
from datasetgan.features import PaintedSample, cache_samples
from datasetgan.features.input_spec import InputSpec
from datasetgan.features.source import Drawn, FeatureSource, Photo
from datasetgan.taxonomy import ClassTaxonomy
from tests.encoders.conftest import TINY_CNN, TINY_VIT, photograph

WeightsOf = Callable[[str], Path]


@pytest.fixture(params=[TINY_CNN, TINY_VIT])
def encoder(request: pytest.FixtureRequest, weights_of: WeightsOf) -> Encoder:
    return import_encoder(request.param, weights_of(request.param), side=64)


@pytest.mark.parametrize("size", [(64, 64), (64, 101), (130, 47), (33, 200)])
def test_every_level_covers_a_photo_of_any_size(encoder: Encoder, size: tuple[int, int]) -> None:
    features = encoder.features(photograph(*size))
    names = [(level.name, level.channels) for level in features.levels]
    assert names == [(level.name, level.channels) for level in encoder.feature_levels]
    for level, tensor in features.items():
        assert tensor.shape == (1, level.channels, level.height, level.width)
    *grids, photo = features.levels
    assert min(photo.height, photo.width) == 64
    wanted = max(size) / min(size) * 64
    assert abs(max(photo.height, photo.width) - wanted) <= 0.5
    for level in grids:
        stride = 64 // min(level.height, level.width)
        longest = max(level.height, level.width) * stride
        assert wanted - 0.5 <= longest < wanted + encoder.config.stride


def test_a_square_photo_has_the_declared_levels(encoder: Encoder) -> None:
    assert encoder.features(photograph(80, 80)).levels == encoder.feature_levels


def test_heights_relate_alike_whatever_the_size(encoder: Encoder) -> None:
    """What is decided by a level's height must not differ between photos."""
    for size in ((40, 40), (64, 101), (101, 64), (200, 33)):
        levels = encoder.features(photograph(*size)).levels
        finest = max(level.height for level in levels)
        fine = [level.name for level in levels if 2 * level.height >= finest]
        declared = encoder.feature_levels
        assert fine == [level.name for level in declared if 2 * level.height >= 64]


def test_features_are_those_of_timm(weights_of: WeightsOf) -> None:
    encoder = import_encoder(TINY_CNN, weights_of(TINY_CNN), side=64)
    photo = photograph(64, 96)
    network = timm.create_model(TINY_CNN, pretrained=False, num_classes=7, features_only=True)
    network.load_state_dict(load_file(weights_of(TINY_CNN)), strict=False)
    data = timm.data.resolve_data_config({}, model=network)
    pixels = torch.from_numpy(photo).permute(2, 0, 1)[None] / 255
    mean, std = (torch.tensor(data[key])[:, None, None] for key in ("mean", "std"))
    with torch.no_grad():
        expected = network.eval()((pixels - mean) / std)
    *found, own = encoder.features(photo).tensors
    for tensor, other in zip(reversed(found), expected, strict=True):
        assert torch.allclose(tensor, other, atol=1e-5)
    assert torch.allclose((own + 1) / 2, pixels, atol=1e-6)


def test_a_transformers_blocks_are_maps_of_its_patches(weights_of: WeightsOf) -> None:
    encoder = import_encoder(TINY_VIT, weights_of(TINY_VIT), side=160)
    assert [level.name for level in encoder.feature_levels] == [
        *("blocks.5", "blocks.3", "blocks.2", "blocks.1"),
        "photo",
    ]
    photo = photograph(160, 160)
    pixels = encoder.normalise(torch.from_numpy(photo).permute(2, 0, 1)[None] / 127.5 - 1)
    network = timm.create_model(TINY_VIT, pretrained=False, num_classes=7)
    network.load_state_dict(load_file(weights_of(TINY_VIT)))
    with torch.no_grad():
        tokens = network.eval().forward_features(pixels)[0, 1:]  # [hw, C]
    last = encoder.features(photo).tensors[0][0]
    assert torch.allclose(last.flatten(1).T, tokens, atol=1e-4)


def test_a_photo_is_brought_to_the_side(encoder: Encoder) -> None:
    photo = photograph(128, 128)
    own = encoder.features(photo).tensors[-1]
    area = F.avg_pool2d(torch.from_numpy(photo).permute(2, 0, 1)[None] / 127.5 - 1, 2)
    assert float((own - area).abs().mean()) < 0.05


@pytest.mark.parametrize("photo", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32)])
def test_other_arrays_are_refused(weights_of: WeightsOf, photo: np.ndarray) -> None:
    encoder = import_encoder(TINY_CNN, weights_of(TINY_CNN), side=32)
    with pytest.raises(UsageError, match=r"must be \[H, W, 3\] uint8"):
        encoder.features(photo)


def test_an_encoder_comes_back_from_its_file(encoder: Encoder, tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    save_encoder(path, encoder, card=WeightCard("an encoder"))
    before = torch.random.get_rng_state()
    loaded = load_encoder(path)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert loaded.config == encoder.config
    assert loaded.digest == sha256(path.read_bytes()).hexdigest()
    photo = photograph(50, 70)
    pairs = zip(loaded.features(photo).tensors, encoder.features(photo).tensors, strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    again = import_encoder(encoder.config.network, path, side=64)  # of another project
    assert torch.equal(again.features(photo).tensors[0], encoder.features(photo).tensors[0])


def test_weights_come_from_a_torch_file_too(weights_of: WeightsOf, tmp_path: Path) -> None:
    tensors = {f"module.{k}": t for k, t in load_file(weights_of(TINY_VIT)).items()}
    torch.save({"epoch": 3, "model": tensors}, tmp_path / "weights.pth")
    from_torch = import_encoder(TINY_VIT, tmp_path / "weights.pth", side=64)
    wanted = import_encoder(TINY_VIT, weights_of(TINY_VIT), side=64)
    photo = photograph(64, 64)
    assert torch.equal(from_torch.features(photo).tensors[0], wanted.features(photo).tensors[0])


class _Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('it ran')",)


def test_nothing_in_a_weights_file_runs(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps({"model": _Hostile()}))
    with pytest.raises(CheckpointError):
        import_encoder(TINY_CNN, path)


def test_weights_of_another_network_are_refused(weights_of: WeightsOf, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"missing: .*unexpected: "):
        import_encoder(TINY_CNN, weights_of(TINY_VIT))
    tensors = load_file(weights_of(TINY_CNN))
    tensors["layer1.0.conv1.weight"][0, 0, 0, 0] = float("nan")
    save_file(tensors, tmp_path / "broken.safetensors")
    with pytest.raises(CheckpointError, match="NaN"):
        import_encoder(TINY_CNN, tmp_path / "broken.safetensors")
    with pytest.raises(CheckpointError, match="does not exist"):
        import_encoder(TINY_CNN, tmp_path / "none.safetensors")


def test_unknown_networks_are_answered_with_near_names() -> None:
    with pytest.raises(UsageError, match=r"no network 'resnet1818'.*Near ones: .*resnet18"):
        network_name("timm:resnet1818")
    with pytest.raises(UsageError, match="timm:NAME"):
        network_name("resnet18")
    assert network_name("timm:vit_small_patch14_dinov2") == "vit_small_patch14_dinov2"


def test_an_unknown_tag_is_refused(weights_of: WeightsOf) -> None:
    with pytest.raises(UsageError, match="nonesuch"):
        import_encoder("test_resnet.nonesuch", weights_of(TINY_CNN))


def test_a_network_for_one_shape_only_is_refused(tmp_path: Path) -> None:
    network = timm.create_model("hiera_tiny_224", pretrained=False, num_classes=0)
    save_file(network.state_dict(), tmp_path / "hiera.safetensors")
    with pytest.raises(UsageError, match="one shape only"):
        import_encoder("hiera_tiny_224", tmp_path / "hiera.safetensors")


def test_photos_are_a_source(encoder: Encoder, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    samples, source = [], PhotoSource(encoder, tmp_path)
    contract: FeatureSource = source
    for i, size in enumerate([(40, 40), (64, 90), (90, 64)]):
        path = tmp_path / "images" / f"{i}.png"
        Image.fromarray(photograph(*size, seed=i)).save(path)
        origin = Photo(f"images/{i}.png", sha256(path.read_bytes()).hexdigest())
        features = contract.features(origin)
        samples.append(PaintedSample(features, torch.zeros(size, dtype=torch.int64), key=str(i)))
    assert contract.feature_levels == encoder.feature_levels
    assert contract.digest == encoder.digest
    cached = cache_samples(samples, ClassTaxonomy.from_names(["ground", "disk"]))
    points = torch.tensor([[0, 0], [39, 39]])
    inputs = InputSpec(cached.cache.levels, surroundings="blocks")
    assert inputs.blocks
    read = [
        cached.cache.read(i, points, size=tuple(m.shape), inputs=inputs)
        for i, m in enumerate(cached.label_maps)
    ]
    assert len({r.shape for r in read}) == 1


def test_an_altered_photo_is_noticed(encoder: Encoder, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(photograph(40, 40)).save(path)
    source = PhotoSource(encoder, tmp_path)
    with pytest.raises(ProjectError, match="was altered"):
        source.features(Photo("photo.png", "0" * 64))
    with pytest.raises(ProjectError, match="missing"):
        source.features(Photo("gone.png", "0" * 64))


@pytest.mark.parametrize("path", ["/etc/passwd", "../photo.png", "a/../b.png", "C:/a.png", "a\\b"])
def test_a_photo_lies_within_its_project(path: str) -> None:
    with pytest.raises(UsageError, match="within the project"):
        Photo(path, "0" * 64)


def test_an_encoder_reads_no_seeds(weights_of: WeightsOf, tmp_path: Path) -> None:
    source = PhotoSource(import_encoder(TINY_CNN, weights_of(TINY_CNN), side=32), tmp_path)
    with pytest.raises(UsageError, match="reads photos"):
        source.features(Drawn(0))
