"""The tables that commands end with: validation, scores on photos, suggestions."""

from rich.table import Table

from datasetgan.cli.console import console, say
from datasetgan.downstream import Evaluation
from datasetgan.interpreter.keypoints import KeypointValidation
from datasetgan.interpreter.validation.report import ValidationReport
from datasetgan.interpreter.validation.scores import RiskCurve
from datasetgan.metrics.keypoints import KeypointScores
from datasetgan.pipeline import Suggested
from datasetgan.project import Sample

__all__ = [
    "print_keypoint_scores",
    "print_keypoint_validation",
    "print_scores",
    "print_suggested",
    "print_validation",
]

_UNDEFINED = "-"


def print_validation(report: ValidationReport) -> None:
    """Print per-class scores, calibration, what filtering gains and what is not validated."""
    if report.protocol == "none":
        say(
            "Not validated: one image alone is painted, so none can be held out. "
            "Paint a second one to learn how good the labels are.",
            style="yellow",
        )
        return
    way = (
        f"each labelled by a fit on the other {len(report.images) - 1}"
        if report.protocol == "leave-one-out"
        else f"in {len(report.folds)} folds, each labelled by a fit on the others"
    )
    say(f"Scores on {len(report.images)} held-out images, {way}:")
    console.print(_class_table(report))
    _say_scores(report)
    _say_risk("images", report.risk_by_image)
    _say_risk("pixels", report.risk_by_pixel)
    _say_steps(report)
    for unvalidated in report.unvalidated:
        say(f"Not validated: {unvalidated.name}, {unvalidated.reason}.", style="yellow")


def _class_table(report: ValidationReport) -> Table:
    table = _table("class", "IoU %", "± folds", "± images", "painted pixels", "images")
    for score in report.classes:
        table.add_row(
            score.name,
            _percent(score.iou),
            _percent(score.fold_spread),
            _percent(score.image_spread),
            f"{score.pixels:,}",
            str(score.images),
        )
    table.add_section()
    table.add_row(
        "[bold]mean[/]",
        _percent(report.mean_iou),
        _percent(report.mean_iou_spread),
        "",
        f"{sum(score.pixels for score in report.classes):,}",
        str(len(report.images)),
    )
    return table


def _say_scores(report: ValidationReport) -> None:
    if report.pixel_accuracy is None or report.reliability is None:
        say("No pixel could be scored: no class is painted in two images.", style="yellow")
        return
    error = report.reliability.expected_calibration_error
    say(
        f"Pixel accuracy {100 * report.pixel_accuracy:.1f} %, "
        f"expected calibration error {100 * error:.1f} %."
    )


def _say_risk(what: str, curve: RiskCurve | None) -> None:
    if curve is None:
        return
    dropped = " / ".join(f"{100 * share:.0f}" for share in curve.dropped)
    errors = " / ".join(f"{100 * error:.1f}" for error in curve.error)
    say(f"Wrong pixels without the most uncertain {dropped} % of {what}: {errors} %.")


def _say_steps(report: ValidationReport) -> None:
    if len(report.checkpoints) > 1:
        steps = " / ".join(str(checkpoint.step) for checkpoint in report.checkpoints)
        scores = " / ".join(_percent(checkpoint.mean_iou) for checkpoint in report.checkpoints)
        say(f"Mean IoU after {steps} steps: {scores} %. The fit takes {report.steps} steps.")


def _percent(share: float | None) -> str:
    return _UNDEFINED if share is None else f"{100 * share:.1f}"


def print_scores(evaluation: Evaluation) -> None:
    """Print per-class scores on photos and their mean."""
    say(f"Scores on {evaluation.num_photos} real photos:")
    table = _table("class", "IoU %")
    for name, iou in zip(evaluation.classes, evaluation.iou, strict=True):
        table.add_row(name, "undefined" if iou is None else _percent(iou))
    table.add_section()
    table.add_row("[bold]mean[/]", _percent(evaluation.mean_iou))
    console.print(table)
    say(f"Pixel accuracy {_percent(evaluation.pixel_accuracy)} %.")


def print_keypoint_validation(validation: KeypointValidation) -> None:
    """Print the errors of points on held-out samples, and how they differ from fold to fold."""
    if validation.scores is None:
        say(
            "Points are not validated: none is visible in two samples, so none can be held out.",
            style="yellow",
        )
        return
    print_keypoint_scores(validation.scores, of="held-out samples")
    spread = validation.spread
    if spread.l2_sides is not None:
        shares = zip(validation.scores.shares, spread.pck, strict=True)
        by_share = ", ".join(f"PCK@{share:g} {_percent(value)}" for share, value in shares)
        say(f"Deviation over folds: L2 {_percent(spread.l2_sides)}, {by_share}.")
    if validation.unvalidated:
        say(f"Not validated: {', '.join(validation.unvalidated)}.", style="yellow")


def print_keypoint_scores(scores: KeypointScores, *, of: str = "real photos") -> None:
    """Print the errors of every point and of all together."""
    say(
        f"Keypoints of {scores.images} {of}. L2 is the mean distance as a share of the "
        "longer side, PCK@0.1 the share of points within 0.1 of that side, in %:"
    )
    shares = (f"PCK@{share:g}" for share in scores.shares)
    table = _table("keypoint", "points", "L2", *shares, "precision", "recall")
    for score in (*scores.keypoints, scores.overall):
        if score is scores.overall:
            table.add_section()
        correct = score.pck or (None,) * len(scores.shares)
        numbers = (score.l2_sides, *correct, score.precision, score.recall)
        table.add_row(score.name, str(score.points), *map(_percent, numbers))
    console.print(table)


def print_suggested(suggested: Suggested) -> None:
    """Print which samples or photos were chosen, and why."""
    drawn = isinstance(suggested.samples[0], Sample)
    what = ("sample", "seed") if drawn else ("image", "photo")
    table = _table(*what, f"stands for, of {suggested.candidates}", "more uncertain than")
    for sample, choice in zip(suggested.samples, suggested.choices, strict=True):
        surpasses = "" if choice.surpasses is None else f"{100 * choice.surpasses:.0f} %"
        named = str(sample.seed) if isinstance(sample, Sample) else sample.name
        table.add_row(sample.key, named, str(choice.stands_for), surpasses)
    console.print(table)


def _table(name: str, *numbers: str) -> Table:
    table = Table()
    table.add_column(name)
    for title in numbers:
        table.add_column(title, justify="right")
    return table
