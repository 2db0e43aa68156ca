"""Images to paint, and what people painted: sample, suggest, import."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from datasetgan.errors import UsageError
from datasetgan.features.source import Drawn, FeatureSource
from datasetgan.generators.source import GeneratorSource
from datasetgan.interpreter import (
    ImageDescriptors,
    Interpreter,
    Suggestion,
    describe_pyramids,
    suggest_images,
)
from datasetgan.interpreter.suggest import MAX_CANDIDATES
from datasetgan.pipeline.events import Advance, OnEvent, progress
from datasetgan.pipeline.stage import fitted_interpreter, open_project
from datasetgan.project import KeypointImport, LabelImport, Picture, Project, Sample, record_run
from datasetgan.project.samples import Synthesizer
from datasetgan.runtime import Runtime, Stream, random_state, resolve_runtime

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
        samples: the new ones, or the photos, in the order they were chosen.
        choices: why each was chosen.
        candidates: images that were looked at.
        chosen_by: ``"diversity"`` alone before the first fit.
    """

    samples: tuple[Picture, ...]
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
    """Choose images to paint that teach the interpreter most: new samples, or photos.

    At first images that stand for many others; once an interpreter is fitted, those among
    them above all that its classifiers disagree on. New samples are added to the project; a
    project of photos has all of them already.

    Args:
        project: or its folder.
        count: how many to choose.
        candidates: how many new images to choose among; of photos, how many of those that
            are not painted, at most.
        first_seed: of the candidates; behind those of all samples by default.
        runtime: where the network runs; `resolve_runtime()` by default.
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
    with (
        record_run(project, "sample") as notes,
        progress(on_event, "Looking at candidates") as advance,
    ):
        choose = _choose_photos if project.settings.photos else _choose_new
        suggested = choose(project, count, candidates, first_seed, runtime, advance)
        first = suggested.samples[0]
        notes.settings = {
            "count": count,
            **({"first_seed": first.seed} if isinstance(first, Sample) else {}),
            "candidates": suggested.candidates,
            "chosen_by": suggested.chosen_by,
        }
    return suggested


def _choose_new(
    project: Project,
    count: int,
    candidates: int,
    first_seed: int | None,
    runtime: Runtime,
    advance: Advance,
) -> Suggested:
    """Choose among new seeds, and add the chosen."""
    seeds = _new_seeds(project.samples, count=candidates, first=first_seed)
    generator = project.load_generator(runtime)
    interpreter = fitted_interpreter(project, generator, runtime)
    existing = None
    if taken := project.samples:
        existing = _describe(Synthesizer(project.layout, generator), taken).vectors
    source = GeneratorSource(generator, project.settings.sampling)
    described = describe_pyramids(
        (source.features(Drawn(seed)) for seed in seeds),
        interpreter=interpreter,
        on_progress=lambda done: advance(done, candidates, ""),
    )
    choices = suggest_images(described, existing, count=count)
    seeds = tuple(seeds[choice.index] for choice in choices)
    samples = project.add_samples(count, runtime, seeds=seeds)
    return Suggested(samples, choices, candidates, _chosen_by(interpreter))


def _choose_photos(
    project: Project,
    count: int,
    candidates: int,
    first_seed: int | None,
    runtime: Runtime,
    advance: Advance,
) -> Suggested:
    """Choose among the photos that nobody painted."""
    if first_seed is not None:
        raise UsageError("--seed is of new samples: the photos of a project are there already.")
    painted = [p for p in project.photos if project.layout.label(p.key).exists()]
    photos = [p for p in project.photos if p not in painted]
    if len(photos) < count:
        raise UsageError(
            f"{count} photos cannot be chosen: {len(photos)} of {project.folder} are unpainted."
        )
    if len(photos) > candidates:
        rows = random_state(len(painted), Stream.CANDIDATE_PHOTOS).permutation(len(photos))[
            :candidates
        ]
        photos = [photos[row] for row in sorted(rows.tolist())]
    source = project.load_source(runtime)
    interpreter = fitted_interpreter(project, source, runtime)
    existing = _describe(source, painted).vectors if painted else None
    described = describe_pyramids(
        (source.features(photo.origin) for photo in photos),
        interpreter=interpreter,
        on_progress=lambda done: advance(done, len(photos), ""),
    )
    # Nothing is dropped: a photo that nobody drew cannot be a broken drawing.
    choices = suggest_images(described, existing, count=count, drop_share=0)
    chosen = tuple(photos[choice.index] for choice in choices)
    return Suggested(chosen, choices, len(photos), _chosen_by(interpreter))


def _describe(source: FeatureSource, pictures: Sequence[Picture]) -> ImageDescriptors:
    # One at a time: features of large images fill much memory.
    return describe_pyramids(source.features(picture.origin) for picture in pictures)


def _chosen_by(
    interpreter: Interpreter | None,
) -> Literal["diversity", "uncertainty and diversity"]:
    return "diversity" if interpreter is None else "uncertainty and diversity"


def _new_seeds(samples: Sequence[Sample], *, count: int, first: int | None) -> tuple[int, ...]:
    """Return seeds from `first` on, or behind all samples', that no sample has."""
    taken = {sample.seed for sample in samples}
    if first is None:
        first = max(taken, default=-1) + 1
    return tuple(
        itertools.islice((seed for seed in itertools.count(first) if seed not in taken), count)
    )


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
