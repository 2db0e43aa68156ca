"""The symmetries of the square, held against NumPy one picture at a time."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datasetgan.errors import UsageError
from datasetgan.gan_training.photos.symmetry import apply_symmetry, draw_symmetries

ALL = torch.arange(8)


def by_hand(picture: np.ndarray, choice: int) -> np.ndarray:
    turned = np.rot90(picture, choice % 4, axes=(1, 2))
    return turned[:, :, ::-1] if choice >= 4 else turned


@given(choices=st.lists(st.integers(0, 7), min_size=1, max_size=12), side=st.integers(1, 5))
@settings(deadline=None)
def test_every_picture_is_turned_by_its_own_choice(choices: list[int], side: int) -> None:
    shape = (len(choices), 3, side, side)
    pictures = np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)
    turned = apply_symmetry(torch.from_numpy(pictures), torch.tensor(choices)).numpy()
    for before, after, choice in zip(pictures, turned, choices, strict=True):
        np.testing.assert_array_equal(after, by_hand(before, choice))


def test_the_eight_form_the_group_of_the_square() -> None:
    picture = torch.arange(9.0).reshape(1, 1, 3, 3)
    images = [apply_symmetry(picture, ALL[i : i + 1]) for i in range(8)]
    name = {tuple(image.flatten().tolist()): i for i, image in enumerate(images)}
    assert len(name) == 8
    assert name[tuple(range(9))] == 0
    table = [
        [name[tuple(apply_symmetry(a, ALL[j : j + 1]).flatten().tolist())] for j in range(8)]
        for a in images
    ]
    for i in range(8):
        assert sorted(table[i]) == list(range(8)), "each row holds every element once"
        assert 0 in table[i], "every element has an inverse"
        for j in range(8):
            for k in range(8):
                assert table[table[i][j]][k] == table[i][table[j][k]], "associative"
    orders = Counter(sum(1 for _ in powers(table, i)) for i in range(8))
    assert orders == {1: 1, 2: 5, 4: 2}  # of the dihedral group, and of no other of order 8


def powers(table: list[list[int]], i: int):
    value = i
    yield value
    while value != 0:
        value = table[value][i]
        yield value


def test_pictures_that_are_not_square_may_be_mirrored_and_turned_by_half() -> None:
    picture = np.arange(6.0).reshape(1, 1, 2, 3)
    for choice in (0, 2, 4, 6):
        turned = apply_symmetry(torch.from_numpy(picture), torch.tensor([choice]))
        np.testing.assert_array_equal(turned[0].numpy(), by_hand(picture[0], choice))
    with pytest.raises(UsageError, match="only square pictures"):
        apply_symmetry(torch.from_numpy(picture), torch.tensor([1]))


def test_gradients_go_back_the_same_way() -> None:
    pictures = torch.randn(8, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(8, 1, 3, 3, dtype=torch.float64)
    (apply_symmetry(pictures, ALL) * weights).sum().backward()
    inverse = torch.tensor([0, 3, 2, 1, 4, 5, 6, 7])
    assert pictures.grad is not None
    assert torch.equal(pictures.grad, apply_symmetry(weights, inverse))


def test_draws_are_even_and_of_the_named_symmetry() -> None:
    generator = torch.Generator().manual_seed(0)
    for symmetry, values in (("none", [0]), ("flip", [0, 4]), ("dihedral", list(range(8)))):
        drawn = draw_symmetries(symmetry, 8000, generator=generator)
        counts = torch.bincount(drawn, minlength=8)
        assert counts.nonzero().flatten().tolist() == values
        expected = 8000 / len(values)
        assert (counts[values] - expected).abs().max() < 5 * expected**0.5


def test_bad_arguments_are_refused() -> None:
    pictures = torch.zeros(2, 1, 3, 3)
    with pytest.raises(UsageError, match=r"one choice each"):
        apply_symmetry(pictures, torch.tensor([1]))
    with pytest.raises(UsageError, match=r"0 to 7, got \[0, 8\]"):
        apply_symmetry(pictures, torch.tensor([0, 8]))
    with pytest.raises(UsageError, match="Did you mean 'flip'"):
        draw_symmetries("flop", 1, generator=torch.Generator())  # type: ignore[arg-type]
