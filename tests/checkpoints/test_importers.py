"""NVIDIA's StyleGAN2 layout, settings read from shapes, and what import refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from torch import Tensor

from datasetgan.checkpoints.importers import import_state_dict, recognize_layout
from datasetgan.checkpoints.layouts import LAYOUTS
from datasetgan.checkpoints.layouts.stylegan2_settings import channel_settings, stylegan2_config
from datasetgan.errors import CheckpointError, UsageError
from datasetgan.generators import StyleGAN2, StyleGAN2Config

GOLDEN = Path(__file__).parent.parent / "golden"
NAME = "nvidia-stylegan2"
CONFIG = StyleGAN2Config(
    resolution=16, z_dim=6, w_dim=8, label_dim=3, mapping_layers=3, channel_base=64, channel_max=12
)


def nvidia_state(config: StyleGAN2Config) -> dict[str, Tensor]:
    """A random network's tensors as NVIDIA's state dict holds them, filters among them."""
    torch.manual_seed(0)
    state = {name: torch.randn(t.shape) for name, t in StyleGAN2(config).state_dict().items()}
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    for name in list(state):
        if name.endswith("noise_const"):
            state[name.replace("noise_const", "resample_filter")] = torch.outer(taps, taps)
    return state


@pytest.fixture
def state() -> dict[str, Tensor]:
    return nvidia_state(CONFIG)


def test_the_registry_is_keyed_by_the_layouts_names() -> None:
    assert all(name == layout.name for name, layout in LAYOUTS.items())
    assert all(layout.licence_note for layout in LAYOUTS.values())


@pytest.mark.parametrize("name", ["stylegan2_64", "stylegan2_32_conditional_resnet"])
def test_inferred_settings_are_those_the_golden_states(name: str) -> None:
    with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
        stated: dict[str, Any] = json.loads(file.metadata()["init_kwargs"])
        keys = [key for key in file.keys() if key.startswith("param.")]  # noqa: SIM118
        params = {key.removeprefix("param."): file.get_tensor(key) for key in keys}
    assert recognize_layout(params) == NAME
    assert stylegan2_config(LAYOUTS[NAME].infer_config(params)) == stylegan2_config(stated)


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("label_dim", [0, 3])
@pytest.mark.parametrize("resolution", [4, 16])
def test_import_without_settings(architecture: Any, label_dim: int, resolution: int) -> None:
    config = StyleGAN2Config(
        resolution=resolution,
        z_dim=6,
        w_dim=8,
        label_dim=label_dim,
        image_channels=1,
        mapping_layers=2,
        channel_base=64,
        channel_max=12,
        architecture=architecture,
    )
    state = nvidia_state(config)
    original = StyleGAN2(config).requires_grad_(False)
    original.load_state_dict({k: v for k, v in state.items() if "resample" not in k})
    generator = import_state_dict(state, layout=NAME).requires_grad_(False)
    z = torch.randn(2, 6)
    labels = torch.eye(3)[:2] if label_dim else None
    ws = original.map(z, labels, truncation_psi=0.5)
    assert torch.equal(generator.map(z, labels, truncation_psi=0.5), ws)
    assert torch.equal(generator.synthesize(ws).image, original.synthesize(ws).image)


@given(
    log_size=st.integers(2, 10),
    channel_base=st.integers(1024, 1 << 16),
    channel_max=st.integers(1, 600),
)
def test_inferred_channels_are_the_given_ones(
    log_size: int, channel_base: int, channel_max: int
) -> None:
    sizes = [2**i for i in range(2, log_size + 1)]
    channels = {size: min(channel_base // size, channel_max) for size in sizes}
    found = channel_settings(channels)
    assert {s: min(found["channel_base"] // s, found["channel_max"]) for s in sizes} == channels


@pytest.mark.parametrize("channels", [{4: 8, 8: 16}, {4: 64, 8: 64, 16: 8, 32: 16}])
def test_channels_that_follow_no_rule(channels: dict[int, int]) -> None:
    with pytest.raises(CheckpointError, match=r"follow no StyleGAN rule.*8 px"):
        channel_settings(channels)


def test_a_clamp_alone_amends_what_the_shapes_tell(state: dict[str, Tensor]) -> None:
    generator = import_state_dict(state, layout=NAME, config={"conv_clamp": 256})
    assert isinstance(generator, StyleGAN2)
    wanted = {**vars(CONFIG), "conv_clamp": 256}
    assert {**vars(generator.config), "channel_base": 64} == wanted


def test_nested_and_neutral_settings_are_taken_as_they_stand(state: dict[str, Tensor]) -> None:
    generator = import_state_dict(
        state,
        layout=NAME,
        config={
            "z_dim": 6,
            "c_dim": 3,
            "w_dim": 8,
            "img_resolution": 16,
            "img_channels": 3,
            "mapping_kwargs": {"num_layers": 3, "w_avg_beta": 0.995, "embed_features": None},
            "synthesis_kwargs": {
                "channel_base": 64,
                "channel_max": 12,
                "num_fp16_res": 4,
                "conv_clamp": 256,
                "resample_filter": (1, 3, 3, 1),
            },
        },
    )
    assert isinstance(generator, StyleGAN2)
    assert vars(generator.config) == {**vars(CONFIG), "conv_clamp": 256}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"img_resolution": 16, "epsilon": 1}, "not supported: epsilon"),
        ({"img_resolution": 16, "block_kwargs": {}}, "not supported: block_kwargs"),
        ({"img_resolution": 16, "resample_filter": [1, 2, 1]}, "not supported: resample_filter"),
        ({"img_resolution": 16, "mapping_kwargs": {"lr_multiplier": 1}}, "mapping_kwargs.lr_mul"),
        ({"img_resolution": 16, "mapping_kwargs": 5}, "mapping_kwargs must hold settings, got 5"),
        ({"img_resolution": "16"}, "resolution: .*got '16'"),
        ({"img_resolution": 48}, "power of two"),
        ({"img_resolution": 1 << 40}, "img_resolution must be from 4 to"),
        ({"img_resolution": 16, "w_dim": 1 << 60}, "w_dim must be from 1 to"),
        ({"img_resolution": 16, "mapping_kwargs": {"num_layers": 10**9}}, "num_layers must be"),
        ({"img_resolution": 16, "channel_base": 8}, "channel_base must be from 16 to"),
        ({"img_resolution": 16, "architecture": "swin"}, "architecture: "),
    ],
)
def test_settings_that_cannot_be_right(
    state: dict[str, Tensor], config: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        import_state_dict(state, layout=NAME, config=config)


def test_a_claim_beyond_the_tensors_costs_no_memory(state: dict[str, Tensor]) -> None:
    # 2^20 numbers squared would be four terabytes: refused by count, before they are made.
    for config in (
        {"w_dim": 1 << 20, "z_dim": 1 << 20},
        {"w_dim": 1 << 20, "z_dim": 1, "c_dim": 1, "mapping_kwargs": {"num_layers": 1}},
        {"channel_base": 1 << 40, "channel_max": 1 << 20},
        {"c_dim": 1 << 20},
    ):
        with pytest.raises(CheckpointError, match=r"they describe at least \d+ weights"):
            import_state_dict(state, layout=NAME, config={"img_resolution": 16, **config})
    with pytest.raises(CheckpointError, match=r"misshapen: mapping\.fc0\.bias is \[8\], expected"):
        import_state_dict(state, layout=NAME, config={"img_resolution": 16, "w_dim": 9})


def test_differences_are_listed_both_ways(state: dict[str, Tensor]) -> None:
    state["synthesis.b8.conv1.wieght"] = state.pop("synthesis.b8.conv0.weight")
    with pytest.raises(CheckpointError) as caught:
        import_state_dict(state, layout=NAME)
    assert "missing: synthesis.b8.conv0.weight" in str(caught.value)
    assert "unexpected: synthesis.b8.conv1.wieght" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("mapping.fc2.bias", torch.full((8,), torch.nan), "mapping.fc2.bias hold NaN"),
        ("mapping.fc2.bias", torch.zeros(8, dtype=torch.complex64), "complex"),
        ("synthesis.b8.conv0.resample_filter", torch.full((4, 4), 1 / 16), "is not the filter"),
        ("synthesis.b8.conv0.resample_filter", torch.full((3, 3), 1 / 9), "is not the filter"),
        ("mapping.fc0.weight", torch.zeros(8), r"fc0\.weight is \[8\], expected 2 axes"),
        ("mapping.fc0.weight", torch.zeros(8, 8), "no room for a latent z"),
        ("synthesis.b16.torgb.weight", torch.zeros(0, 4, 1, 1), "none empty"),
    ],
)
def test_tensors_that_cannot_be_right(
    state: dict[str, Tensor], name: str, value: Tensor, message: str
) -> None:
    state[name] = value
    with pytest.raises(CheckpointError, match=message):
        import_state_dict(state, layout=NAME)


def test_names_that_no_layout_knows() -> None:
    discriminator = ["b8.fromrgb.weight", "b8.conv0.weight", "b4.mbstd"]
    with pytest.raises(CheckpointError, match=r"b8\.fromrgb\.weight.*a discriminator"):
        recognize_layout(discriminator)
    with pytest.raises(CheckpointError, match="none at all"):
        recognize_layout([])


def test_names_of_two_layouts_at_once(state: dict[str, Tensor]) -> None:
    both = [*state, "input.input", "conv1.conv.modulation.weight", "to_rgb1.conv.weight"]
    with pytest.raises(CheckpointError, match=r"several layouts: nvidia-stylegan2, rosinality"):
        recognize_layout(both)


def test_an_unknown_layout_lists_the_valid_ones(state: dict[str, Tensor]) -> None:
    with pytest.raises(UsageError, match=r"Did you mean 'nvidia-stylegan2'\?.*rosinality"):
        import_state_dict(state, layout="nvidia_stylegan2")


def test_a_whole_checkpoint_instead_of_its_state_dict_is_named() -> None:
    state = {"g_ema": {"conv1.conv.weight": torch.zeros(1)}, "d": {}, "latent_avg": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"not a tensor: g_ema, d\..*checkpoint\['g_ema'\]"):
        import_state_dict(state, layout="rosinality-stylegan2")  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match=r"not a tensor: step\. Expected tensors by name"):
        import_state_dict({"step": 3}, layout="rosinality-stylegan2")  # type: ignore[dict-item]
