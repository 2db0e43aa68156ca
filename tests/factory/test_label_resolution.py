"""Label maps of another size than their pictures."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from datasetgan.dataset import DatasetManifest, LabelledSample, read_dataset, verify_dataset
from datasetgan.downstream.augment import AugmentationSettings
from datasetgan.downstream.data import LABEL_MAPS, TrainingStream
from datasetgan.errors import ConfigError, DatasetError, UsageError
from datasetgan.factory import GenerationSettings, generate_samples
from datasetgan.generators import NoiseSeed, draw_z
from tests.factory.test_interruption import content
from tests.factory.test_keypoints import SCHEMA, keypoints

__all__ = ["keypoints"]  # a fixture


@pytest.mark.parametrize("side", [1, 16, 48])
def test_labels_have_their_own_grid(tmp_path, tiny_generator, interpreter, settings, side):
    out = tmp_path / "d"
    finer = replace(settings, label_resolution=side)
    manifest = generate_samples(tiny_generator, interpreter, out, settings=finer)
    assert manifest == verify_dataset(out)
    assert (manifest.height, manifest.width) == (32, 32)
    assert (manifest.label_height, manifest.label_width) == (side, side)
    assert manifest.label_size == (side, side)
    assert manifest.settings["label_resolution"] == side
    dataset = read_dataset(out, drop_fraction=0)
    for record in dataset.kept:
        sample = dataset.load(record)
        ws = tiny_generator.map(draw_z([record.seed], 8), truncation_psi=0.7)
        features = tiny_generator.synthesize(ws, noise=NoiseSeed((record.seed,))).features
        alone = interpreter.predict(features, size=(side, side))
        assert sample.image.shape == (32, 32, 3)
        assert sample.label_map.shape == (side, side)
        # Another batch size may round a vote differently.
        assert (sample.label_map == alone.label_map[0].numpy()).mean() > 0.99
        np.testing.assert_allclose(sample.uncertainty, alone.uncertainty[0].numpy(), atol=1e-4)
        assert record.uncertainty_score == pytest.approx(alone.uncertainty_score.item(), abs=1e-5)
        assert sum(record.class_pixels) == side * side
        with Image.open(out / record.label) as stored:
            assert stored.size == (side, side)


def test_the_pictures_and_points_stay_as_they_are(
    tmp_path, tiny_generator, interpreter, keypoints, settings
):
    def make(name: str, chosen: GenerationSettings):
        generate_samples(
            tiny_generator, interpreter, tmp_path / name, settings=chosen, keypoints=keypoints
        )
        return read_dataset(tmp_path / name, drop_fraction=0)

    coarse, own = make("coarse", replace(settings, label_resolution=8)), make("own", settings)
    assert coarse.keypoints == SCHEMA
    for one, other in zip(coarse.kept, own.kept, strict=True):
        assert one.image_sha256 == other.image_sha256
        assert one.keypoints == other.keypoints  # in pixels of the picture
        assert one.label_sha256 != other.label_sha256
    # Named or not, the picture's size is one and the same dataset.
    make("named", replace(settings, label_resolution=32))
    assert content(tmp_path / "named") == content(tmp_path / "own")
    assert "label_" not in (tmp_path / "own/manifest.json").read_text().replace(
        "label_precision", ""
    ).replace("label_sha256", "")


def test_another_resolution_is_another_dataset(tmp_path, tiny_generator, interpreter, settings):
    out = tmp_path / "d"
    generate_samples(
        tiny_generator, interpreter, out, settings=replace(settings, label_resolution=16)
    )
    with pytest.raises(DatasetError, match=r"label_height was 16, now 48.*label_resolution was 16"):
        generate_samples(
            tiny_generator, interpreter, out, settings=replace(settings, label_resolution=48)
        )
    with pytest.raises(DatasetError, match="label_resolution was 16, now None"):
        generate_samples(tiny_generator, interpreter, out, settings=settings)


@pytest.mark.parametrize("kind", ["label", "uncertainty"])
def test_files_of_the_pictures_size_are_damaged(
    tmp_path, tiny_generator, interpreter, settings, kind
):
    out = tmp_path / "d"
    coarse = replace(settings, label_resolution=16)
    generate_samples(tiny_generator, interpreter, out, settings=coarse)
    dataset = read_dataset(out)
    path = out / getattr(dataset.kept[0], kind)
    with Image.open(path) as stored:
        stored.resize((32, 32), Image.Resampling.NEAREST).save(path)
    with pytest.raises(DatasetError, match=rf"{path.name}.*32"):
        dataset.load(dataset.kept[0])


@pytest.mark.parametrize("change", [{"label_height": None}, {"label_width": None}])
def test_half_a_size_is_refused(tmp_path, tiny_generator, interpreter, settings, change):
    out = tmp_path / "d"
    coarse = replace(settings, label_resolution=16)
    manifest: DatasetManifest = generate_samples(tiny_generator, interpreter, out, settings=coarse)
    path = out / "manifest.json"
    data = {**json.loads(path.read_text("utf-8")), **change}
    path.write_text(json.dumps(data), "utf-8")
    with pytest.raises(ConfigError, match=r"manifest\.json.*two positive numbers"):
        read_dataset(out)
    path.write_text(json.dumps({**data, "label_height": 0, "label_width": 16}), "utf-8")
    with pytest.raises(ConfigError, match=r"label_height is 0"):
        read_dataset(out)
    assert manifest.label_size == (16, 16)


def test_training_stretches_labels_to_what_networks_see(
    tmp_path, tiny_generator, interpreter, settings
):
    fine = replace(settings, label_resolution=64)
    generate_samples(tiny_generator, interpreter, tmp_path / "d", settings=fine)
    dataset = read_dataset(tmp_path / "d", drop_fraction=0)
    still = AugmentationSettings(
        orientation="fixed", rotation=0, translation=0, scale=(1, 1), blur=0, noise=0
    )
    stream = TrainingStream(
        dataset, LABEL_MAPS, length=8, size=(32, 32), augmentation=still, seed=0
    )
    for i in range(8):
        image, label_map = stream[i]
        stored = dataset.load(dataset.kept[stream.position(i)]).label_map
        assert image.shape == (3, 32, 32)
        # The pixel whose centre is nearest; between two equally near ones, the later.
        np.testing.assert_array_equal(label_map.numpy(), stored[1::2, 1::2])


def test_a_sample_has_one_grid_for_its_maps():
    image, labels = np.zeros((8, 8, 3), np.uint8), np.zeros((4, 4), np.uint8)
    with pytest.raises(UsageError, match=r"label map is \(4, 4\), its uncertainty map \(8, 8\)"):
        LabelledSample("000000", 0, image, labels, np.zeros((8, 8), np.float32), 0.0)
    LabelledSample("000000", 0, image, labels, np.zeros((4, 4), np.float32), 0.0)
