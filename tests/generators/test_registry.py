"""The one list of architectures: what the rooms above ask it."""

from dataclasses import dataclass

import pytest
import torch

from datasetgan.errors import UsageError
from datasetgan.generators import ARCHITECTURES, Generator, architecture_of, build_generator
from tests.generators.test_contract import BACKBONES


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_generator_is_built_from_its_configuration_alone(name: str) -> None:
    generator = BACKBONES[name](2)
    assert architecture_of(generator) == name
    again = build_generator(generator.config)
    assert type(again) is type(generator) is ARCHITECTURES[name].network
    shapes = {key: tensor.shape for key, tensor in generator.state_dict().items()}
    assert {key: tensor.shape for key, tensor in again.state_dict().items()} == shapes


def test_cards_keep_their_words() -> None:
    # Digests of imported generators cover them.
    paper = ARCHITECTURES["stylegan1"].paper
    assert paper.reference == "Karras et al. 2019, arXiv 1812.04948"
    assert paper.citation == (
        "Karras et al., A style-based generator architecture for GANs, CVPR 2019"
    )
    paper = ARCHITECTURES["stylegan3"].paper
    assert paper.reference == "Karras et al. 2021, arXiv 2106.12423"
    assert paper.citation == (
        "Karras et al., Alias-free generative adversarial networks, NeurIPS 2021"
    )


def test_what_is_in_no_list_is_named() -> None:
    @dataclass(frozen=True)
    class OtherConfig:
        resolution: int = 8

    with pytest.raises(UsageError, match="unknown generator configuration 'OtherConfig'"):
        build_generator(OtherConfig())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", BACKBONES)
def test_the_mean_latent_moves_a_share_of_the_way(name: str) -> None:
    generator: Generator = BACKBONES[name](0)
    generator.move_mean_latent(torch.full((8,), 2.0), rate=0.25)
    z = torch.zeros(1, 6)
    everything = generator.map(z, truncation_psi=0.0, truncation_cutoff=generator.num_ws)
    torch.testing.assert_close(everything, torch.full_like(everything, 0.5))


@pytest.mark.parametrize("name", BACKBONES)
def test_noise_layers_are_those_that_take_noise(name: str) -> None:
    generator = BACKBONES[name](0)
    constants = [key for key, _ in generator.named_buffers() if key.endswith("noise_const")]
    assert len(generator.noise_layers) == len(constants)
    assert [key for key, layer in generator.named_modules() if layer in generator.noise_layers] == [
        key.removesuffix(".noise_const") for key in constants
    ]
