"""The factory places keypoints beside the labels."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from datasetgan.dataset import KeypointSchema, read_dataset, verify_dataset
from datasetgan.downstream import (
    KeypointNetworkSettings,
    train_keypoint_network,
    train_segmenter,
)
from datasetgan.errors import DatasetError, UsageError
from datasetgan.factory import GenerationSettings, generate_samples
from datasetgan.features import InputSpec
from datasetgan.generators import NoiseSeed, StyleGAN2, draw_z
from datasetgan.interpreter.ensemble.ensemble import Ensemble
from datasetgan.interpreter.ensemble.heads import build_head
from datasetgan.interpreter.keypoints import KeypointInterpreter

SCHEMA = KeypointSchema(("nucleus", "cell", "edge"))


@pytest.fixture
def keypoints(tiny_generator: StyleGAN2) -> KeypointInterpreter:
    levels = tiny_generator.feature_levels
    channels = sum(level.channels for level in levels)
    members = build_head("paper", num_members=2, in_channels=channels, num_outputs=3, seed=4)
    random = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for _, parameter in sorted(members.named_parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=random) * 0.3)
    members = members.eval().requires_grad_(False)
    ensemble = Ensemble(InputSpec(levels), members, tiny_generator.digest)
    return KeypointInterpreter(SCHEMA, ensemble, 0.05, 0.5)


def test_points_are_what_the_keypoint_interpreter_says(
    tmp_path, tiny_generator, interpreter, keypoints, settings
):
    manifest = generate_samples(
        tiny_generator, interpreter, tmp_path / "d", settings=settings, keypoints=keypoints
    )
    assert manifest == verify_dataset(tmp_path / "d")
    assert manifest.keypoints == SCHEMA
    assert manifest.keypoint_interpreter_sha256 == keypoints.digest
    dataset = read_dataset(tmp_path / "d", drop_fraction=0)
    visible = []
    for record in dataset.kept:
        found = dataset.load(record).keypoints
        ws = tiny_generator.map(draw_z([record.seed], 8), truncation_psi=0.7)
        synthesis = tiny_generator.synthesize(ws, noise=NoiseSeed((record.seed,)))
        alone = keypoints.predict(synthesis.features, size=(32, 32)).keypoints(0)
        # Another batch size may round differently; random heat maps are smooth enough.
        assert np.median(np.abs(found.points - alone.points)) < 0.02
        visible += found.visible.tolist()
    assert 0 < sum(visible) < len(visible)  # else they prove nothing


def test_labels_are_the_same_with_and_without_points(
    tmp_path, tiny_generator, interpreter, keypoints, settings
):
    for name, placed in (("with", keypoints), ("without", None)):
        generate_samples(
            tiny_generator, interpreter, tmp_path / name, settings=settings, keypoints=placed
        )
    one, other = (read_dataset(tmp_path / name).manifest for name in ("with", "without"))
    assert other.keypoints is None
    assert tuple(replace(r, keypoints=None) for r in one.samples) == other.samples
    with pytest.raises(DatasetError, match=r"keypoints was None, now nucleus, cell, edge"):
        generate_samples(
            tiny_generator,
            interpreter,
            tmp_path / "without",
            settings=settings,
            keypoints=keypoints,
        )


def test_a_keypoint_interpreter_of_another_generator_is_refused(
    tmp_path, tiny_generator, interpreter, keypoints, settings
):
    other = replace(keypoints, ensemble=replace(keypoints.ensemble, generator_digest="e" * 64))
    with pytest.raises(UsageError, match=r"keypoint interpreter was fitted on .* eeeeeeeeeeee"):
        generate_samples(
            tiny_generator, interpreter, tmp_path / "d", settings=settings, keypoints=other
        )
    assert not (tmp_path / "d").exists()


def test_keypoints_alone(tmp_path, tiny_generator, taxonomy, keypoints, settings):
    settings = replace(settings, uncertainty="score")

    def generate(name, settings=settings):
        return generate_samples(
            tiny_generator,
            None,
            tmp_path / name,
            settings=settings,
            keypoints=keypoints,
            taxonomy=taxonomy,
        )

    asked = []
    manifest = generate("d")
    assert manifest == verify_dataset(tmp_path / "d")
    assert manifest.interpreter_sha256 == ""
    assert (manifest.taxonomy, manifest.keypoints) == (taxonomy, SCHEMA)
    dataset = read_dataset(tmp_path / "d", drop_fraction=0.2)
    assert dataset.dropped
    for record in dataset.kept:
        sample = dataset.load(record)
        assert (sample.label_map == 255).all()
        assert sample.keypoints is not None
        assert not any(record.class_pixels)
        assert 0 < record.uncertainty_score < 1
    for odd in ({"uncertainty": "map"}, {"label_precision": "bfloat16"}):
        with pytest.raises(UsageError, match="keypoints alone come without labels"):
            generate("odd", replace(settings, **odd))
    with pytest.raises(UsageError, match="Give both, or an interpreter"):
        generate_samples(tiny_generator, None, tmp_path / "odd", settings=settings)
    generate_samples(
        tiny_generator,
        None,
        tmp_path / "e",
        settings=settings,
        keypoints=keypoints,
        taxonomy=taxonomy,
        on_labelling=asked.append,
    )
    assert not asked


def test_what_can_be_trained_on_keypoints_alone(tmp_path, tiny_generator, taxonomy, keypoints):
    generate_samples(
        tiny_generator,
        None,
        tmp_path / "d",
        settings=GenerationSettings(num_samples=4, batch=4),
        keypoints=keypoints,
        taxonomy=taxonomy,
    )
    dataset = read_dataset(tmp_path / "d", drop_fraction=0)
    plain = KeypointNetworkSettings()
    quick = replace(plain, training=replace(plain.training, steps=1, batch=2))
    assert train_keypoint_network(dataset, settings=quick).schema == SCHEMA
    with pytest.raises(DatasetError, match=r"no painted pixel.*train-keypoints"):
        train_segmenter(dataset)
