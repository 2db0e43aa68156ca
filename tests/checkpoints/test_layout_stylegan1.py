"""DatasetGAN's StyleGAN1 layout: settings from shapes, the mean latent, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from datasetgan.checkpoints.layouts.datasetgan_stylegan1 import LAYOUT
from datasetgan.errors import CheckpointError
from datasetgan.generators import StyleGAN1, stylegan1_reference
from datasetgan.runtime import Runtime

GOLDEN = Path(__file__).parent.parent / "golden" / "stylegan1_64.safetensors"
BLOCK = "g_synthesis.blocks.8x8"


def random_state_dict(*, resolution: int = 16, z_dim: int = 6, w_dim: int = 5) -> dict[str, Tensor]:
    """A state dict under DatasetGAN's names, written down one by one."""
    draw = torch.Generator().manual_seed(resolution)
    taps = torch.tensor([1.0, 2.0, 1.0]) / 4

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw)

    tensors = {
        "g_mapping.dense0.weight": normal(w_dim, z_dim) * 100,
        "g_mapping.dense0.bias": normal(w_dim) * 10,
        "g_mapping.dense1.weight": normal(w_dim, w_dim) * 100,
        "g_mapping.dense1.bias": normal(w_dim) * 10,
    }
    size, before = 4, 8
    while size <= resolution:
        block = f"g_synthesis.blocks.{size}x{size}"
        channels = min(64 // size, 8)
        if size == 4:
            tensors[f"{block}.const"] = normal(1, channels, 4, 4)
            tensors[f"{block}.bias"] = normal(channels)
        else:
            tensors[f"{block}.conv0_up.weight"] = normal(channels, before, 3, 3)
            tensors[f"{block}.conv0_up.bias"] = normal(channels)
            tensors[f"{block}.conv0_up.intermediate.kernel"] = torch.outer(taps, taps)[None, None]
        conv = "conv" if size == 4 else "conv1"
        tensors[f"{block}.{conv}.weight"] = normal(channels, channels, 3, 3)
        tensors[f"{block}.{conv}.bias"] = normal(channels)
        for epilogue in ("epi1", "epi2"):
            tensors[f"{block}.{epilogue}.top_epi.noise.weight"] = normal(channels)
            tensors[f"{block}.{epilogue}.style_mod.lin.weight"] = normal(2 * channels, w_dim)
            tensors[f"{block}.{epilogue}.style_mod.lin.bias"] = normal(2 * channels)
        size, before = 2 * size, channels
    tensors["g_synthesis.torgb.weight"] = normal(3, before, 1, 1)
    tensors["g_synthesis.torgb.bias"] = normal(3)
    return tensors


def build(tensors: dict[str, Tensor], **config: Any) -> StyleGAN1:
    generator = LAYOUT.build(tensors, config)
    assert isinstance(generator, StyleGAN1)
    return generator.place(Runtime())


def test_settings_are_those_of_the_golden_file() -> None:
    with safe_open(GOLDEN, "pt") as file:
        stated = json.loads(file.metadata()["init_kwargs"])
        tensors = {
            key.removeprefix("param."): file.get_tensor(key)
            for key in file.keys()  # noqa: SIM118
            if key.startswith("param.")
        }
    assert LAYOUT.recognizes(tensors)
    inferred = LAYOUT.infer_config(tensors)
    assert inferred["resolution"] == stated["img_resolution"]
    assert inferred["fmap_base"] == stated["fmap_base"]
    assert (
        LAYOUT.build(tensors, inferred).config
        == LAYOUT.build(tensors, stated | {"fmap_max": inferred["fmap_max"]}).config
    )


@pytest.mark.parametrize("fused_scale", ["auto", False])
def test_a_small_network_is_its_literal_twin(fused_scale: Any) -> None:
    tensors = random_state_dict()
    generator = build(tensors, fused_scale=fused_scale)
    z = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    w = stylegan1_reference.map_latents(tensors, z)
    ws = generator.map(z)
    torch.testing.assert_close(ws, w[:, None].expand(-1, 6, -1), rtol=1e-4, atol=1e-5)
    noise = [layer.noise_const[None, None] for layer in generator.synthesis.layers]
    image, _ = stylegan1_reference.synthesize(tensors, ws, noise)
    torch.testing.assert_close(generator.synthesize(ws).image, image, rtol=1e-3, atol=1e-3)
    fused = build(tensors, fused_scale=True).synthesize(ws).image
    assert (fused - image).abs().max() > 0.1


def test_constant_noise_is_the_same_at_every_import() -> None:
    first, second = build(random_state_dict()), build(random_state_dict())
    for one, other in zip(first.synthesis.layers, second.synthesis.layers, strict=True):
        assert torch.equal(one.noise_const, other.noise_const)
    last = first.synthesis.layers[-1].noise_const
    assert last.shape == (16, 16)
    assert 0.8 < last.std() < 1.2


@pytest.mark.parametrize("shape", [(5,), (1, 5), (6, 5), (18, 5)])
def test_mean_latent_in_every_published_shape(shape: tuple[int, ...]) -> None:
    mean = torch.arange(5.0).expand(shape)
    generator = build({**random_state_dict(), "avg_latent": mean})
    assert torch.equal(generator.mapping.w_avg, torch.arange(5.0).expand(6, 5))


@pytest.mark.parametrize("shape", [(4,), (5, 5), (18, 6), (1, 6, 5)])
def test_mean_latent_of_another_generator(shape: tuple[int, ...]) -> None:
    with pytest.raises(CheckpointError, match=r"expected \[5\] or \[6 or more, 5\]"):
        build({**random_state_dict(), "avg_latent": torch.zeros(shape)})


def test_missing_mean_latent_is_the_mean_of_mapped_latents() -> None:
    tensors = random_state_dict()
    generator = build(tensors)
    z = torch.randn(40_000, 6, generator=torch.Generator().manual_seed(3))
    w = stylegan1_reference.map_latents(tensors, z)
    error = (generator.mapping.w_avg[2] - w.mean(dim=0)) / w.std(dim=0)
    assert error.abs().max() < 0.06  # five deviations of a mean over 8000


def changed(name: str, tensor: Tensor | None) -> dict[str, Tensor]:
    tensors = random_state_dict()
    tensors.pop(name, None)
    return tensors if tensor is None else tensors | {name: tensor}


@pytest.mark.parametrize(
    ("tensors", "config", "message"),
    [
        (changed(f"{BLOCK}.conv1.bias", None), {}, r"missing: g_synthesis\.blocks\.8x8\.conv1\.b"),
        (changed("d.weight", torch.zeros(1)), {}, r"unexpected: d\.weight"),
        (changed(f"{BLOCK}.conv1.weight", torch.zeros(3)), {}, r"b8\.conv1\.weight is \[3\], exp"),
        (changed(f"{BLOCK}.conv0_up.weight", torch.zeros(3)), {}, r"b8\.conv0\.weight is \[3\]"),
        (changed("g_synthesis.blocks.4x4.const", torch.zeros(8)), {}, r"b4\.const is \[8\]"),
        (
            changed(f"{BLOCK}.conv0_up.intermediate.kernel", torch.full((1, 1, 3, 3), 1 / 9)),
            {},
            r"not the filter \[1, 2, 1\]",
        ),
        (changed(f"{BLOCK}.epi1.top_epi.noise.weight", None), {}, "blocks of 4, 16 px"),
        (changed("g_mapping.dense0.weight", torch.zeros(3)), {}, "expected 2 axes"),
        (changed("g_synthesis.torgb.weight", None), {}, r"torgb\.weight is missing"),
        (random_state_dict(), {"img_resolution": 32}, "said to be 32, the tensors say 16"),
        (random_state_dict(), {"fmap_base": 64}, "give 8 channels at 16 px, the tensors have 4"),
        (random_state_dict(), {"fmap_max": 10**30, "fmap_base": 10**30}, "the tensors have 8"),
        (random_state_dict(), {"fmap_base": "64"}, "fmap_base must be a whole number"),
        (random_state_dict(), {"mapping_layers": 8}, "said to be 8, the tensors say 2"),
        (random_state_dict(), {"mapping_fmaps": 64}, "mapping_fmaps is said to be 64"),
        (random_state_dict(), {"z_dim": 6, "latent_size": 7}, "contradict each other"),
        (random_state_dict(), {"use_pixel_norm": True}, "use_pixel_norm is True, which is not"),
        (random_state_dict(), {"fused_scale": "never"}, "expected 'auto' or True or False"),
        (random_state_dict(), {"blur_filter": [1, 3, 3, 1]}, "blur_filter"),
        (random_state_dict(), {"attention": True}, "not supported: attention"),
        (random_state_dict(), {"synthesis_kwargs": 3}, "synthesis_kwargs must hold settings"),
        (random_state_dict(), {"tap": "both"}, "tap"),
        ({"g_mapping.dense0.weight": torch.zeros(2, 2)}, {}, "lacks"),
    ],
)
def test_what_does_not_fit_is_named(
    tensors: dict[str, Tensor], config: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        LAYOUT.build(tensors, config)


def test_names_that_claim_a_giant_cost_nothing() -> None:
    tensors = random_state_dict()
    for exponent in range(5, 21):
        name = f"g_synthesis.blocks.{2**exponent}x{2**exponent}.epi1.top_epi.noise.weight"
        tensors[name] = torch.zeros(1)
    with pytest.raises(CheckpointError, match="4096 px at most"):
        LAYOUT.build(tensors, {})


def test_nvidias_own_settings_are_read_as_they_stand() -> None:
    generator = build(
        random_state_dict(),
        num_channels=3,
        resolution=16,
        label_size=0,
        truncation_psi=0.7,
        truncation_cutoff=7,
        dlatent_avg_beta=0.995,
        blur_filter=(1, 2, 1),
        mapping_kwargs={"num_layers": 2},
        tap="adain",
    )
    assert generator.config.truncation_cutoff == 7
    assert generator.config.tap == "adain"
    assert generator.config.norm_epsilon == 1e-5
