"""What every backbone promises. A new one is three lines: its name and a small network."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from datasetgan.checkpoints.generator_files import load_generator, save_generator
from datasetgan.checkpoints.native import WeightCard
from datasetgan.errors import UsageError
from datasetgan.generators import Generator, NoiseSeed, StyleGAN2, StyleGAN2Config, sample_latents
from datasetgan.generators.stylegan1 import StyleGAN1, StyleGAN1Config
from datasetgan.generators.stylegan3 import StyleGAN3
from datasetgan.generators.stylegan3_schedule import StyleGAN3Config
from datasetgan.runtime import Runtime

BACKBONES: dict[str, Callable[[int], Generator]] = {
    "stylegan1": lambda label_dim: StyleGAN1(
        StyleGAN1Config(16, 6, 8, label_dim, mapping_layers=2, channel_base=128, channel_max=12)
    ),
    "stylegan2": lambda label_dim: StyleGAN2(
        StyleGAN2Config(16, 6, 8, label_dim, mapping_layers=2, channel_base=128, channel_max=12)
    ),
    "stylegan3": lambda label_dim: StyleGAN3(
        StyleGAN3Config(16, 6, 8, label_dim, channel_base=128, channel_max=12, num_layers=4)
    ),
}


@pytest.fixture(params=BACKBONES)
def make(request: pytest.FixtureRequest) -> Callable[[int], Generator]:
    """Build the backbone with random weights everywhere, so that no input is without effect."""

    def random_backbone(label_dim: int = 0) -> Generator:
        torch.manual_seed(0)
        generator = BACKBONES[request.param](label_dim)
        with torch.no_grad():
            for parameter in generator.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
            generator.get_buffer("mapping.w_avg").normal_()
        return generator.place(Runtime())

    return random_backbone


@pytest.fixture
def generator(make: Callable[[int], Generator]) -> Generator:
    return make(0)


@pytest.fixture
def z(generator: Generator) -> torch.Tensor:
    return torch.randn(3, generator.z_dim, generator=torch.Generator().manual_seed(1))


def test_shapes_are_those_declared(generator: Generator, z: torch.Tensor) -> None:
    assert (generator.z_dim, generator.w_dim, generator.label_dim) == (6, 8, 0)
    assert (generator.resolution, generator.image_channels) == (16, 3)
    ws = generator.map(z)
    assert ws.shape == (3, generator.num_ws, 8)
    assert ws.dtype == torch.float32
    synthesis = generator.synthesize(ws)
    assert synthesis.image.shape == (3, 3, 16, 16)
    assert synthesis.image.dtype == torch.float32
    assert synthesis.features.levels == generator.feature_levels
    for level, tensor in synthesis.features.items():
        assert tensor.shape == (3, level.channels, level.height, level.width)


def test_levels_run_from_coarse_to_fine_and_cover_the_picture(generator: Generator) -> None:
    levels = generator.feature_levels
    assert len({level.name for level in levels}) == len(levels)
    sizes = [level.height - 2 * level.margin for level in levels]
    assert sizes == [level.width - 2 * level.margin for level in levels]
    assert all(coarse <= fine for coarse, fine in pairwise(sizes))
    assert sizes[-1] == generator.resolution
    assert min(sizes) >= 1


def test_truncation_leads_to_the_mean_latent(generator: Generator, z: torch.Tensor) -> None:
    rows = generator.num_ws
    plain = generator.map(z)
    mean = generator.map(z, truncation_psi=0.0, truncation_cutoff=rows)
    torch.testing.assert_close(mean, mean[:1].expand_as(mean))
    half = generator.map(z, truncation_psi=0.5, truncation_cutoff=rows)
    torch.testing.assert_close(half, (plain + mean) / 2)
    cut = generator.map(z, truncation_psi=0.5, truncation_cutoff=2)
    torch.testing.assert_close(cut[:, :2], half[:, :2])
    assert torch.equal(cut[:, 2:], plain[:, 2:])
    assert torch.equal(generator.map(z, truncation_psi=1.0), plain)


def test_an_image_does_not_depend_on_its_neighbours(generator: Generator) -> None:
    latents = sample_latents(generator, [3, 4, 9])
    together = generator.synthesize(latents.ws, noise=latents.noise)
    own = sample_latents(generator, [4])
    alone = generator.synthesize(own.ws, noise=own.noise)
    torch.testing.assert_close(together.image[1:2], alone.image, rtol=1e-4, atol=1e-4)
    for tensor, single in zip(together.features.tensors, alone.features.tensors, strict=True):
        torch.testing.assert_close(tensor[1:2], single, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("noise", ["const", "none", NoiseSeed((1, 2, 3))])
def test_synthesis_repeats_itself(generator: Generator, z: torch.Tensor, noise: object) -> None:
    ws = generator.map(z)
    first = generator.synthesize(ws, noise=noise)  # type: ignore[arg-type]
    second = generator.synthesize(ws, noise=noise)  # type: ignore[arg-type]
    assert torch.equal(first.image, second.image)
    assert not torch.allclose(first.image[0], first.image[1], atol=1e-3)


def test_every_row_and_every_level_take_part(generator: Generator, z: torch.Tensor) -> None:
    ws = generator.map(z[:1]).requires_grad_()
    synthesis = generator.synthesize(ws)

    def reach(tensor: torch.Tensor) -> torch.Tensor:
        """Say by how much each row of ws moves a tensor."""
        (gradient,) = torch.autograd.grad(tensor.square().sum(), ws, retain_graph=True)
        assert gradient.isfinite().all()
        return gradient.abs().sum(dim=(0, 2))

    assert (reach(synthesis.image) > 0).all()
    for level, tensor in synthesis.features.items():
        assert reach(tensor).any(), level.name


def test_half_precision_stays_close(generator: Generator, z: torch.Tensor) -> None:
    ws = generator.map(z)
    expected = generator.synthesize(ws)
    half = generator.place(Runtime(precision="bfloat16")).synthesize(ws)
    assert half.image.dtype == torch.float32
    assert {tensor.dtype for tensor in half.features.tensors} == {torch.bfloat16}
    difference = (half.image - expected.image).abs().max() / expected.image.abs().max()
    assert difference < 0.1


def test_a_file_gives_the_same_generator(
    generator: Generator, z: torch.Tensor, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    card = WeightCard(title="test")
    save_generator(first, generator, card=card)
    loaded = load_generator(first)
    save_generator(second, loaded, card=card)
    assert first.read_bytes() == second.read_bytes()
    assert type(loaded) is type(generator)
    assert loaded.feature_levels == generator.feature_levels
    ws = generator.map(z, truncation_psi=0.7)
    assert torch.equal(loaded.map(z, truncation_psi=0.7), ws)
    assert torch.equal(loaded.synthesize(ws).image, generator.synthesize(ws).image)


def test_placing_freezes(make: Callable[[int], Generator]) -> None:
    generator = make(0)
    assert not generator.training
    assert not any(parameter.requires_grad for parameter in generator.parameters())


def test_class_labels(make: Callable[[int], Generator]) -> None:
    generator = make(3)
    z = torch.ones(3, generator.z_dim)
    ws = generator.map(z, torch.eye(3))
    assert not torch.allclose(ws[0], ws[1])
    with pytest.raises(UsageError, match=r"class_labels must be \[3, 3\], got none"):
        generator.map(z)
    with pytest.raises(UsageError, match=r"class_labels must be \[3, 3\], got \[2, 3\]"):
        generator.map(z, torch.eye(3)[:2])


def test_wrong_arguments_are_named(generator: Generator, z: torch.Tensor) -> None:
    with pytest.raises(UsageError, match=r"z must be \[N, 6\]"):
        generator.map(torch.zeros(2, 7))
    with pytest.raises(UsageError, match="not class-conditional"):
        generator.map(z, torch.eye(3))
    ws = generator.map(z)
    with pytest.raises(UsageError, match=r"ws must be \[N, "):
        generator.synthesize(ws[:, :-1])
    with pytest.raises(UsageError, match="need as many seeds, got 2"):
        generator.synthesize(ws, noise=NoiseSeed((1, 2)))
    with pytest.raises(UsageError, match="noise must be"):
        generator.synthesize(ws, noise="random")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="noise must be"):
        generator.synthesize(ws, noise=[torch.zeros(1, 1, 4, 4)] * 99)
