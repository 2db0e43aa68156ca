"""StyleGAN1 against independent outputs, its literal twin, and the generator contract."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from torch import Tensor

from datasetgan.checkpoints.generator_files import load_generator, save_generator
from datasetgan.checkpoints.layouts.datasetgan_stylegan1 import LAYOUT
from datasetgan.checkpoints.native import WeightCard
from datasetgan.errors import UsageError
from datasetgan.generators import (
    Generator,
    NoiseSeed,
    StyleGAN1,
    StyleGAN1Config,
    ops_stylegan1,
    sample_latents,
    stylegan1_reference,
)
from datasetgan.runtime import Runtime

GOLDEN = Path(__file__).parent.parent / "golden"
NAMES = ["stylegan1_64", "stylegan1_128"]


def relative(actual: Tensor, expected: Tensor) -> float:
    return ((actual.float() - expected).abs().max() / expected.abs().max()).item()


def read_golden(name: str, **changes: Any) -> tuple[Generator, dict[str, Tensor], list[Tensor]]:
    with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
        config: dict[str, Any] = json.loads(file.metadata()["init_kwargs"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    params = {k.removeprefix("param."): v for k, v in tensors.items() if k.startswith("param.")}
    params["avg_latent"] = tensors["avg_latent"]
    generator = LAYOUT.build(params, config | changes)
    noise = [tensors[key] for key in sorted(tensors) if key.startswith("noise.")]
    return generator.place(Runtime()), tensors, noise


def build_tiny(**changes: Any) -> StyleGAN1:
    """A 16 px generator with random weights, every tensor at work."""
    settings = {"z_dim": 6, "w_dim": 5, "mapping_layers": 2, "channel_base": 64, "channel_max": 8}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = StyleGAN1(StyleGAN1Config(resolution=16, **(settings | changes)))
        with torch.no_grad():
            for name, parameter in generator.named_parameters():
                if name.endswith(("bias", "noise_strength")):
                    parameter.normal_().mul_(0.3)
            generator.mapping.w_avg.normal_()
    return generator.place(Runtime())


@pytest.mark.parametrize("name", NAMES)
class TestGolden:
    def test_mapping_and_truncation(self, name: str) -> None:
        generator, golden, _ = read_golden(name)
        assert relative(generator.map(golden["z"])[:, 0], golden["w"]) < 1e-4
        truncated = generator.map(golden["z"], truncation_psi=0.7)
        assert relative(truncated, golden["ws_truncated"]) < 1e-4

    def test_features_and_image(self, name: str) -> None:
        generator, golden, noise = read_golden(name)
        synthesis = generator.synthesize(golden["ws_truncated"], noise=noise)
        assert relative(synthesis.image, golden["image"]) < 1e-4
        expected = [golden[k] for k in sorted(golden) if k.startswith("feature.")]
        assert len(expected) == len(synthesis.features.levels) == len(generator.feature_levels)
        for (level, feature), wanted in zip(synthesis.features.items(), expected, strict=True):
            assert feature.shape[1:] == (level.channels, level.height, level.width)
            # The two finest levels of the larger file hold their first channels alone.
            assert relative(feature[:, : wanted.shape[1]], wanted) < 1e-4, level.name

    def test_taps_of_the_paper_are_both_adain_outputs(self, name: str) -> None:
        generator, golden, noise = read_golden(name, tap="adain")
        ws = golden["ws_truncated"]
        params = {k.removeprefix("param."): v for k, v in golden.items()}
        image, layers = stylegan1_reference.synthesize(params, ws, noise)
        assert relative(image, golden["image"]) < 1e-4
        wanted = [layers[i] for i in range(len(layers)) if i % 3 != 1]
        features = generator.synthesize(ws, noise=noise).features
        assert [level.name for level in features.levels[:3]] == [
            "b4.adain0",
            "b4.adain1",
            "b8.adain0",
        ]
        for (level, feature), expected in zip(features.items(), wanted, strict=True):
            assert relative(feature, expected) < 1e-4, level.name

    # Random weights leave channels that are nearly constant before their instance norm,
    # which then shows their rounding; trained ones have fewer.
    @pytest.mark.parametrize(("precision", "bound"), [("bfloat16", 0.25), ("float16", 0.04)])
    def test_half_precision_stays_close(self, name: str, precision: Any, bound: float) -> None:
        generator, golden, noise = read_golden(name)
        generator.place(Runtime(precision=precision))
        synthesis = generator.synthesize(golden["ws_truncated"], noise=noise)
        assert synthesis.image.dtype == torch.float32
        assert {f.dtype for f in synthesis.features.tensors} == {Runtime(precision=precision).dtype}
        assert relative(synthesis.image, golden["image"]) < bound


class TestOperators:
    @settings(deadline=None, max_examples=30)
    @given(
        fan_in=st.integers(1, 4),
        fan_out=st.integers(1, 4),
        height=st.integers(1, 12),
        width=st.integers(1, 6),
    )
    def test_up_sampling_is_doubling_and_correlation_with_the_rotated_kernel(
        self, fan_in: int, fan_out: int, height: int, width: int
    ) -> None:
        torch.manual_seed(fan_in + 10 * height)
        x = torch.randn(2, fan_in, height, width, dtype=torch.float64)
        weight = torch.randn(fan_out, fan_in, 3, 3, dtype=torch.float64)
        doubled = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        literal = F.conv2d(doubled, weight, padding=1)
        torch.testing.assert_close(
            ops_stylegan1.upsampling_conv2d(x, weight.flip(2, 3)), literal, rtol=1e-9, atol=1e-9
        )

    def test_blur_by_hand(self) -> None:
        x = torch.zeros(1, 2, 3, 4, dtype=torch.float64)
        x[0, 0, 0, 0], x[0, 1, 1, 2] = 16.0, 16.0
        bias = torch.tensor([0.0, 5.0], dtype=torch.float64)
        y = ops_stylegan1.blur_3x3(x, bias=bias)
        assert y[0, 0].tolist() == [[4, 2, 0, 0], [2, 1, 0, 0], [0, 0, 0, 0]]
        assert y[0, 1].tolist() == [[5, 6, 7, 6], [5, 7, 9, 7], [5, 6, 7, 6]]

    def test_adain_survives_a_channel_far_from_zero(self) -> None:
        torch.manual_seed(0)
        exact = torch.randn(2, 3, 8, 8, dtype=torch.float64) * 0.01 + 100
        styles = torch.randn(2, 6, dtype=torch.float64)
        # Rounded once, so that both see the same values.
        exact = exact.float().double()
        mean, deviation = exact.mean(dim=(2, 3)), exact.std(dim=(2, 3), correction=0)
        normal = (exact - mean[..., None, None]) / deviation[..., None, None]
        wanted = normal * (styles[:, :3, None, None] + 1) + styles[:, 3:, None, None]
        fast = ops_stylegan1.adaptive_instance_norm(exact.float(), styles.float(), epsilon=1e-12)
        assert relative(fast, wanted.float()) < 2e-3

    def test_adain_of_a_constant_channel_is_its_shift(self) -> None:
        styles = torch.tensor([[3.0, 0.5]])
        y = ops_stylegan1.adaptive_instance_norm(torch.ones(1, 1, 4, 4), styles, epsilon=1e-8)
        assert torch.equal(y, torch.full((1, 1, 4, 4), 0.5))


def test_cutoff_of_the_configuration_holds_unless_told_otherwise() -> None:
    generator = build_tiny(truncation_cutoff=4)
    z = torch.randn(3, 6)
    plain, mean = generator.map(z), generator.mapping.w_avg
    cut = generator.map(z, truncation_psi=0.5)
    assert torch.equal(cut[:, 4:], plain[:, 4:])
    torch.testing.assert_close(cut[:, :4], (plain[:, :4] + mean[:4]) / 2)
    cut = generator.map(z, truncation_psi=0.0, truncation_cutoff=1)
    assert torch.equal(cut[:, 1:], plain[:, 1:])
    torch.testing.assert_close(cut[:, :1], mean[:1].expand(3, -1, -1))
    everything = generator.map(z, truncation_psi=0.0, truncation_cutoff=generator.num_ws)
    torch.testing.assert_close(everything, mean.expand(3, -1, -1))
    unlimited = build_tiny(truncation_cutoff=None).map(z, truncation_psi=0.0)
    torch.testing.assert_close(unlimited, everything)


def test_noise_of_an_image_is_its_own() -> None:
    generator = build_tiny()
    latents = sample_latents(generator, [5, 6, 7])
    together = generator.synthesize(latents.ws, noise=latents.noise)
    alone = generator.synthesize(latents.ws[1:2], noise=NoiseSeed((6,)))
    torch.testing.assert_close(together.image[1:2], alone.image, rtol=1e-4, atol=1e-4)
    other = generator.synthesize(latents.ws[1:2], noise=NoiseSeed((7,)))
    assert not torch.allclose(alone.image, other.image, atol=1e-3)


def test_noise_modes() -> None:
    generator = build_tiny()
    ws = sample_latents(generator, [1]).ws
    none = generator.synthesize(ws, noise="none")
    zeros = [torch.zeros(1, 1, level.height, level.width) for level in generator.feature_levels]
    torch.testing.assert_close(generator.synthesize(ws, noise=zeros).image, none.image)
    assert not torch.allclose(generator.synthesize(ws).image, none.image)
    with pytest.raises(UsageError, match="one per synthesis layer"):
        generator.synthesize(ws, noise=zeros[:-1])
    with pytest.raises(UsageError, match="need as many seeds"):
        generator.synthesize(ws, noise=NoiseSeed((1, 2)))
    with pytest.raises(UsageError, match=r"layer 2 must be \[1 or 1, 1, 8, 8\], got \[1, 1, 4, 4"):
        generator.synthesize(ws, noise=[*zeros[:2], zeros[0], *zeros[3:]])


def test_silent_layers_draw_no_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = build_tiny()
    generator.synthesis.layers[3].noise_strength.zero_()
    drawn: list[int] = []
    draw = NoiseSeed.draw
    monkeypatch.setattr(
        NoiseSeed, "draw", lambda self, layer, h, w: drawn.append(layer) or draw(self, layer, h, w)
    )
    generator.synthesize(torch.zeros(1, 6, 5), noise=NoiseSeed((0,)))
    assert drawn == [0, 1, 2, 4, 5]


def test_labels_join_z_before_it_is_normalised() -> None:
    generator = build_tiny(label_dim=3)
    z, labels = torch.randn(2, 6), torch.eye(3)[[2, 0]]
    embed = generator.mapping.embed
    assert embed is not None
    joined = torch.cat([z, embed[[2, 0]]], dim=1)
    x = joined / joined.square().mean(dim=1, keepdim=True).sqrt()
    for i in range(2):
        layer = generator.mapping.get_submodule(f"fc{i}")
        weight, bias = layer.weight, layer.bias
        assert isinstance(weight, Tensor)
        assert isinstance(bias, Tensor)
        he = (2 / weight.shape[1]) ** 0.5
        x = F.leaky_relu(x @ weight.t() * (he * 0.01) + bias * 0.01, 0.2)
    torch.testing.assert_close(generator.map(z, labels)[:, 3], x, rtol=1e-4, atol=1e-5)
    with pytest.raises(UsageError, match=r"class_labels must be \[2, 3\], got none"):
        generator.map(z)


def test_native_file_brings_back_the_same_generator(tmp_path: Path) -> None:
    generator = build_tiny(tap="adain", truncation_cutoff=3, norm_epsilon=1e-5)
    path = tmp_path / "g.safetensors"
    save_generator(path, generator, card=WeightCard(title="tiny"))
    loaded = load_generator(path)
    assert isinstance(loaded, StyleGAN1)
    assert loaded.config == generator.config
    latents = sample_latents(generator, [3])
    again = sample_latents(loaded, [3])
    assert torch.equal(latents.ws, again.ws)
    assert torch.equal(generator.synthesize(latents.ws).image, loaded.synthesize(latents.ws).image)


def test_gradients_reach_every_weight() -> None:
    generator = build_tiny().requires_grad_(True)
    synthesis = generator.synthesize(generator.map(torch.randn(2, 6)))
    synthesis.image.square().sum().backward()
    silent = [n for n, p in generator.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": 48}, "power of two"),
        ({"resolution": 8, "tap": "both"}, "unknown tap 'both'"),
        ({"resolution": 8, "truncation_cutoff": -1}, "got -1"),
    ],
)
def test_settings_out_of_range_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        StyleGAN1Config(**changes)


def test_wrong_latents_are_named() -> None:
    generator = build_tiny()
    with pytest.raises(UsageError, match=r"z must be \[N, 6\]"):
        generator.map(torch.zeros(2, 5))
    with pytest.raises(UsageError, match=r"ws must be \[N, 6, 5\]"):
        generator.synthesize(torch.zeros(2, 5, 5))
