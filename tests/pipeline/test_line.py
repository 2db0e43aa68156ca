"""The whole line from Python alone, cell by cell as in a notebook, on the embedded blood cells."""

from pathlib import Path

import pytest

import datasetgan as dg


def test_the_whole_line_in_a_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    painted, photos = dg.painted_samples(), dg.painted_photos()
    events: list[dg.Event] = []

    project = dg.new_project("cells", dg.EMBEDDED_CLASSES, truncation_psi=painted.truncation_psi)
    assert project.settings.name == "cells"

    samples = dg.sample_project("cells", 16, seeds=painted.seeds, on_event=events.append)
    assert [sample.seed for sample in samples] == list(painted.seeds)

    imported = dg.import_project_labels("cells", painted.masks)
    assert len(imported.added) == 16

    fitted = dg.fit_project(
        "cells", settings={"max_steps": 40, "num_members": 2}, folds=2, on_event=events.append
    )
    assert fitted.validation is not None
    assert fitted.validation.mean_iou is not None
    assert fitted.validation.mean_iou > 0.5
    assert fitted.keypoints is None

    suggested = dg.suggest_project("cells", 2, candidates=6)
    assert suggested.chosen_by == "uncertainty and diversity"
    assert len(project.samples) == 18

    manifest = dg.generate_project("cells", settings={"num_samples": 12}, on_event=events.append)
    assert len(manifest.samples) == 12

    segmenter = dg.train_project(
        "cells", settings=dg.SegmenterSettings(steps=2), on_event=events.append
    )
    assert segmenter.taxonomy == project.taxonomy

    scores = dg.evaluate_project("cells", photos.photos, photos.masks)
    assert scores.num_photos == 20

    page = dg.report_project("cells", photos=str(photos.photos), masks=str(photos.masks))
    assert page.stat().st_size > 10_000
    assert page.parent == Path("cells")

    assert capsys.readouterr().out == ""  # a library does not print
    _check_events(events)


def _check_events(events: list[dg.Event]) -> None:
    """Every part begins, goes on without a step back, and ends once."""
    parts = [event.part for event in events if isinstance(event, dg.Finished)]
    assert parts == [
        "Sampling images",
        "Reading the painted samples",
        "Validating on held-out samples",
        "Fitting the interpreter",
        "Generating samples",
        "Training the segmenter",
    ]
    for part in parts:
        own = [e for e in events if isinstance(e, dg.Progress) and e.part == part]
        done = [event.done for event in own]
        assert done[0] == 0
        if part != "Fitting the interpreter":  # reads first, then counts steps
            assert done == sorted(done)
    assert any(isinstance(event, dg.Note) for event in events)
    results = [type(event.value).__name__ for event in events if isinstance(event, dg.Result)]
    assert results == ["PrecisionChoice"]


def test_every_command_is_a_function() -> None:
    from datasetgan.cli.main import app

    named = {
        "import-checkpoint": "import_generator",
        "train-generator": "train_generator_from_photos",
        "train-keypoints": "train_project_keypoints",
        "evaluate-keypoints": "evaluate_project_keypoints",
        "import-labels": "import_project_labels",
        "import-keypoints": "import_project_keypoints",
        "demo": "run_demo",
    }
    commands = [command.name for command in app.registered_commands]
    assert len(commands) > 12
    for command in commands:
        assert command is not None
        name = named.get(command, f"{command}_project")
        assert name in dg.__all__, command
        assert callable(getattr(dg, name))
