"""`report`: one page about the project."""

from collections.abc import Sequence
from pathlib import Path

from datasetgan.dataset import PhotoPair, find_pairs
from datasetgan.errors import ProjectError, UsageError
from datasetgan.pipeline.events import OnEvent, progress
from datasetgan.pipeline.stage import open_project
from datasetgan.project import Project, record_run
from datasetgan.report import write_report

__all__ = ["report_project"]


def report_project(
    project: Project | str | Path,
    *,
    dataset: str = "default",
    photos: str | Path | None = None,
    masks: str | Path | None = None,
    on_event: OnEvent | None = None,
) -> Path:
    """Write the project's report; return its path.

    Args:
        project: or its folder.
        dataset: the one to show.
        photos: folder of real photos, to show predictions beside the truth.
        masks: folder of their masks.
        on_event: told the progress.

    Raises:
        UsageError: photos without masks, or masks without photos.
        ProjectError: the project is one of photos.
        DatasetGANError: see `write_report`.
    """
    project = open_project(project)
    if project.settings.photos is not None:
        raise ProjectError(
            f"{project.folder} is a project of photos, and reports are of generated data. See its "
            "validation.json, labelled/index.json and evaluation.json."
        )
    pairs: Sequence[PhotoPair] = ()
    if photos is not None and masks is not None:
        pairs = find_pairs(Path(photos), Path(masks))
    elif photos is not None or masks is not None:
        raise UsageError("--photos and --masks belong together: give both, or neither.")
    with (
        record_run(project, "report") as notes,
        progress(on_event, "Writing the report") as advance,
    ):
        notes.settings = {"dataset": dataset}
        return write_report(
            project,
            dataset=dataset,
            pairs=pairs,
            on_progress=lambda p: advance(p.done, p.total, ""),
        )
