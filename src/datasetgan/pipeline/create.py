"""A new project, around a generator that is embedded, native or another project's."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from datasetgan.checkpoints.generator_files import is_foreign_file
from datasetgan.checkpoints.import_checkpoint import ImportReport
from datasetgan.keypoints import KeypointSchema
from datasetgan.pipeline.events import OnEvent, Result, progress
from datasetgan.pipeline.settings import stage_defaults
from datasetgan.project import Project, SamplingSettings
from datasetgan.taxonomy import ClassTaxonomy

__all__ = ["new_project"]


def new_project(
    folder: str | Path,
    classes: ClassTaxonomy | Sequence[str],
    *,
    generator: str | Path = "wbc",
    keypoints: Sequence[str] = (),
    name: str | None = None,
    truncation_psi: float = 0.7,
    mean_latent: str | Path | None = None,
    licence: str | None = None,
    on_event: OnEvent | None = None,
) -> Project:
    """Make a project folder for a generator and a list of classes: `datasetgan new`.

    Args:
        folder: must not exist or be empty (but for ``.git``).
        classes: a taxonomy, or names, background first.
        generator: an embedded generator's name, a native checkpoint, or a file of another
            project, which is imported on the way.
        keypoints: names of points to mark in every image, if any.
        name: of the project; the folder's by default.
        truncation_psi: pull of latents to the mean latent: 1 none, 0 all.
        mean_latent: ``.npy`` file of an imported generator's mean latent.
        licence: of an imported generator's weights.
        on_event: told of an import: a `Result` with its `ImportReport`.

    Raises:
        DatasetGANError: see `Project.create`.
    """
    taxonomy = (
        classes if isinstance(classes, ClassTaxonomy) else ClassTaxonomy.from_names(list(classes))
    )
    sampling = SamplingSettings(truncation_psi=truncation_psi)
    importing = is_foreign_file(generator)
    with progress(on_event, "Importing the generator") if importing else nullcontext():
        reports: list[ImportReport] = []
        project = Project.create(
            folder,
            name=Path(folder).resolve().name if name is None else name,
            generator=generator,
            taxonomy=taxonomy,
            sampling=sampling,
            stages=stage_defaults(sampling),
            keypoints=KeypointSchema(tuple(keypoints)) if keypoints else None,
            mean_latent=None if mean_latent is None else Path(mean_latent),
            licence=licence,
            on_import=reports.append,
        )
    if on_event is not None:
        for report in reports:
            on_event(Result(report))
    return project
