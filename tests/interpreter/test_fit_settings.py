"""Settings of a fit: recipes, what older projects say, what is refused."""

from dataclasses import fields, replace
from typing import Any

import pytest

from datasetgan.errors import ConfigError, UsageError
from datasetgan.interpreter import FitSettings
from datasetgan.interpreter.fitting.recipe import RECIPES
from datasetgan.serialization import from_plain


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"normalization": "levels"}, "normalization"),
        ({"sampling": "balanced"}, "sampling"),
        ({"level_falloff": 1.0}, "level_falloff"),
        ({"surroundings": "blocks"}, "surroundings"),
    ],
)
def test_the_paper_knows_none_of_this(change: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=f"official code, which knows no {named}"):
        FitSettings(head="paper", **change)


def test_what_is_left_out_is_the_recipes() -> None:
    paper = FitSettings(head="paper")
    assert paper == FitSettings.paper()
    assert paper.recipe == RECIPES["paper"]
    assert (paper.batch, paper.learning_rate, paper.max_steps) == (64, 1e-3, None)
    assert (paper.level_falloff, paper.surroundings) == (0, "none")
    assert FitSettings(head="paper", batch=32).recipe == replace(RECIPES["paper"], batch=32)
    assert FitSettings().recipe == RECIPES["mlp"] == RECIPES["conv"] == RECIPES["linear"]
    quick = FitSettings(max_steps=200)
    assert quick.recipe == replace(RECIPES["mlp"], max_steps=200)
    left_out = {f.name for f in fields(quick) if getattr(quick, f.name) is None}
    assert left_out == set()


def test_settings_of_older_projects_are_read() -> None:
    found = from_plain(FitSettings, {"context": "blocks", "level_falloff": 2}, source="old")
    assert found == FitSettings(surroundings="blocks", level_falloff=2.0)
    found = from_plain(FitSettings, {"head": "paper", "num_members": 3}, source="old")
    assert found == FitSettings.paper(num_members=3)
    with pytest.raises(ConfigError, match=r"unknown key 'contxt'.*surroundings"):
        from_plain(FitSettings, {"contxt": "blocks"}, source="new")


@pytest.mark.parametrize("name", ["head", "sampling", "normalization", "surroundings"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(UsageError, match=f"unknown {name} 'odd'"):
        FitSettings(**{name: "odd"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_members", 0),
        ("batch", 1),
        ("max_epochs", 0),
        ("max_steps", 0),
        ("pixels_per_image", 0),
        ("seed", -1),
        ("warm_steps", 0),
        ("cache_mb", -1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
    ],
)
def test_bad_settings(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"fit setting {name} must be"):
        replace(FitSettings(), **{name: value})  # type: ignore[arg-type]
