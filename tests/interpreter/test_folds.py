"""Folds: a partition of whole images that keeps rare classes apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasetgan.errors import UsageError
from datasetgan.interpreter.fitting.folds import split_folds


@given(st.integers(2, 40), st.integers(2, 8), st.integers(0, 5))
def test_folds_are_a_partition_of_even_sizes(num_images: int, folds: int, seed: int) -> None:
    split = split_folds(num_images, folds=folds, seed=seed)
    assert len(split) == min(folds, num_images)
    assert sorted(image for fold in split for image in fold) == list(range(num_images))
    assert all(list(fold) == sorted(fold) for fold in split)
    sizes = [len(fold) for fold in split]
    assert max(sizes) - min(sizes) <= 1


def test_few_images_are_left_out_one_by_one() -> None:
    assert sorted(split_folds(5)) == [(0,), (1,), (2,), (3,), (4,)]
    assert len(split_folds(6)) == 5


@pytest.mark.parametrize("num_images", [0, 1])
def test_one_image_cannot_be_held_out(num_images: int) -> None:
    assert split_folds(num_images) == ()


def test_the_seed_chooses_the_split() -> None:
    assert split_folds(20, seed=3) == split_folds(20, seed=3)
    assert len({split_folds(20, seed=seed) for seed in range(10)}) > 5


@given(st.data())
def test_images_of_a_rare_class_lie_apart(data: st.DataObject) -> None:
    """Class 1 stands in two images alone; whatever the others show, two folds hold it."""
    num_images = data.draw(st.integers(4, 16))
    holders = data.draw(st.sets(st.integers(0, num_images - 1), min_size=2, max_size=2))
    seed = data.draw(st.integers(0, 100))
    classes = [{0, 1} if image in holders else {0} for image in range(num_images)]
    split = split_folds(num_images, folds=3, seed=seed, classes=classes)
    assert sum(bool(holders & set(fold)) for fold in split) == 2


def test_several_rare_classes_are_spread_at_once() -> None:
    classes = [{0, 1 + image // 3} for image in range(12)]  # four classes of three images
    split = split_folds(12, folds=3, classes=classes)
    for rare in range(1, 5):
        assert [sum(rare in classes[image] for image in fold) for fold in split] == [1, 1, 1]


def test_refuses() -> None:
    with pytest.raises(UsageError, match="at least 2 folds, got 1"):
        split_folds(4, folds=1)
    with pytest.raises(UsageError, match="classes of 1 images came with 2 images"):
        split_folds(2, classes=[{0}])


@pytest.mark.parametrize("seed", range(6))
def test_a_class_that_is_not_an_images_rarest_is_spread_too(seed: int) -> None:
    """Image 0 shows both rare classes: each of them must find another fold."""
    split = split_folds(4, folds=2, seed=seed, classes=[{0, 1, 2}, {0, 1}, {0, 2}, {0}])
    assert set(split) == {(0, 3), (1, 2)}
