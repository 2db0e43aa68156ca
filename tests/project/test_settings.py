"""project.toml: what is written comes back, and what is wrong is named."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasetgan.downstream import KeypointNetworkSettings, NetworkTraining, SegmenterSettings
from datasetgan.errors import ConfigError, ProjectError, UsageError
from datasetgan.factory import GenerationSettings
from datasetgan.interpreter import FitSettings
from datasetgan.interpreter.keypoints import KeypointSettings
from datasetgan.keypoints import KeypointSchema
from datasetgan.project import (
    KeypointTable,
    Project,
    ProjectSettings,
    SamplingSettings,
    SettingsTable,
)
from datasetgan.project.settings import read_settings, settings_text
from datasetgan.taxonomy import ClassTaxonomy, LabelClass

_NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_ .\-]{0,8}", fullmatch=True)
_COLORS = st.tuples(*[st.integers(0, 254)] * 3)
_SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**31), 2**31),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
_TABLES = st.dictionaries(_NAMES, st.one_of(_SCALARS, st.lists(st.integers(), max_size=3)))


STAGES: dict[SettingsTable, object] = {
    "fit": FitSettings(),
    "generate": GenerationSettings(),
    "train": SegmenterSettings(),
    "keypoints.fit": KeypointSettings(),
    "keypoints.train": KeypointNetworkSettings(),
}


@st.composite
def taxonomies(draw: st.DrawFn) -> ClassTaxonomy:
    names = draw(st.lists(_NAMES, min_size=2, max_size=6, unique=True))
    colors = draw(st.lists(_COLORS, min_size=len(names), max_size=len(names), unique=True))
    classes = []
    for i, (name, color) in enumerate(zip(names, colors, strict=True)):
        parent = draw(st.sampled_from([None, *names[:i]]))
        classes.append(LabelClass(i, name, color, parent))
    return ClassTaxonomy(tuple(classes))


@given(
    name=st.text(min_size=1, max_size=20).filter(lambda t: t.isprintable() and t.strip() != ""),
    taxonomy=taxonomies(),
    psi=st.floats(allow_nan=False, allow_infinity=False),
    cutoff=st.none() | st.integers(0, 18),
    tables=st.tuples(_TABLES, _TABLES, _TABLES),
)
def test_settings_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    taxonomy: ClassTaxonomy,
    psi: float,
    cutoff: int | None,
    tables: tuple[dict[str, Any], ...],
) -> None:
    settings = ProjectSettings(
        format=1,
        name=name,
        generator="wbc",
        generator_sha256="0f" * 32,
        taxonomy=taxonomy,
        sampling=SamplingSettings(psi, cutoff),
        fit=tables[0],
        generate=tables[1],
        train=tables[2],
    )
    path = tmp_path_factory.getbasetemp() / "project.toml"
    for stages in (None, STAGES):
        path.write_text(settings_text(settings, stages), "utf-8")
        assert read_settings(path) == settings


@pytest.fixture
def toml(project: Project) -> Path:
    return project.layout.settings


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def test_a_newer_format_is_refused_before_its_unknown_keys(toml: Path) -> None:
    change(toml, "format = 1", "format = 2\nlicence = 'new in 2'")
    with pytest.raises(ProjectError, match=r"newer DatasetGAN \(format 2, this one reads 1\)"):
        Project.open(toml.parent)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("format = 1", "format = 0", r"format must be 1, got 0"),
        ("format = 1", "format = '2'", r"format: .*integer"),
        ("format = 1\n", "", r"format: "),
        ("format = 1", "format = [", r"not valid TOML"),
        ('name = "cells"', 'name = "two\\nlines"', r"one line of text"),
        ('name = "cells"', "name = 2024-01-01", r"2024-01-01 is a date; expected .* quoted text"),
        ("[sampling]", "[smapling]", r"unknown key 'smapling'.*Did you mean 'sampling'"),
        ("truncation_psi =", "truncation_phi =", r"truncation_phi.*Did you mean 'truncation_psi'"),
        ("truncation_psi = 0.7", "truncation_psi = nan", r"must be finite"),
        ("truncation_psi = 0.7", "truncation_psi = '0.7'", r"truncation_psi.*number"),
        ("truncation_psi = 0.7", "truncation_cutoff = -1", r"0 or more rows, got -1"),
        ("id = 1", "id = 7", r"ids must be 0, 1, 2"),
        ("[fit]", "[fit]\nsince = 2024-01-01", r"2024-01-01 is a date"),
        ('generator = "generator', 'generator = "../generator', r"outside the project"),
        ('generator = "generator', 'generator = "/tmp/generator', r"outside the project"),
        ('generator = "generator', 'generator = "C:\\\\generator', r"outside the project"),
        ('generator_sha256 = "', 'generator_sha256 = "x', r"64 hexadecimal digits"),
    ],
)
def test_a_wrong_value_is_named_with_the_file(toml: Path, old: str, new: str, message: str) -> None:
    change(toml, old, new)
    with pytest.raises(ConfigError, match=message) as caught:
        Project.open(toml.parent)
    assert str(toml) in str(caught.value)


def test_settings_that_are_no_text(toml: Path) -> None:
    toml.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"project.toml is not valid TOML"):
        Project.open(toml.parent)


@dataclass(frozen=True)
class _Augmentation:
    flips: bool = True


@dataclass(frozen=True)
class _Settings:
    num_samples: int
    truncation_psi: float = 1.0
    batch: int = 16
    augmentation: _Augmentation = _Augmentation()


def with_tables(project: Project, **tables: dict[str, Any]) -> Project:
    return Project(project.folder, replace(project.settings, **tables))


def test_options_win_over_the_table_and_the_table_over_defaults(project: Project) -> None:
    project = with_tables(
        project, generate={"num_samples": 5, "batch": 8, "augmentation": {"flips": False}}
    )
    settings = project.stage_settings(
        "generate",
        _Settings,
        defaults={"truncation_psi": 0.7, "batch": 2},
        overrides={"num_samples": 9, "batch": None},
    )
    assert settings == _Settings(9, 0.7, 8, _Augmentation(flips=False))


def test_an_empty_table_gives_the_dataclass_defaults(project: Project) -> None:
    settings = project.stage_settings("train", _Settings, overrides={"num_samples": 1})
    assert settings == _Settings(1)


def test_an_unknown_key_names_the_file_and_the_table(project: Project) -> None:
    project = with_tables(project, train={"num_samples": 1, "bach": 2})
    with pytest.raises(ConfigError, match=r"project.toml: \[train\]: .*'bach'.*mean 'batch'"):
        project.stage_settings("train", _Settings)


def test_an_unknown_table_is_refused(project: Project) -> None:
    with pytest.raises(UsageError, match=r"unknown settings table 'evaluate'"):
        project.stage_settings("evaluate", _Settings)  # type: ignore[arg-type]


def test_a_new_project_shows_every_setting_at_its_default(
    checkpoint: Path, taxonomy: ClassTaxonomy, tmp_path: Path
) -> None:
    project = Project.create(
        tmp_path / "p",
        name="p",
        generator=checkpoint,
        taxonomy=taxonomy,
        keypoints=KeypointSchema(("tip",)),
        stages=STAGES,
    )
    path = project.layout.settings
    assert Project.open(project.folder) == project
    for table, defaults in STAGES.items():
        assert project.stage_settings(table, type(defaults)) == defaults
    lines = path.read_text("utf-8").splitlines()
    shown = [line[1:] for line in lines if line.startswith("#") and not line.startswith("# ")]
    assert {"num_members = 10", "num_samples = 10000", "augmentation.hue = 0.02"} <= set(shown)
    assert 'training.augmentation.orientation = "fixed"' in shown
    path.write_text("\n".join(line[1:] if line[1:] in shown else line for line in lines), "utf-8")
    opened = Project.open(project.folder)
    assert opened.settings.train["augmentation"]["scale"] == [0.9, 1.15]
    for table, defaults in STAGES.items():
        assert opened.stage_settings(table, type(defaults)) == defaults


def test_a_table_that_stands_is_not_shown_as_a_default(project: Project) -> None:
    settings = replace(
        project.settings,
        train={"steps": 7, "augmentation": {"hue": 0.1}},
        keypoints=KeypointTable(("tip",), fit={"steps": 9}),
    )
    path = project.layout.settings
    path.write_text(settings_text(settings, STAGES), "utf-8")
    assert read_settings(path) == settings
    text = path.read_text("utf-8")
    assert "#steps" not in text.split("[train]")[1].split("[keypoints]")[0]
    assert "#augmentation.hue" not in text.split("[keypoints]")[0]


def test_what_a_nested_table_leaves_out_is_as_its_stage_has_it(project: Project) -> None:
    """A keypoint network's pictures are not flipped, though a segmenter's are."""
    table = {"threshold": 0.2, "training": {"steps": 7, "augmentation": {"hue": 0.1}}}
    project = with_tables(project, keypoints=KeypointTable(("tip",), train=table))
    settings = project.stage_settings(
        "keypoints.train",
        KeypointNetworkSettings,
        overrides={"training": {"batch": 4, "model": None, "augmentation": {"noise": 0.0}}},
    )
    default = KeypointNetworkSettings().training
    assert default.augmentation.orientation == "fixed"
    augmentation = replace(default.augmentation, hue=0.1, noise=0.0)
    training = replace(default, steps=7, batch=4, augmentation=augmentation)
    assert settings == KeypointNetworkSettings(threshold=0.2, training=training)
    assert type(settings.training) is NetworkTraining
