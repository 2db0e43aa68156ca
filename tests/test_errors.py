"""Checks and messages that every room shares."""

from dataclasses import dataclass
from typing import Literal

import pytest

from datasetgan.errors import UsageError, check_literals, listed


@dataclass(frozen=True)
class Settings:
    kind: Literal["fast", "slow"] = "fast"
    size: Literal[1, 2] | None = None
    name: Literal["auto"] | str = "auto"
    count: int = 0

    def __post_init__(self) -> None:
        check_literals(self)


def test_literals_are_checked_at_construction() -> None:
    assert Settings("slow", 2, "anything").size == 2
    with pytest.raises(UsageError, match=r"unknown kind 'fats'. Did you mean 'fast'"):
        Settings("fats")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"unknown size '3'. Valid: 1, 2, None"):
        Settings(size=3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"unknown size 'True'"):
        Settings(size=True)


def test_a_long_list_is_cut() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed([str(i) for i in range(10)], most=2) == "0, 1 and 8 more"
