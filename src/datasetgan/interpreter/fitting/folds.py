"""Splitting painted images into folds."""

from collections import Counter
from collections.abc import Collection, Sequence

from datasetgan.errors import UsageError
from datasetgan.runtime import Stream, random_state

__all__ = ["Fold", "split_folds"]


Fold = tuple[int, ...]
"""Numbers of the images that are held out together, ascending."""


def split_folds(
    num_images: int,
    *,
    folds: int = 5,
    seed: int = 0,
    classes: Sequence[Collection[int]] | None = None,
) -> tuple[Fold, ...]:
    """Split images into folds, at random but with the images of a rare class apart.

    An image is never split: its pixels are too much alike. With no more than `folds`
    images, every one is a fold of its own (leave-one-out).

    Args:
        num_images: images numbered from 0.
        folds: how many, at least 2. Their sizes differ by one at most.
        seed: a non-negative integer.
        classes: the ids that each image shows. Images are dealt out from the rarest
            class on, each to the fold that holds the fewest of its classes so far: a
            class whose images all fall into one fold could not be validated.

    Returns:
        Disjoint folds that hold every image; none where there are fewer than two
        images, for nothing can be held out.

    Raises:
        UsageError: fewer than two folds, or classes of another number of images.
    """
    if folds < 2:
        raise UsageError(f"validation needs at least 2 folds, got {folds}.")
    shown = [frozenset[int]()] * num_images if classes is None else [frozenset(c) for c in classes]
    if len(shown) != num_images:
        raise UsageError(f"classes of {len(shown)} images came with {num_images} images.")
    if num_images < 2:
        return ()
    folds = min(folds, num_images)
    frequency = Counter(c for image in shown for c in image)
    rarest_first = [sorted(image, key=lambda c: (frequency[c], c)) for image in shown]
    order: list[int] = random_state(seed, Stream.FOLDS).permutation(num_images).tolist()
    order.sort(key=lambda i: [(frequency[c], c) for c in rarest_first[i][:1]])
    members: list[list[int]] = [[] for _ in range(folds)]
    held = [Counter[int]() for _ in range(folds)]
    for image in order:
        # Rare classes weigh first; of equal folds the smaller, then the first one.
        chosen = min(
            (f for f in range(folds) if len(members[f]) < _size(f, num_images, folds)),
            key=lambda f: ([held[f][c] for c in rarest_first[image]], len(members[f]), f),
        )
        members[chosen].append(image)
        held[chosen].update(shown[image])
    return tuple(tuple(sorted(fold)) for fold in members)


def _size(fold: int, num_images: int, folds: int) -> int:
    return num_images // folds + (fold < num_images % folds)
