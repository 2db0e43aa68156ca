"""Images to paint, and what people painted: sample, suggest, import."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from datasetgan.errors import UsageError
from datasetgan.features import FeaturePyramid
from datasetgan.generators import Generator, sample_images
from datasetgan.interpreter import (
    Interpreter,
    Suggestion,
    check_fitted_on,
    describe_pyramids,
    load_interpreter,
    suggest_images,
)
from datasetgan.interpreter.suggest import MAX_CANDIDATES
from datasetgan.pipeline.events import OnEvent, progress
from datasetgan.pipeline.stage import open_project
from datasetgan.project import KeypointImport, LabelImport, Project, Sample, record_run
from datasetgan.project.samples import Synthesizer
from datasetgan.runtime import Runtime, resolve_runtime

__all__ = [
    "Suggested",
    "import_project_keypoints",
    "import_project_labels",
    "sample_project",
    "suggest_project",
]


def sample_project(
    project: Project | str | Path,
    count: int = 16,
    *,
    seeds: Sequence[int] | None = None,
    runtime: Runtime | None = None,
    on_event: OnEvent | None = None,
) -> tuple[Sample, ...]:
    """Draw images to paint; their latents and noise seeds are stored with them.

    Args:
        project: or its folder.
        count: how many.
        seeds: one per image; behind those of all samples by default.
        runtime: where the generator runs; `resolve_runtime()` by default.
        on_event: told the progress.

    Raises:
        DatasetGANError: see `Project.add_samples`.
    """
    project = open_project(project)
    with record_run(project, "sample") as notes, progress(on_event, "Sampling images") as advance:
        samples = project.add_samples(
            count,
            runtime or resolve_runtime(),
            seeds=seeds,
            on_progress=lambda done, total: advance(done, total, ""),
        )
        notes.settings = {"count": count, "first_seed": samples[0].seed}
    return samples


@dataclass(frozen=True)
class Suggested:
    """Samples that were chosen out of many candidates.

    Attributes:
        samples: the new ones, in the order they were chosen.
        choices: why each was chosen.
        candidates: images that were looked at.
        chosen_by: ``"diversity"`` alone before the first fit.
    """

    samples: tuple[Sample, ...]
    choices: tuple[Suggestion, ...]
    candidates: int
    chosen_by: Literal["diversity", "uncertainty and diversity"]


def suggest_project(
    project: Project | str | Path,
    count: int = 4,
    *,
    candidates: int = 512,
    first_seed: int | None = None,
    runtime: Runtime | None = None,
    on_event: OnEvent | None = None,
) -> Suggested:
    """Choose images to paint that teach the interpreter most, and add them as samples.

    At first images that stand for many others; once an interpreter is fitted, those among
    them above all that its classifiers disagree on.

    Args:
        project: or its folder.
        count: how many to choose.
        candidates: how many new images to choose among.
        first_seed: of the candidates; behind those of all samples by default.
        runtime: where the generator runs; `resolve_runtime()` by default.
        on_event: told the progress.

    Raises:
        UsageError: numbers that do not go together.
    """
    # Said before minutes go into candidates; a share of them is dropped, so not all can be taken.
    if count < 1 or not 2 * count <= candidates <= MAX_CANDIDATES:
        raise UsageError(
            f"{count} images cannot be chosen among {candidates} candidates: -n must be at least "
            f"1, --candidates at least twice as many and at most {MAX_CANDIDATES}."
        )
    project = open_project(project)
    runtime = runtime or resolve_runtime()
    seeds = _new_seeds(project.samples, count=candidates, first=first_seed)
    with (
        record_run(project, "sample") as notes,
        progress(on_event, "Looking at candidates") as advance,
    ):
        generator = project.load_generator(runtime)
        interpreter = _interpreter(project, generator, runtime)
        existing = None
        if taken := project.samples:
            again = map(Synthesizer(project.layout, generator), taken)
            existing = describe_pyramids(synthesis.features for synthesis in again).vectors
        described = describe_pyramids(
            _candidate_features(project, generator, seeds),
            interpreter=interpreter,
            on_progress=lambda done: advance(done, candidates, ""),
        )
        choices = suggest_images(described, existing, count=count)
        samples = project.add_samples(
            count, runtime, seeds=[seeds[choice.index] for choice in choices]
        )
        suggested = Suggested(
            samples,
            tuple(choices),
            candidates,
            "diversity" if interpreter is None else "uncertainty and diversity",
        )
        notes.settings = {
            "count": count,
            "first_seed": samples[0].seed,
            "candidates": candidates,
            "chosen_by": suggested.chosen_by,
        }
    return suggested


def _new_seeds(samples: Sequence[Sample], *, count: int, first: int | None) -> tuple[int, ...]:
    """Return seeds from `first` on, or behind all samples', that no sample has."""
    taken = {sample.seed for sample in samples}
    if first is None:
        first = max(taken, default=-1) + 1
    return tuple(
        itertools.islice((seed for seed in itertools.count(first) if seed not in taken), count)
    )


def _interpreter(project: Project, generator: Generator, runtime: Runtime) -> Interpreter | None:
    path = project.layout.interpreter
    if not path.exists():
        return None
    interpreter = load_interpreter(path, runtime=runtime)
    check_fitted_on(interpreter.ensemble, generator.digest, what=f"interpreter in {path}")
    return interpreter


def _candidate_features(
    project: Project, generator: Generator, seeds: Sequence[int]
) -> Iterator[FeaturePyramid]:
    sampling = project.settings.sampling
    for seed in seeds:  # one at a time: features of large images fill much memory
        yield sample_images(generator, [seed], sampling)[1].features


def import_project_labels(
    project: Project | str | Path, source: str | Path, *, label_format: str = "png"
) -> LabelImport:
    """Bring painted masks into a project; see `Project.import_labels`."""
    project = open_project(project)
    with record_run(project, "import-labels") as notes:
        imported = project.import_labels(source, label_format=label_format)
        notes.settings = {"added": len(imported.added), "replaced": len(imported.replaced)}
    return imported


def import_project_keypoints(
    project: Project | str | Path, source: str | Path, *, keypoint_format: str = "auto"
) -> KeypointImport:
    """Bring marked points into a project; see `Project.import_keypoints`."""
    project = open_project(project)
    with record_run(project, "import-keypoints") as notes:
        imported = project.import_keypoints(source, keypoint_format=keypoint_format)
        notes.settings = {"added": len(imported.added), "replaced": len(imported.replaced)}
    return imported
