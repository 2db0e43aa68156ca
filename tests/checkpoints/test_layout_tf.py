"""NVIDIA's TensorFlow layouts against a direct evaluation from arrays as TensorFlow holds them."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from datasetgan.checkpoints.layouts import nvidia_tf_stylegan1, nvidia_tf_stylegan2
from datasetgan.checkpoints.layouts.base import LayoutSpec
from datasetgan.errors import CheckpointError
from datasetgan.generators import StyleGAN1, StyleGAN2
from tests.checkpoints.tf_networks import (
    W_DIM,
    Z_DIM,
    build,
    exact,
    he,
    literal_mapping,
    literal_mapping1,
    literal_stylegan1,
    literal_stylegan2,
    normalized,
    relative,
    stylegan1_variables,
    stylegan2_variables,
)

ONE, TWO = nvidia_tf_stylegan1.LAYOUT, nvidia_tf_stylegan2.LAYOUT
Z = torch.from_numpy(np.random.RandomState(0).standard_normal((3, Z_DIM)))
LABELS = torch.eye(4, dtype=torch.float64)[[2, 0, 3]]


@pytest.mark.parametrize("fused_scale", ["auto", True])
def test_stylegan1_is_the_network_of_these_arrays(fused_scale: Any) -> None:
    variables = stylegan1_variables()
    generator = build(ONE, variables, fused_scale=fused_scale)
    assert isinstance(generator, StyleGAN1)
    w = literal_mapping1(exact(variables), normalized(Z))
    ws = generator.map(Z.float())
    assert relative(ws[:, 0], w) < 1e-4
    image = literal_stylegan1(exact(variables), w, fused=fused_scale is True)
    assert relative(generator.synthesize(ws).image, image) < 1e-4
    mean = generator.map(Z.float(), truncation_psi=0.0)[:, :6]
    assert torch.equal(mean, variables["dlatent_avg"].expand_as(mean))


def test_stylegan1_with_labels() -> None:
    variables = stylegan1_variables(labels=4)
    generator = build(ONE, variables)
    v = exact(variables)
    joined = torch.cat([Z, LABELS @ v["mapping/LabelConcat/weight"]], dim=1)
    ws = generator.map(Z.float(), LABELS.float())
    assert relative(ws[:, 5], literal_mapping1(v, normalized(joined))) < 1e-4


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_stylegan2_is_the_network_of_these_arrays(architecture: str) -> None:
    variables = stylegan2_variables(architecture)
    generator = build(TWO, variables)
    assert isinstance(generator, StyleGAN2)
    assert generator.config.architecture == architecture
    w = literal_mapping(exact(variables), normalized(Z))
    ws = generator.map(Z.float())
    assert relative(ws[:, 0], w) < 1e-4
    image = literal_stylegan2(exact(variables), w, architecture)
    assert relative(generator.synthesize(ws).image, image) < 1e-4
    assert torch.equal(generator.mapping.w_avg, variables["dlatent_avg"])


def test_stylegan2_ada_with_labels() -> None:
    variables = stylegan2_variables(labels=4)
    generator = build(TWO, variables)
    v = exact(variables)
    embedded = LABELS @ he(v["mapping/LabelEmbed/weight"]) + v["mapping/LabelEmbed/bias"]
    w = literal_mapping(v, torch.cat([normalized(Z), normalized(embedded)], dim=1))
    assert relative(generator.map(Z.float(), LABELS.float())[:, 3], w) < 1e-4


def test_early_stylegan2_names_its_image_layers_by_level_of_detail() -> None:
    variables = stylegan2_variables("orig")
    renamed = {
        name.replace("synthesis/16x16/ToRGB", "synthesis/ToRGB_lod0"): tensor
        for name, tensor in variables.items()
    }
    renamed["synthesis/ToRGB_lod2/bias"] = torch.zeros(3)
    renamed["synthesis/lod"] = torch.zeros([])
    ws = torch.ones(1, 6, W_DIM)
    expected = build(TWO, variables).synthesize(ws).image
    assert torch.equal(build(TWO, renamed).synthesize(ws).image, expected)
    # These configurations alone state the function of their synthesis network.
    stated = {**STATIC_KWARGS, "synthesis_func": "G_synthesis_stylegan_revised"}
    assert torch.equal(TWO.build(renamed, stated).synthesize(ws).image, expected)
    with pytest.raises(CheckpointError, match="synthesis_func is 'G_synthesis_stylegan'"):
        TWO.build(renamed, stated | {"synthesis_func": "G_synthesis_stylegan"})


@pytest.mark.parametrize(
    ("layout", "variables"), [(ONE, stylegan1_variables), (TWO, stylegan2_variables)]
)
def test_the_whole_networks_level_of_detail_decides(layout: LayoutSpec, variables: Any) -> None:
    """Networks that grew hold `lod` twice: of the whole, and as synthesis last took it over."""
    plain = {name: t for name, t in variables().items() if name != "synthesis/lod"}
    grown = plain | {"lod": torch.zeros([]), "synthesis/lod": torch.tensor(1.0)}
    ws = torch.ones(1, 6, W_DIM)
    expected = build(layout, plain).synthesize(ws).image
    assert torch.equal(build(layout, grown).synthesize(ws).image, expected)
    with pytest.raises(CheckpointError, match=r"progressive growing \(lod 0\.5\)"):
        layout.build(grown | {"lod": torch.tensor(0.5)}, {})


@pytest.mark.parametrize(
    ("layout", "variables"), [(ONE, stylegan1_variables), (TWO, stylegan2_variables)]
)
def test_networks_by_their_own_names_and_outputs(layout: LayoutSpec, variables: Any) -> None:
    plain = variables()
    long = {f"{k.replace('mapping/', 'G_mapping/', 1)}:0": t.double() for k, t in plain.items()}
    long = {k.replace("synthesis/", "Gs/G_synthesis/", 1): t for k, t in long.items()}
    assert layout.recognizes(long)
    assert layout.infer_config(long) == layout.infer_config(plain)
    ws = torch.ones(1, 6, W_DIM)
    expected = build(layout, plain).synthesize(ws).image
    assert torch.equal(build(layout, long).synthesize(ws).image, expected)
    with pytest.raises(CheckpointError, match="twice"):
        layout.build(plain | {"D/mapping/Dense0/weight": torch.zeros(6, 5)}, {})


def test_each_layout_knows_its_own() -> None:
    one, two = stylegan1_variables(), stylegan2_variables()
    assert ONE.recognizes(one)
    assert TWO.recognizes(two)
    assert not ONE.recognizes(two)
    assert not TWO.recognizes(one)


STATIC_KWARGS = {
    "num_channels": 3,
    "resolution": 16,
    "label_size": 0,
    "fmap_base": 16,
    "truncation_psi": 0.5,
    "randomize_noise": True,
    "mapping_layers": 2,
}


@pytest.mark.parametrize(
    ("layout", "variables"), [(ONE, stylegan1_variables), (TWO, stylegan2_variables)]
)
class TestSettings:
    def test_nvidias_words_as_they_stand(self, layout: LayoutSpec, variables: Any) -> None:
        tensors = variables()
        stated, inferred = layout.build(tensors, STATIC_KWARGS), build(layout, tensors)
        assert inferred.config.resolution == 16
        ws = torch.ones(1, 6, W_DIM)
        assert torch.equal(stated.synthesize(ws).image, inferred.synthesize(ws).image)
        again = layout.build(tensors, layout.infer_config(tensors))
        assert again.config == inferred.config  # type: ignore[attr-defined]

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            ({"resolution": 32}, "said to be 32, the tensors say 16"),
            ({"fmap_base": 8}, "misshapen|the tensors have 8"),
            ({"fmap_base": 1.5}, "whole number"),
            ({"fmap_decay": 0.5}, "fmap_decay is 0.5, which is not supported"),
            ({"mapping_nonlinearity": "relu"}, "mapping_nonlinearity"),
            ({"use_noise": False}, "use_noise"),
            ({"mapping_fmaps": 64}, "mapping_fmaps is said to be 64"),
            ({"projection": 1}, "not supported: projection"),
        ],
    )
    def test_other_networks_are_refused(
        self, layout: LayoutSpec, variables: Any, config: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(CheckpointError, match=message):
            layout.build(variables(), config)

    @pytest.mark.parametrize(
        ("name", "tensor", "message"),
        [
            ("dlatent_avg", None, "missing: dlatent_avg"),
            ("dlatent_avg", torch.zeros(4), r"w_avg is \[.*4\], expected"),
            ("synthesis/noise3", None, "missing: synthesis/noise3"),
            ("synthesis/noise3", torch.zeros(1, 1, 4, 4), r"noise_const is \[4, 4\]"),
            ("synthesis/8x8/Conv0_up/weight", torch.zeros(3), r"conv0\.weight is \[3\]"),
            ("synthesis/8x8/Conv1/weight", torch.zeros(3, 3, 4, 9), r"is \[9, 4, 3, 3\]"),
            ("synthesis/8x8/Conv2/bias", torch.zeros(3), r"unexpected: synthesis/8x8/Conv2/bias"),
            ("synthesis/32x32/Conv1/bias", torch.zeros(1), "missing"),
            ("synthesis/64x64/Conv1/bias", torch.zeros(1), "of 4, 8, 16, 64 px"),
            ("synthesis/4x4/Conv/bias", torch.zeros(0), "none empty"),
            ("synthesis/lod", torch.tensor(2.5), r"progressive growing \(lod 2\.5\)"),
        ],
    )
    def test_what_does_not_fit_is_named(
        self, layout: LayoutSpec, variables: Any, name: str, tensor: Tensor | None, message: str
    ) -> None:
        tensors = variables()
        tensors.pop(name, None)
        if tensor is not None:
            tensors[name] = tensor
        with pytest.raises(CheckpointError, match=message):
            layout.build(tensors, {})

    def test_a_discriminator_is_no_generator(self, layout: LayoutSpec, variables: Any) -> None:
        tensors = {"16x16/FromRGB/weight": torch.zeros(1, 1, 3, 2)}
        with pytest.raises(CheckpointError, match="is no generator"):
            layout.build(tensors, {})


def test_labels_of_the_first_stylegan2_are_refused() -> None:
    variables = stylegan2_variables() | {"mapping/LabelConcat/weight": torch.zeros(4, Z_DIM)}
    with pytest.raises(CheckpointError, match="LabelConcat"):
        TWO.build(variables, {})
