"""What the events of a stage look like in a terminal."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import singledispatch

from datasetgan.checkpoints.import_checkpoint import ImportReport
from datasetgan.cli.console import progress_bar, say
from datasetgan.cli.tables import print_keypoint_validation, print_validation
from datasetgan.gan_training import SnapshotRecord, TrainingImages, TrainingResult
from datasetgan.interpreter.ensemble.ensemble import Ensemble
from datasetgan.interpreter.label_precision import PrecisionChoice
from datasetgan.interpreter.labelling import LabelEngine
from datasetgan.pipeline import Event, Finished, Fitted, Note, OnEvent, Progress, Result

__all__ = ["describe_labelling", "drawn_events", "print_fitted", "print_import"]

_ENGINES: dict[LabelEngine, str] = {
    "plain": "plain PyTorch",
    "numba": "compiled loops (Numba)",
    "triton": "GPU kernel (Triton)",
}
_MAX_LISTED = 5


@contextmanager
def drawn_events() -> Iterator[OnEvent]:
    """Draw the events of a block: a bar for each part, lines for the rest.

    Yields:
        What to give as `on_event`.
    """
    with ExitStack() as bars:
        advance = None
        part = ""

        def draw(event: Event) -> None:
            nonlocal advance, part
            match event:
                case Progress():
                    if advance is None or event.part != part:
                        bars.close()
                        advance, part = bars.enter_context(progress_bar(event.part)), event.part
                    advance(event.done, event.total, event.note)
                case Finished():
                    bars.close()
                    advance = None
                case Note():
                    say(event.text, style="yellow" if event.level == "warning" else None)
                case Result():
                    print_result(event.value)

        yield draw


@singledispatch
def print_result(value: object) -> None:
    """Print a value that a stage found out; nothing for one that its command prints."""


@print_result.register
def print_import(report: ImportReport) -> None:
    """Print what an import found, and every doubt about it."""
    network = f", network {report.network}" if report.network else ""
    say(f"{report.card.source}: {report.format}{network}, sha256 {report.card.source_sha256}")
    say(
        f"Layout {report.layout}: a {report.architecture} of {report.resolution} px, "
        f"{report.parameters:,} parameters; every tensor has its place."
    )
    for warning in report.plausibility.warnings:
        say(f"Warning: {warning}", style="yellow")
    if report.plausibility.ok:
        say("Pictures and activations are as a trained network's.")
    stated = "" if report.card.licence == "unknown" else f"Stated licence: {report.card.licence}. "
    say(f"{stated}Note on licences: {report.licence_note}", style="yellow")


@print_result.register
def _print_labelling(choice: PrecisionChoice) -> None:
    say(describe_labelling(choice))


def describe_labelling(choice: PrecisionChoice) -> str:
    """Say in one line how labels are made, and what bfloat16 changes where it was measured."""
    text = f"Labels: {_ENGINES[choice.engine]}, {choice.precision}"
    if choice.changed_share is None:
        return f"{text}."
    share = f"{100 * choice.changed_share:.2f} %"
    if choice.precision == "bfloat16":
        return f"{text} ({share} of labels differ from float32)."
    return f"{text} (bfloat16 would change {share} of labels)."


@print_result.register
def _print_photographs(images: TrainingImages) -> None:
    classes = f" of {images.num_classes} classes" if images.num_classes else ""
    say(f"{len(images.pixels):,} photographs{classes} at {images.pixels.shape[1]} px.")
    if images.skipped:
        say(f"{len(images.skipped)} files were skipped:", style="yellow")
        for line in images.skipped[:_MAX_LISTED]:
            say(f"  {line}")
        if len(images.skipped) > _MAX_LISTED:
            say(f"  and {len(images.skipped) - _MAX_LISTED} more")


@print_result.register
def _print_snapshot(record: SnapshotRecord) -> None:
    say(
        f"{record.images_seen:,} images: KID {1000 * record.kid:.2f} +- "
        f"{1000 * record.kid_deviation:.2f} thousandths, FID {record.fid:.2f}"
    )


def print_fitted(fitted: Fitted) -> None:
    """Print how a fit went: its scores on held-out samples, what it saw, what nobody showed it."""
    if fitted.validation is not None:
        print_validation(fitted.validation)
    if fitted.interpreter is not None and (fit := fitted.interpreter.report) is not None:
        say(
            f"Fitted {_members(fitted.interpreter.ensemble)} on {fit.pixels} pixels "
            f"of {fit.images} images in {fit.seconds:.1f} s, {fit.steps} steps."
        )
        if absent := fit.unpainted_classes(fitted.interpreter.taxonomy):
            say(f"Painted nowhere, so never predicted: {', '.join(absent)}.", style="yellow")
    if fitted.keypoint_validation is not None:
        print_keypoint_validation(fitted.keypoint_validation)
    if fitted.keypoints is not None and (points := fitted.keypoints.report) is not None:
        say(
            f"Fitted {_members(fitted.keypoints.ensemble)} to {sum(points.points)} points "
            f"of {points.images} images in {points.seconds:.1f} s."
        )
        if unseen := points.unseen(fitted.keypoints.schema):
            say(f"Visible nowhere, so never found: {', '.join(unseen)}.", style="yellow")


def _members(ensemble: Ensemble) -> str:
    """Name the members and what they read."""
    read = f"{ensemble.members.num_members} {ensemble.members.name!r} classifiers"
    inputs = ensemble.inputs
    if inputs.level_falloff is None:
        return read
    around = "with surroundings" if inputs.heeded == "blocks" else "without surroundings"
    return f"{read} (level falloff {inputs.level_falloff:g}, {around})"


@print_result.register
def _print_training(result: TrainingResult) -> None:
    say(
        f"The best of {len(result.snapshots)} snapshots (KID {1000 * result.best.kid:.2f} "
        f"thousandths at {result.best.images_seen:,} images, over {result.best.features}) "
        f"lies in {result.checkpoint}."
    )
    say(
        f"{100 * result.memorised_share:.0f} % of 64 samples are as near to a photograph as a "
        f"copy; so are {100 * result.photograph_share:.0f} % of the photographs to another one. "
        f"Look at them side by side: {result.neighbours}"
    )
    say(f"Next: datasetgan new PROJECT --generator {result.checkpoint}")
