"""Runs beside the default one, which lies where it always lay."""

from pathlib import Path

import pytest

from datasetgan.errors import UsageError
from datasetgan.project import Project, ProjectLayout, RunLayout

FILES = (
    "segmenter",
    "training_state",
    "evaluation",
    "keypoint_network",
    "keypoint_training_state",
    "keypoint_evaluation",
)


def test_the_default_run_is_the_project_itself() -> None:
    layout = ProjectLayout(Path("p"))
    assert layout.run() == layout
    assert layout.run().segmenter == Path("p/segmenter.safetensors")
    assert layout.run().settings == Path("p/project.toml")


def test_a_named_run_has_the_same_files_in_a_folder_of_its_own() -> None:
    layout = ProjectLayout(Path("p"))
    run = layout.run("deeplab, seed 1")
    assert run == RunLayout(Path("p/runs/deeplab, seed 1"))
    assert run.settings == run.folder / "settings.toml"
    for name in FILES:
        assert getattr(run, name) == run.folder / getattr(layout, name).name
    assert run.record("train") == run.folder / "records" / "train.json"


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a/b",
        "a\\b",
        "/a",
        "C:",
        "C:a",
        "a\nb",
        ".hidden",
        "a.",
        "a ",
        " a",
        "a*",
        "\0",
    ],
)
def test_a_name_that_is_no_folder_s_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="a run's name is one folder's"):
        ProjectLayout(Path("p")).run(name)


def test_runs_are_listed_by_name(project: Project) -> None:
    assert project.runs == ()
    for name in ("b", "a", ".cache"):
        (project.layout.runs / name).mkdir(parents=True)
    (project.layout.runs / "notes.txt").touch()
    assert project.runs == ("a", "b")
