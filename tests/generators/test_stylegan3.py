"""StyleGAN3 against independent outputs, its literal twin, and what alias-free promises."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from datasetgan.checkpoints.generator_files import load_generator, save_generator
from datasetgan.checkpoints.layouts.nvidia_stylegan3 import LAYOUT
from datasetgan.checkpoints.native import WeightCard
from datasetgan.errors import UsageError
from datasetgan.generators import NoiseSeed, StyleGAN3, StyleGAN3Config, sample_latents
from datasetgan.generators.stylegan3_reference import fourier_features, synthesize
from datasetgan.generators.stylegan3_schedule import plan_layers
from datasetgan.runtime import Runtime

GOLDEN = Path(__file__).parent.parent / "golden"
SMALL = StyleGAN3Config(
    resolution=32, z_dim=8, w_dim=8, channel_base=256, channel_max=6, num_layers=5, margin=4
)
RADIAL = replace(SMALL, conv_kernel=1, down_filter="radial")


def relative(actual: Tensor, expected: Tensor) -> float:
    return ((actual.float() - expected).abs().max() / expected.abs().max()).item()


def build(config: StyleGAN3Config, *, seed: int = 0) -> StyleGAN3:
    torch.manual_seed(seed)
    generator = StyleGAN3(config)
    with torch.no_grad():  # every parameter takes part
        for layer in generator.synthesis.layers:
            layer.bias.normal_(0, 0.3)
            layer.magnitude_ema.fill_(0.5)
        generator.synthesis.input.affine.weight.normal_(0, 0.5)
        generator.mapping.w_avg.normal_()
    return generator.place(Runtime())


def read_golden(name: str) -> tuple[StyleGAN3, dict[str, Tensor]]:
    with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
        config: dict[str, Any] = json.loads(file.metadata()["init_kwargs"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    params = {k.removeprefix("param."): v for k, v in tensors.items() if k.startswith("param.")}
    generator = LAYOUT.build(params, config)
    assert isinstance(generator, StyleGAN3)
    return generator.place(Runtime()), tensors


@pytest.mark.parametrize("name", ["stylegan3_t_64", "stylegan3_r_64"])
class TestGolden:
    def test_mapping_and_truncation(self, name: str) -> None:
        generator, golden = read_golden(name)
        ws = generator.map(golden["z"])
        assert relative(ws[:, 0], golden["w"]) < 1e-4
        truncated = generator.map(golden["z"], truncation_psi=0.7)
        assert relative(truncated, golden["ws_truncated"]) < 1e-4

    def test_features_and_image(self, name: str) -> None:
        generator, golden = read_golden(name)
        synthesis = generator.synthesize(golden["ws_truncated"])
        assert relative(synthesis.image, golden["image"]) < 1e-4
        expected = [golden[k] for k in sorted(golden) if k.startswith("feature.")]
        assert len(expected) == len(generator.feature_levels)
        for (level, feature), wanted in zip(synthesis.features.items(), expected, strict=True):
            # The stored features are the first channels only.
            assert relative(feature[:, : wanted.shape[1]], wanted) < 1e-4, level.name
            assert feature.shape[1:] == (level.channels, level.height, level.width)

    @pytest.mark.parametrize(("precision", "bound"), [("bfloat16", 0.1), ("float16", 0.01)])
    def test_half_precision_stays_close(self, name: str, precision: Any, bound: float) -> None:
        generator, golden = read_golden(name)
        half = generator.place(Runtime(precision=precision))
        synthesis = half.synthesize(golden["ws_truncated"])
        assert {f.dtype for f in synthesis.features.tensors} == {Runtime(precision=precision).dtype}
        assert synthesis.image.dtype == torch.float32
        assert relative(synthesis.image, golden["image"]) < bound


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        RADIAL,
        replace(SMALL, num_critical=1, margin=3, output_scale=0.5, image_channels=1),
        replace(SMALL, activation_upsampling=4, filter_size=3, conv_clamp=0.5),
        replace(RADIAL, resolution=64, first_cutoff=1.5, first_stopband=6.0, conv_kernel=5),
        replace(SMALL, num_layers=3, last_stopband_rel=1.6, conv_clamp=None),
    ],
)
def test_synthesis_is_its_literal_twin(config: StyleGAN3Config) -> None:
    generator = build(config)
    generator.synthesis.input.transform.copy_(
        torch.tensor([[0.9, -0.3, 0.1], [0.3, 0.9, -0.2], [0, 0, 1]])
    )
    ws = sample_latents(generator, [1, 2]).ws
    actual = generator.synthesize(ws)
    image, features = synthesize(generator, ws)
    assert relative(actual.image, image) < 1e-5
    for (level, feature), wanted in zip(actual.features.items(), features, strict=True):
        assert relative(feature, wanted) < 1e-5, level.name


def test_schedule_of_the_published_256_px_network() -> None:
    # Figures of the published StyleGAN3-T at 256 px: its layers carry size and channels.
    names = [plan.name for plan in plan_layers(StyleGAN3Config(resolution=256))]
    assert names[:3] == ["L0_36_512", "L1_36_512", "L2_36_512"]
    assert names[-3:] == ["L12_276_128", "L13_256_128", "L14_256_3"]
    rates = [plan.sampling_rate for plan in plan_layers(StyleGAN3Config(resolution=256))]
    assert rates == sorted(rates)
    assert rates[-1] == 256


def test_margins_are_what_lies_beyond_the_picture() -> None:
    generator = build(SMALL)
    for level, layer in zip(generator.feature_levels, generator.synthesis.layers, strict=True):
        assert level.width - 2 * level.margin == layer.plan.sampling_rate
    assert [level.margin for level in generator.feature_levels] == [4, 4, 4, 4, 0, 0]


@pytest.mark.parametrize("config", [SMALL, RADIAL])
def test_the_mirrored_scene_has_mirrored_features(config: StyleGAN3Config) -> None:
    # Margins are the same on all sides and every level's centre is the picture's:
    # mirrored waves and mirrored kernels must give the mirror image of every canvas.
    generator, mirrored = build(config), build(config)
    waves = mirrored.synthesis.input
    waves.affine.weight.zero_()
    generator.synthesis.input.affine.weight.zero_()
    waves.freqs[:, 0].neg_()
    for layer in mirrored.synthesis.layers:
        layer.weight.copy_(layer.weight.flip(3))
    ws = sample_latents(generator, [3]).ws
    plain, other = generator.synthesize(ws), mirrored.synthesize(ws)
    for (level, feature), seen in zip(plain.features.items(), other.features.tensors, strict=True):
        assert relative(seen.flip(3), feature) < 1e-4, level.name


def test_moving_the_scene_moves_every_level_by_the_same_way() -> None:
    # Alias-free: a shift by whole samples of the coarsest grid shifts each canvas by
    # the samples that this makes on its own grid.
    config = replace(SMALL, resolution=64, margin=10, num_layers=7, filter_size=8)
    generator = build(config)
    generator.synthesis.input.affine.weight.zero_()
    coarse = generator.synthesis.layers[0].plan.sampling_rate
    ws = sample_latents(generator, [4]).ws
    plain = generator.synthesize(ws)
    generator.synthesis.input.transform[0, 2] = 1 / coarse  # one sample of the first level
    moved = generator.synthesize(ws)
    for layer, before, after in zip(
        generator.synthesis.layers, plain.features.tensors, moved.features.tensors, strict=True
    ):
        step = layer.plan.sampling_rate // coarse
        inside = slice(before.shape[3] // 4, -before.shape[3] // 4)  # borders differ by design
        wanted = before.roll(-step, dims=3)[:, :, inside, inside]
        error = (after[:, :, inside, inside] - wanted).abs().mean()
        still = (before[:, :, inside, inside] - wanted).abs().mean()
        assert error < 0.1 * still, layer.plan.name


def test_fourier_features_are_waves_in_float64() -> None:
    module = build(SMALL).synthesis.input
    module.transform.copy_(torch.tensor([[1.2, 0.4, 0.3], [-0.4, 1.2, 0.1], [0, 0, 1]]))
    w = torch.randn(3, SMALL.w_dim)
    torch.testing.assert_close(module(w), fourier_features(module, w), rtol=0, atol=1e-5)


def test_gradients_reach_the_latent() -> None:
    generator = build(SMALL)
    ws = sample_latents(generator, [5]).ws.clone().double().requires_grad_()
    generator.double()
    generator.compute_dtype = torch.float64
    # `synthesize` works in float32 at its edges; the network below it is asked in float64.
    direction = torch.randn(1, generator.num_ws, generator.w_dim, dtype=torch.float64)

    def value(ws: Tensor) -> Tensor:
        return generator.synthesis(ws, [], torch.float64)[1][-1].square().mean()

    (gradient,) = torch.autograd.grad(value(ws), ws)
    h = 1e-5
    slope = (value(ws + h * direction) - value(ws - h * direction)) / (2 * h)
    assert (gradient * direction).sum().item() == pytest.approx(slope.item(), rel=1e-4)


def test_class_labels_go_through_the_mapping() -> None:
    generator = build(replace(SMALL, label_dim=3))
    with pytest.raises(UsageError, match=r"class_labels must be \[2, 3\], got none"):
        generator.map(torch.zeros(2, 8))
    ws = generator.map(torch.ones(2, 8), torch.eye(3)[:2])
    assert not torch.allclose(ws[0], ws[1])


def test_cutoff_truncates_the_first_rows_only() -> None:
    generator = build(SMALL)
    z = torch.randn(2, 8)
    plain = generator.map(z)
    cut = generator.map(z, truncation_psi=0.5, truncation_cutoff=2)
    assert torch.equal(cut[:, 2:], plain[:, 2:])
    torch.testing.assert_close(cut[:, :2], (plain[:, :2] + generator.mapping.w_avg) / 2)


def test_every_kind_of_noise_gives_the_same_image() -> None:
    generator = build(SMALL)
    ws = sample_latents(generator, [1]).ws
    image = generator.synthesize(ws).image
    for noise in ("none", NoiseSeed((1,)), []):
        assert torch.equal(generator.synthesize(ws, noise=noise).image, image)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no noise inputs"):
        generator.synthesize(ws, noise=[torch.zeros(1, 1, 4, 4)])
    with pytest.raises(UsageError, match="need as many seeds"):
        generator.synthesize(ws, noise=NoiseSeed((1, 2)))


def test_float16_survives_large_weights_and_styles() -> None:
    generator = build(SMALL)
    with torch.no_grad():
        for layer in generator.synthesis.layers[:-1]:
            layer.weight.mul_(1000)
    ws = generator.map(torch.randn(2, 8)) * 10
    expected = generator.synthesize(ws)
    half = generator.place(Runtime(precision="float16")).synthesize(ws)
    for wanted, feature in zip(
        expected.features.tensors[:-1], half.features.tensors[:-1], strict=True
    ):
        assert feature.isfinite().all()
        assert relative(feature, wanted) < 0.05


def test_a_native_checkpoint_holds_weights_only(tmp_path: Path) -> None:
    generator = build(RADIAL)
    path = tmp_path / "g.safetensors"
    save_generator(path, generator, card=WeightCard(title="small"))
    loaded = load_generator(path)
    assert isinstance(loaded, StyleGAN3)
    assert loaded.config == RADIAL
    assert not [name for name in loaded.state_dict() if "filter" in name]
    ws = sample_latents(generator, [1]).ws
    assert torch.equal(loaded.synthesize(ws).image, generator.synthesize(ws).image)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": 48}, "power of two from 16 on, got 48"),
        ({"num_critical": 0}, "num_critical=0 of num_layers=5"),
        ({"num_layers": 2, "num_critical": 2}, "num_critical=2 of num_layers=2"),
        ({"first_cutoff": 5.0}, "first_cutoff < first_stopband"),
        ({"last_stopband_rel": 1.0}, "last_stopband_rel above 1"),
        ({"channel_base": 31}, "channel_base must be at least 32"),
        ({"conv_kernel": 2}, "odd conv_kernel"),
        ({"down_filter": "radial", "filter_size": 3, "activation_upsampling": 3}, "even number"),
    ],
)
def test_settings_out_of_range_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(SMALL, **changes)
