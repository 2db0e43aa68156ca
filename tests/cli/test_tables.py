"""What `fit` prints about held-out images."""

import pytest
from rich.console import Console

from datasetgan.cli import console as console_module
from datasetgan.cli import tables
from datasetgan.cli.tables import print_validation
from datasetgan.interpreter.validation.report import (
    CheckpointScore,
    ClassScore,
    HeldOutImage,
    UnvalidatedClass,
    ValidationReport,
)
from datasetgan.interpreter.validation.scores import DROPPED_SHARES, ReliabilityCurve, RiskCurve

REPORT = ValidationReport(
    protocol="k-fold",
    folds=((0, 2), (1, 3)),
    steps=200,
    checkpoints=(
        CheckpointScore(step=100, mean_iou=0.75, pixel_accuracy=0.9),
        CheckpointScore(step=200, mean_iou=0.8, pixel_accuracy=0.91),
    ),
    classes=(
        ClassScore(
            name="nucleus", pixels=1234, images=4, iou=0.8, fold_spread=0.025, image_spread=0.1
        ),
        ClassScore(name="platelet", pixels=9, images=1),
    ),
    unvalidated=(
        UnvalidatedClass(name="platelet", reason="painted in one image alone (sample-0003)"),
    ),
    images=tuple(
        HeldOutImage(key=f"sample-{i}", fold=i % 2, uncertainty_score=0.1) for i in range(4)
    ),
    seconds=1.0,
    confusion=((1, 0), (0, 0)),
    mean_iou=0.8,
    mean_iou_spread=0.03,
    pixel_accuracy=0.912,
    reliability=ReliabilityCurve(
        pixels=(1,), confidence=(1.0,), accuracy=(1.0,), expected_calibration_error=0.023
    ),
    risk_by_image=RiskCurve(
        dropped=DROPPED_SHARES, error=(0.09, 0.08, 0.07, 0.06, 0.05, 0.04, 0.03)
    ),
)


@pytest.fixture(autouse=True)
def _wide_console(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table's width must not depend on the terminal that runs the tests."""
    for module in (console_module, tables):
        monkeypatch.setattr(module, "console", Console(width=100, highlight=False))


def printed(report: ValidationReport, capsys: pytest.CaptureFixture[str]) -> list[str]:
    print_validation(report)
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(REPORT, capsys)
    assert (
        lines[0] == "Scores on 4 held-out images, in 2 folds, each labelled by a fit on the others:"
    )
    assert "│ nucleus │ 80.0 │ 2.5 │ 10.0 │ 1,234 │ 4 │" in lines
    assert "│ platelet │ - │ - │ - │ 9 │ 1 │" in lines
    assert "│ mean │ 80.0 │ 3.0 │ │ 1,243 │ 4 │" in lines
    assert lines[-4:] == [
        "Pixel accuracy 91.2 %, expected calibration error 2.3 %.",
        "Wrong pixels without the most uncertain 0 / 5 / 10 / 15 / 20 / 25 / 30 % of images: "
        "9.0 / 8.0 / 7.0 / 6.0 / 5.0 / 4.0 / 3.0 %.",
        "Mean IoU after 100 / 200 steps: 75.0 / 80.0 %. The fit takes 200 steps.",
        "Not validated: platelet, painted in one image alone (sample-0003).",
    ]


def test_one_image(capsys: pytest.CaptureFixture[str]) -> None:
    report = ValidationReport(
        protocol="none",
        folds=(),
        steps=100,
        checkpoints=(),
        classes=REPORT.classes,
        unvalidated=(),
        images=(),
        seconds=0.0,
    )
    assert printed(report, capsys) == [
        "Not validated: one image alone is painted, so none can be held out. "
        "Paint a second one to learn how good the labels are."
    ]


def test_nothing_scored(capsys: pytest.CaptureFixture[str]) -> None:
    report = ValidationReport(
        protocol="leave-one-out",
        folds=((0,), (1,)),
        steps=100,
        checkpoints=(CheckpointScore(step=100),),
        classes=(ClassScore(name="nucleus", pixels=3, images=1),),
        unvalidated=(),
        images=REPORT.images[:2],
        seconds=0.0,
    )
    lines = printed(report, capsys)
    assert lines[0] == "Scores on 2 held-out images, each labelled by a fit on the other 1:"
    assert lines[-1] == "No pixel could be scored: no class is painted in two images."
