"""The stages from painted samples to the report, as the commands and the demo run them."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from datasetgan.checkpoints.native import WeightCard
from datasetgan.cli.console import progress_bar, say
from datasetgan.cli.keypoint_pipeline import project_keypoint_interpreter
from datasetgan.dataset import PhotoPair, find_pairs, read_dataset
from datasetgan.dataset.manifest import MANIFEST_NAME, DatasetManifest
from datasetgan.downstream import (
    Evaluation,
    Segmenter,
    SegmenterSettings,
    evaluate_segmenter,
    load_segmenter,
    train_segmenter,
)
from datasetgan.errors import ProjectError, UsageError
from datasetgan.factory import GenerationProgress, GenerationSettings, generate_samples
from datasetgan.interpreter import load_interpreter
from datasetgan.interpreter.label_precision import PrecisionChoice
from datasetgan.interpreter.labelling import LabelEngine
from datasetgan.project import Project, RunNotes, record_run
from datasetgan.report import write_report
from datasetgan.runtime import Runtime
from datasetgan.serialization import sha256_of_file, to_plain, write_json

__all__ = ["describe_labelling", "run_evaluate", "run_generate", "run_report", "run_train"]

Overrides = dict[str, Any]
"""Values of command-line options by setting; None where an option was not given."""

_ENGINES: dict[LabelEngine, str] = {
    "plain": "plain PyTorch",
    "numba": "compiled loops (Numba)",
    "triton": "GPU kernel (Triton)",
}


def run_generate(
    project: Project, runtime: Runtime, overrides: Overrides, *, dataset: str
) -> DatasetManifest:
    """Generate a labelled dataset into the project."""
    # Generated images follow the truncation that the painted ones were drawn with.
    settings = project.stage_settings(
        "generate",
        GenerationSettings,
        defaults=to_plain(project.settings.sampling),
        overrides=overrides,
    )
    _require(project.layout.interpreter, project, command="fit")
    with record_run(project, "generate") as notes, progress_bar("Generating samples") as advance:
        generator = project.load_generator(runtime)
        interpreter = load_interpreter(project.layout.interpreter, runtime=runtime)

        def report(progress: GenerationProgress) -> None:
            advance(progress.done, progress.total, "")

        manifest = generate_samples(
            generator,
            interpreter,
            project.layout.dataset(dataset),
            settings=settings,
            keypoints=project_keypoint_interpreter(project, runtime),
            on_labelling=lambda choice: say(describe_labelling(choice)),
            on_progress=report,
        )
        notes.settings = to_plain(settings)
        notes.digests = {
            "generator": manifest.generator_sha256,
            "interpreter": manifest.interpreter_sha256,
            "manifest": _manifest_digest(project, dataset),
        }
    say(f"{len(manifest.samples)} labelled images lie in {project.layout.dataset(dataset)}.")
    return manifest


def describe_labelling(choice: PrecisionChoice) -> str:
    """Say in one line how labels are made, and what bfloat16 changes where it was measured."""
    text = f"Labels: {_ENGINES[choice.engine]}, {choice.precision}"
    if choice.changed_share is None:
        return f"{text}."
    share = f"{100 * choice.changed_share:.2f} %"
    if choice.precision == "bfloat16":
        return f"{text} ({share} of labels differ from float32)."
    return f"{text} (bfloat16 would change {share} of labels)."


def run_train(
    project: Project, runtime: Runtime, overrides: Overrides, *, dataset: str, drop_fraction: float
) -> Segmenter:
    """Train a segmenter on a generated dataset and store it in the project."""
    settings = project.stage_settings("train", SegmenterSettings, overrides=overrides)
    _require(project.layout.dataset(dataset), project, command="generate")
    with record_run(project, "train") as notes, progress_bar("Training the segmenter") as advance:
        data = read_dataset(project.layout.dataset(dataset), drop_fraction=drop_fraction)
        segmenter = train_segmenter(
            data,
            settings=settings,
            runtime=runtime,
            on_progress=lambda p: advance(p.step, p.steps, f"loss {p.loss:.3f}"),
            state=project.layout.training_state,
        )
        card = WeightCard(
            title=f"Segmenter of {project.settings.name}",
            licence="that of the generated dataset",
            data=f"{len(data)} generated samples of {dataset!r}, {len(data.dropped)} set aside",
        )
        segmenter.save(project.layout.segmenter, card=card)
        notes.settings = {**to_plain(settings), "drop_fraction": drop_fraction}
        notes.digests = {
            "manifest": _manifest_digest(project, dataset),
            "segmenter": sha256_of_file(project.layout.segmenter),
        }
    say(f"Trained {settings.model} on {len(data)} images ({len(data.dropped)} set aside).")
    return segmenter


def run_evaluate(
    project: Project,
    runtime: Runtime,
    *,
    photos: Path,
    masks: Path,
    merges: Mapping[str, Sequence[str]] | None = None,
) -> Evaluation:
    """Score the project's segmenter on real photos with painted masks.

    Scores of merged classes are returned, not stored, and leave no record: the report
    shows the project's own, and its record says which segmenter they are of.
    """
    _require(project.layout.segmenter, project, command="train")
    record = record_run(project, "evaluate") if merges is None else nullcontext(RunNotes())
    with record as notes, progress_bar("Evaluating on photos") as advance:
        segmenter = load_segmenter(project.layout.segmenter, runtime=runtime)
        pairs = find_pairs(photos, masks)
        evaluation = evaluate_segmenter(
            segmenter,
            pairs,
            merges=merges,
            on_progress=lambda done, total: advance(done, total, ""),
        )
        if merges is None:
            write_json(project.layout.evaluation, evaluation)
        notes.digests = {"segmenter": sha256_of_file(project.layout.segmenter)}
        notes.settings = {"photos": len(pairs)}
    return evaluation


def run_report(project: Project, *, dataset: str, photos: Path | None, masks: Path | None) -> Path:
    """Write the project's report.

    Raises:
        UsageError: photos without masks, or masks without photos.
    """
    pairs: Sequence[PhotoPair] = ()
    if photos is not None and masks is not None:
        pairs = find_pairs(photos, masks)
    elif photos is not None or masks is not None:
        raise UsageError("--photos and --masks belong together: give both, or neither.")
    with record_run(project, "report") as notes, progress_bar("Writing the report") as advance:
        notes.settings = {"dataset": dataset}
        return write_report(
            project,
            dataset=dataset,
            pairs=pairs,
            on_progress=lambda p: advance(p.done, p.total, ""),
        )


def _manifest_digest(project: Project, dataset: str) -> str:
    return sha256_of_file(project.layout.dataset(dataset) / MANIFEST_NAME)


def _require(path: Path, project: Project, *, command: str) -> None:
    if not path.exists():
        raise ProjectError(
            f"{path} does not exist yet. Run `datasetgan {command} {project.folder}` first."
        )
