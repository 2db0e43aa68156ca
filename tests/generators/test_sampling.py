"""Sampling as one value: checked once, drawn by one function, with a class where there are some."""

from dataclasses import fields

import pytest
import torch

from datasetgan.errors import UsageError
from datasetgan.factory import GenerationSettings
from datasetgan.generators import Generator, Sampling, sample_images, sample_latents
from datasetgan.project import Sample
from datasetgan.runtime import Runtime
from datasetgan.serialization import to_plain
from tests.generators.test_contract import BACKBONES


def conditional() -> Generator:
    torch.manual_seed(0)
    return BACKBONES["stylegan2"](3).place(Runtime())


def plain() -> Generator:
    torch.manual_seed(0)
    return BACKBONES["stylegan2"](0).place(Runtime())


def test_images_are_those_of_the_latents() -> None:
    generator = plain()
    latents, synthesis = sample_images(generator, [4, 7], Sampling(0.5, 2))
    same = sample_latents(generator, [4, 7], truncation_psi=0.5, truncation_cutoff=2)
    assert torch.equal(latents.ws, same.ws)
    assert latents.noise == same.noise
    expected = generator.synthesize(same.ws, noise=same.noise)
    assert torch.equal(synthesis.image, expected.image)
    assert not synthesis.image.requires_grad


def test_features_may_go_into_a_training_graph() -> None:
    _, synthesis = sample_images(plain(), [1], Sampling())
    weight = torch.ones((), requires_grad=True)
    (synthesis.features.tensors[0] * weight).sum().backward()
    assert weight.grad is not None


def test_a_class_is_one_hot_for_every_sample() -> None:
    generator = conditional()
    labels = torch.eye(3)[[2, 2]]
    one, _ = sample_images(generator, [4, 7], Sampling(class_label=2))
    by_hand = sample_latents(generator, [4, 7], class_labels=labels)
    assert torch.equal(one.ws, by_hand.ws)
    assert torch.equal(sample_latents(generator, [4, 7], class_label=2).ws, by_hand.ws)
    assert not torch.equal(sample_latents(generator, [4, 7], class_label=1).ws, by_hand.ws)


def test_a_class_that_does_not_fit_is_named() -> None:
    with pytest.raises(UsageError, match="class_label is 3, but this generator has 3 classes"):
        sample_latents(conditional(), [1], class_label=3)
    with pytest.raises(UsageError, match="not class-conditional: leave class_label out"):
        sample_latents(plain(), [1], class_label=0)
    with pytest.raises(UsageError, match="class-conditional: class_labels must be"):
        sample_latents(conditional(), [1])
    with pytest.raises(UsageError, match="not both"):
        sample_latents(conditional(), [1], class_label=0, class_labels=torch.eye(3)[:1])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"truncation_psi": float("inf")}, "truncation_psi must be finite"),
        ({"truncation_cutoff": -1}, "truncation_cutoff must not be negative"),
        ({"class_label": -1}, "class_label must be 0 or more"),
    ],
)
def test_it_is_checked_at_construction_wherever_it_stands(
    values: dict[str, float], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        Sampling(**values)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=message):
        GenerationSettings(**values)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=message):
        Sample(**{"key": "sample-0000", "seed": 0, "truncation_psi": 0.7, **values})  # type: ignore[arg-type]


def test_the_flat_files_keep_their_keys_and_order() -> None:
    assert list(to_plain(Sample("sample-0000", 0, 0.7, 3))) == [
        "key",
        "seed",
        "truncation_psi",
        "truncation_cutoff",
    ]
    names = [field.name for field in fields(GenerationSettings)]
    assert names[:6] == [
        "num_samples",
        "first_seed",
        "truncation_psi",
        "truncation_cutoff",
        "class_label",
        "batch",
    ]
