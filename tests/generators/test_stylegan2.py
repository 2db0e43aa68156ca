"""StyleGAN2 against independent outputs, and the promises of the generator contract."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from datasetgan.checkpoints.importers import import_state_dict
from datasetgan.errors import UsageError
from datasetgan.generators import NoiseSeed, StyleGAN2, StyleGAN2Config, sample_latents
from datasetgan.runtime import Runtime

GOLDEN = Path(__file__).parent.parent / "golden"
NAMES = ["stylegan2_64", "stylegan2_32_conditional_resnet"]


def relative(actual: Tensor, expected: Tensor) -> float:
    return ((actual.float() - expected).abs().max() / expected.abs().max()).item()


def read_golden(name: str) -> tuple[StyleGAN2, dict[str, Tensor]]:
    with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
        config: dict[str, Any] = json.loads(file.metadata()["init_kwargs"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    params = {k.removeprefix("param."): v for k, v in tensors.items() if k.startswith("param.")}
    generator = import_state_dict(params, layout="nvidia-stylegan2", config=config)
    return generator.place(Runtime()), tensors


@pytest.mark.parametrize("name", NAMES)
class TestGolden:
    def test_mapping_and_truncation(self, name: str) -> None:
        generator, golden = read_golden(name)
        labels = golden.get("c")
        ws = generator.map(golden["z"], labels)
        assert relative(ws[:, 0], golden["w"]) < 1e-4
        truncated = generator.map(golden["z"], labels, truncation_psi=0.7)
        assert relative(truncated, golden["ws_truncated"]) < 1e-4

    def test_features_and_image(self, name: str) -> None:
        generator, golden = read_golden(name)
        synthesis = generator.synthesize(golden["ws_truncated"])
        assert relative(synthesis.image, golden["image"]) < 1e-4
        expected = [golden[k] for k in sorted(golden) if k.startswith("feature.")]
        assert len(expected) == len(synthesis.features.levels) == len(generator.feature_levels)
        for (level, feature), wanted in zip(synthesis.features.items(), expected, strict=True):
            assert relative(feature, wanted) < 1e-4, level.name
            assert feature.shape[1:] == (level.channels, level.height, level.width)

    @pytest.mark.parametrize(("precision", "bound"), [("bfloat16", 0.08), ("float16", 0.01)])
    def test_half_precision_stays_close(self, name: str, precision: Any, bound: float) -> None:
        generator, golden = read_golden(name)
        generator.place(Runtime(precision=precision))
        synthesis = generator.synthesize(golden["ws_truncated"])
        assert synthesis.image.dtype == torch.float32
        assert {f.dtype for f in synthesis.features.tensors} == {Runtime(precision=precision).dtype}
        assert relative(synthesis.image, golden["image"]) < bound


def test_cutoff_truncates_the_first_rows_only(tiny_generator: StyleGAN2) -> None:
    z = torch.randn(3, tiny_generator.z_dim)
    tiny_generator.mapping.w_avg.normal_()
    plain = tiny_generator.map(z)
    cut = tiny_generator.map(z, truncation_psi=0.5, truncation_cutoff=2)
    assert torch.equal(cut[:, 2:], plain[:, 2:])
    half_way = (plain[:, :2] + tiny_generator.mapping.w_avg) / 2
    torch.testing.assert_close(cut[:, :2], half_way)
    everything = tiny_generator.map(z, truncation_psi=0.0)
    torch.testing.assert_close(everything, tiny_generator.mapping.w_avg.expand_as(everything))


def test_float16_survives_large_weights_and_styles(tiny_generator: StyleGAN2) -> None:
    # Unscaled products of these would exceed float16's largest number.
    with torch.no_grad():
        for name, parameter in tiny_generator.named_parameters():
            if name.endswith((".conv0.weight", ".conv1.weight")):
                parameter.mul_(1000)
    ws = tiny_generator.map(torch.randn(2, tiny_generator.z_dim)) * 10
    expected = tiny_generator.synthesize(ws)
    half = tiny_generator.place(Runtime(precision="float16")).synthesize(ws)
    for wanted, feature in zip(expected.features.tensors, half.features.tensors, strict=True):
        assert feature.isfinite().all()
        assert relative(feature, wanted) < 0.05


def test_noise_of_an_image_is_its_own(tiny_generator: StyleGAN2) -> None:
    latents = sample_latents(tiny_generator, [5, 6, 7])
    together = tiny_generator.synthesize(latents.ws, noise=latents.noise)
    alone = tiny_generator.synthesize(latents.ws[1:2], noise=NoiseSeed((6,)))
    torch.testing.assert_close(together.image[1:2], alone.image, rtol=1e-4, atol=1e-5)
    other = tiny_generator.synthesize(latents.ws[1:2], noise=NoiseSeed((7,)))
    assert not torch.allclose(alone.image, other.image, atol=1e-3)


def test_noise_modes(tiny_generator: StyleGAN2) -> None:
    ws = sample_latents(tiny_generator, [1]).ws
    none = tiny_generator.synthesize(ws, noise="none")
    zeros = [
        torch.zeros(1, 1, level.height, level.width) for level in tiny_generator.feature_levels
    ]
    torch.testing.assert_close(tiny_generator.synthesize(ws, noise=zeros).image, none.image)
    assert not torch.allclose(tiny_generator.synthesize(ws).image, none.image)
    with pytest.raises(UsageError, match="one per synthesis layer"):
        tiny_generator.synthesize(ws, noise=zeros[:-1])
    with pytest.raises(UsageError, match="need as many seeds"):
        tiny_generator.synthesize(ws, noise=NoiseSeed((1, 2)))


def test_samples_do_not_depend_on_their_batch(tiny_generator: StyleGAN2) -> None:
    together = sample_latents(tiny_generator, [3, 4, 9])
    alone = sample_latents(tiny_generator, [9])
    torch.testing.assert_close(together.ws[2:], alone.ws)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(2, 9),), r"z must be \[N, 8\]"),
        ((torch.zeros(2, 8), torch.zeros(2, 1)), "not class-conditional"),
    ],
)
def test_wrong_latents_are_named(
    tiny_generator: StyleGAN2, arguments: tuple[Tensor, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        tiny_generator.map(*arguments)


def test_a_conditional_generator_asks_for_labels() -> None:
    config = StyleGAN2Config(resolution=8, z_dim=4, w_dim=4, label_dim=3, channel_base=64)
    generator = StyleGAN2(config).place(Runtime())
    with pytest.raises(UsageError, match=r"class_labels must be \[2, 3\], got none"):
        generator.map(torch.zeros(2, 4))
    ws = generator.map(torch.ones(2, 4), torch.eye(3)[:2])
    assert not torch.allclose(ws[0], ws[1])


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_every_architecture_synthesizes(architecture: Any) -> None:
    config = StyleGAN2Config(
        resolution=16, z_dim=4, w_dim=4, channel_base=64, architecture=architecture
    )
    generator = StyleGAN2(config).place(Runtime())
    synthesis = generator.synthesize(generator.map(torch.randn(2, 4)))
    assert synthesis.image.shape == (2, 3, 16, 16)
    torgbs = [name for name in generator.state_dict() if name.endswith("torgb.weight")]
    assert len(torgbs) == (3 if architecture == "skip" else 1)


def test_orig_is_resnet_without_shortcuts() -> None:
    # Two routes to one function: a residual network whose shortcuts are silent
    # differs from "orig" by the factor sqrt(1/2) that each block carries.
    torch.manual_seed(0)
    base = StyleGAN2Config(resolution=8, z_dim=4, w_dim=4, channel_base=64, architecture="resnet")
    residual = StyleGAN2(base).place(Runtime())
    residual.synthesis.b8.skip.weight.zero_()  # type: ignore[union-attr, operator]
    plain_config = StyleGAN2Config(
        resolution=8, z_dim=4, w_dim=4, channel_base=64, architecture="orig"
    )
    plain = StyleGAN2(plain_config).place(Runtime())
    state = {k: v for k, v in residual.state_dict().items() if "skip" not in k}
    plain.load_state_dict(state)
    ws = plain.map(torch.randn(2, 4))
    scaled = residual.synthesize(ws).features.tensors[-1]
    torch.testing.assert_close(plain.synthesize(ws).features.tensors[-1] * 0.5**0.5, scaled)


def test_resolution_must_be_a_power_of_two() -> None:
    with pytest.raises(UsageError, match="power of two"):
        StyleGAN2Config(resolution=48)
