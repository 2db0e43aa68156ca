"""NVIDIA's StyleGAN3 names: settings read from them, filters held against the settings."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from datasetgan.checkpoints.layouts.nvidia_stylegan3 import LAYOUT
from datasetgan.errors import CheckpointError
from datasetgan.generators import StyleGAN3, StyleGAN3Config
from datasetgan.generators.stylegan3 import design_filter
from datasetgan.generators.stylegan3_schedule import plan_layers

GOLDEN = Path(__file__).parent.parent / "golden"
NAMES = ["stylegan3_t_64", "stylegan3_r_64"]
FIRST = "synthesis.L0_36_16"


def read_golden(name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
        names = [n for n in file.keys() if n.startswith("param.")]  # noqa: SIM118
        tensors = {n.removeprefix("param."): file.get_tensor(n) for n in names}
        return tensors, json.loads(file.metadata()["init_kwargs"])


def as_nvidia_writes(config: StyleGAN3Config) -> dict[str, Tensor]:
    """A state dict with the stored filters beside the weights."""
    tensors = dict(StyleGAN3(config).state_dict())
    for plan in plan_layers(config):
        if plan.up_filter is not None and plan.down_filter is not None:
            tensors[f"synthesis.{plan.name}.up_filter"] = design_filter(plan.up_filter)
            tensors[f"synthesis.{plan.name}.down_filter"] = design_filter(plan.down_filter)
    return tensors


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_read_from_the_golden_files(name: str) -> None:
    tensors, stated = read_golden(name)
    assert LAYOUT.recognizes(tensors)
    stated_generator = LAYOUT.build(tensors, stated)
    inferred = LAYOUT.build(tensors, LAYOUT.infer_config(tensors))
    assert isinstance(stated_generator, StyleGAN3)
    assert isinstance(inferred, StyleGAN3)
    assert plan_layers(inferred.config) == plan_layers(stated_generator.config)
    ours = inferred.state_dict()
    # Two-sided: every weight arrives, none is made up.
    assert {k for k in tensors if "_filter" not in k} == set(ours)
    assert all(torch.equal(ours[name], tensors[name]) for name in ours)


@pytest.mark.parametrize(
    "config",
    [
        StyleGAN3Config(resolution=128, channel_base=2000, channel_max=40, label_dim=3, z_dim=16),
        StyleGAN3Config(resolution=32, channel_base=333, channel_max=512, margin=7, w_dim=24),
        StyleGAN3Config(resolution=64, num_layers=9, channel_base=640, filter_size=4),
        StyleGAN3Config(
            resolution=16, channel_base=256, channel_max=9, conv_kernel=1, down_filter="radial"
        ),
    ],
)
def test_settings_are_read_from_shapes(config: StyleGAN3Config) -> None:
    tensors = as_nvidia_writes(config)
    generator = LAYOUT.build(tensors, LAYOUT.infer_config(tensors))
    assert isinstance(generator, StyleGAN3)
    # Several pairs of channel settings may give the same channels.
    same = {"channel_base": config.channel_base, "channel_max": config.channel_max}
    assert replace(generator.config, **same) == config
    assert plan_layers(generator.config) == plan_layers(config)


def test_nvidias_words_are_taken_as_they_stand() -> None:
    tensors, stated = read_golden("stylegan3_r_64")
    stated |= {"magnitude_ema_beta": 0.999, "conv_clamp": None, "num_layers": 14}
    generator = LAYOUT.build(tensors, stated)
    assert isinstance(generator, StyleGAN3)
    assert generator.config.conv_clamp is None
    assert generator.config.num_layers == 14
    assert generator.config.mapping_layers == 2
    amended = LAYOUT.build(tensors, {"output_scale": 1.0})
    assert isinstance(amended, StyleGAN3)
    assert amended.config == replace(generator.config, output_scale=1.0, conv_clamp=256.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"last_stopband_rel": 2**0.31}, r"are not the filters of these settings"),
        ({"first_stopband": 4.5}, r"L12_84_8\.up_filter are not the filters"),
        ({"num_critical": 3}, "does not fit StyleGAN3"),
        ({"use_radial_filters": True}, r"down_filter.* are not the filters"),
        ({"channel_max": 2**40, "channel_base": 2**40}, "describe at least .* tensors hold"),
        ({"label_dim": 2**40}, "not supported: label_dim"),
        ({"c_dim": 2**40}, "describe at least"),
        ({"conv_kernel": 1}, r"weight is \[16, 16, 3, 3\], expected \[16, 16, 1, 1\]"),
        ({"img_resolution": 128}, "does not fit StyleGAN3: missing"),
        ({"img_resolution": 2**15, "channel_base": 2**20}, "beyond any such network: resolution"),
        ({"img_resolution": "64"}, "resolution"),
        ({"filter_size": 33}, "beyond any such network: filter_size 33"),
        ({"first_cutoff": 9.0}, "first_cutoff < first_stopband"),
        ({"use_radial_filters": 1}, "must be true or false"),
        ({"fancy": 1}, "not supported: fancy"),
        ({"mapping_kwargs": {"num_layers": 2, "lr_multiplier": 0.1}}, "lr_multiplier is 0.1"),
        ({"mapping_kwargs": {"width": 2}}, "not supported: width"),
        ({"mapping_kwargs": 3}, "must hold settings"),
    ],
)
def test_settings_of_another_network_are_refused(changes: dict[str, Any], message: str) -> None:
    tensors, stated = read_golden("stylegan3_t_64")
    with pytest.raises(CheckpointError, match=message):
        LAYOUT.build(tensors, stated | changes)


def test_names_must_be_complete() -> None:
    tensors, stated = read_golden("stylegan3_t_64")
    with pytest.raises(CheckpointError, match=r"missing: synthesis.input.phases"):
        LAYOUT.build({k: v for k, v in tensors.items() if k != "synthesis.input.phases"}, stated)
    with pytest.raises(CheckpointError, match=r"unexpected: synthesis.input.extra"):
        LAYOUT.build(tensors | {"synthesis.input.extra": torch.zeros(1)}, stated)
    with pytest.raises(CheckpointError, match=rf"missing: {FIRST}.up_filter"):
        LAYOUT.build({k: v for k, v in tensors.items() if k != f"{FIRST}.up_filter"}, stated)


def test_weights_without_filters_need_their_settings() -> None:
    tensors, stated = read_golden("stylegan3_t_64")
    bare = {k: v for k, v in tensors.items() if not k.endswith("_filter")}
    assert isinstance(LAYOUT.build(bare, stated), StyleGAN3)
    with pytest.raises(CheckpointError, match=r"with use_radial_filters .* and filter_size"):
        LAYOUT.infer_config(bare)


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("synthesis.L3_36_16.weight", r"without a gap, got synthesis.L0_36_16"),
        ("mapping.fc0.weight", r"mapping.fc0.weight must have 2 axes"),
        (f"{FIRST}.affine.weight", r"affine.weight must have 2 axes"),
    ],
)
def test_what_inference_lacks_is_named(lost: str, message: str) -> None:
    tensors, _ = read_golden("stylegan3_t_64")
    with pytest.raises(CheckpointError, match=message):
        LAYOUT.infer_config({k: v for k, v in tensors.items() if k != lost})


def test_an_unusual_schedule_must_be_given() -> None:
    config = StyleGAN3Config(resolution=64, channel_base=512, channel_max=16, num_critical=4)
    with pytest.raises(CheckpointError, match="Give NVIDIA's init_kwargs in full, with num_crit"):
        LAYOUT.infer_config(as_nvidia_writes(config))
    given = {
        "img_resolution": 64,
        "channel_base": 512,
        "channel_max": 16,
        "num_critical": 4,
        "synthesis_kwargs": {"num_fp16_res": 0},
    }
    generator = LAYOUT.build(as_nvidia_writes(config), given)
    assert isinstance(generator, StyleGAN3)
    assert generator.config == config
