"""Which of many things are shown: a choice that depends on their order alone."""

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["spread"]

T = TypeVar("T")


def spread(items: Sequence[T], count: int) -> list[T]:
    """Return at most `count` items, evenly spaced, the first and the last among them."""
    if count < 1:
        return []
    if len(items) <= count:
        return list(items)
    if count == 1:
        return [items[0]]
    step = (len(items) - 1) / (count - 1)
    return [items[round(i * step)] for i in range(count)]
