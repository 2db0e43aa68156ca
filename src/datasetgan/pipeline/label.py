"""`label`: label maps for the photos that nobody painted."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import torch

from datasetgan.dataset import (
    UNCERTAINTY_SCALE,
    DatasetManifest,
    SampleRecord,
    begin_dataset,
    encode_label_png,
    finish_dataset,
    write_part,
    write_sample,
)
from datasetgan.dataset.manifest import FORMAT
from datasetgan.errors import ProjectError, UsageError
from datasetgan.factory import label_photos
from datasetgan.interpreter import Interpreter
from datasetgan.pipeline.events import OnEvent, progress
from datasetgan.pipeline.stage import fitted_interpreter, open_project, require
from datasetgan.project import PhotoSample, Project, record_run
from datasetgan.project.samples import sample_size
from datasetgan.runtime import Runtime, resolve_runtime
from datasetgan.serialization import write_atomic, write_json

__all__ = ["LabelledIndex", "LabelledPhoto", "label_project"]


@dataclass(frozen=True)
class LabelledPhoto:
    """One photo that was labelled.

    Attributes:
        key: of the photo in the project; its label map is called so.
        name: of the file that the photo came from.
        uncertainty_score: in nats; higher is less certain.
    """

    key: str
    name: str
    uncertainty_score: float


@dataclass(frozen=True)
class LabelledIndex:
    """What `label` did: the content of ``labelled/index.json``, which is written last.

    Attributes:
        encoder_sha256: digest of what read the photos.
        interpreter_sha256: digest of what labelled them.
        photos: the most uncertain first: those to paint next, or to look at.
    """

    encoder_sha256: str
    interpreter_sha256: str
    photos: tuple[LabelledPhoto, ...]


def label_project(
    project: Project | str | Path,
    *,
    dataset: str | None = None,
    runtime: Runtime | None = None,
    on_event: OnEvent | None = None,
) -> LabelledIndex:
    """Label every photo of a project that is not painted: `datasetgan label`.

    Label maps go to ``labelled/KEY.png``, at the size of their photos; those of an earlier
    run are replaced.

    Args:
        project: or its folder.
        dataset: also make a dataset of this name, for `train`; its photos must be of one size.
        runtime: where it runs; `resolve_runtime()` by default.
        on_event: told the progress.

    Raises:
        ProjectError: the project has a generator in place of photos, nothing is fitted yet,
            everything is painted, or the photos differ in size where a dataset is wanted.
        DatasetError: the dataset's folder holds something else.
        StorageError: the disk is full.
    """
    project = open_project(project)
    runtime = runtime or resolve_runtime()
    layout = project.layout
    todo = [photo for photo in project.photos if not layout.label(photo.key).exists()]
    require(layout.interpreter, project, command="fit")
    if not todo:
        raise ProjectError(f"every photo of {project.folder} is painted: none is left to label.")
    size = None if dataset is None else _common_size(project, todo)
    with record_run(project, "label") as notes, progress(on_event, "Labelling photos") as advance:
        source = project.load_source(runtime)
        interpreter = fitted_interpreter(project, source, runtime)
        assert interpreter is not None
        plan, out = None, layout.dataset(dataset or "")
        if size is not None:
            plan = _plan(interpreter, source.digest, todo, size)
            if begin_dataset(out, plan) is not None:
                plan = None  # it is complete
        photos, records = [], list[SampleRecord]()
        pairs = [(photo.key, photo.origin) for photo in todo]
        for photo, sample in zip(
            todo, label_photos(source, interpreter, pairs, folder=project.folder), strict=True
        ):
            data = encode_label_png(sample.label_map, project.taxonomy)
            write_atomic(layout.labelled / f"{photo.key}.png", data)
            if plan is not None:
                records.append(write_sample(out, sample, project.taxonomy))
            photos.append(LabelledPhoto(photo.key, photo.name, sample.uncertainty_score))
            advance(len(photos), len(todo), "")
        if plan is not None:
            write_part(out, 0, tuple(records))
            finish_dataset(out, plan, num_parts=1)
        index = LabelledIndex(
            source.digest,
            interpreter.digest,
            tuple(sorted(photos, key=lambda photo: -photo.uncertainty_score)),
        )
        write_json(layout.labelled / "index.json", index)
        notes.settings = {"photos": len(todo)} | ({} if dataset is None else {"dataset": dataset})
        notes.digests = {"encoder": source.digest, "interpreter": interpreter.digest}
    return index


def _common_size(project: Project, photos: Sequence[PhotoSample]) -> tuple[int, int]:
    sizes = {sample_size(project.layout.image(photo.key)) for photo in photos}
    if len(sizes) > 1:
        shown = ", ".join(f"{width}x{height}" for height, width in sorted(sizes)[:4])
        raise UsageError(
            f"the photos of a dataset are of one size, those of {project.folder} are {shown} and "
            "so on. Label them without --dataset, or make a project of photos cut to one size."
        )
    return sizes.pop()


def _plan(
    interpreter: Interpreter, digest: str, photos: Sequence[PhotoSample], size: tuple[int, int]
) -> DatasetManifest:
    named = sha256("".join(f"{photo.key} {photo.sha256}\n" for photo in photos).encode())
    return DatasetManifest(
        format=FORMAT,
        datasetgan_version=version("datasetgan"),
        torch_version=str(torch.__version__),
        generator_sha256=digest,
        interpreter_sha256=interpreter.digest,
        taxonomy=interpreter.taxonomy,
        height=size[0],
        width=size[1],
        uncertainty_scale=UNCERTAINTY_SCALE,
        settings={"photos": len(photos), "photos_sha256": named.hexdigest(), "uncertainty": "map"},
    )
