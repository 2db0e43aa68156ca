"""Writing a project's report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasetgan.dataset import PhotoPair
from datasetgan.project import Project
from datasetgan.report.collect import collect_report
from datasetgan.report.page import render_page
from datasetgan.report.photos import MAX_PHOTOS
from datasetgan.runtime import Runtime
from datasetgan.serialization import write_atomic

__all__ = ["ReportProgress", "write_report"]


@dataclass(frozen=True)
class ReportProgress:
    """How far a report is.

    Attributes:
        done: steps made: each photo, then reading, then drawing.
        total: steps to make.
    """

    done: int
    total: int


def write_report(
    project: Project,
    *,
    dataset: str = "default",
    drop_fraction: float | None = None,
    pairs: Sequence[PhotoPair] = (),
    runtime: Runtime | None = None,
    on_progress: Callable[[ReportProgress], None] | None = None,
) -> Path:
    """Write ``report.html`` into a project: one page, pictures within, nothing loaded.

    What the project does not have yet is said in its section. On one machine the same
    project gives the same bytes.

    Args:
        project: at least a dataset is generated.
        dataset: its name.
        drop_fraction: share of the most uncertain images that counts as left out;
            what the segmenter was trained with by default, else 0.1.
        pairs: real photos with masks, to show predictions beside the truth.
        runtime: where networks run; the CPU by default.
        on_progress: called after every step.

    Returns:
        The path of the page.

    Raises:
        ProjectError: the project has no dataset of that name.
        DatasetError: the dataset is unfinished or altered, or a photo cannot be read.
        LabelError: a painted label map or a mask does not fit.
        CheckpointError: generator, interpreter or segmenter is damaged.
        ConfigError: an index, a record or the evaluation does not parse.
        UsageError: `drop_fraction` is not within [0, 1).
        StorageError: the disk is full; a former page is left as it was.
    """
    total = min(len(pairs), MAX_PHOTOS) + 2 if project.layout.segmenter.is_file() else 2
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if on_progress is not None:
            on_progress(ReportProgress(done, total))

    content = collect_report(
        project,
        dataset_name=dataset,
        drop_fraction=drop_fraction,
        pairs=pairs,
        runtime=runtime or Runtime(),
        on_photo=advance,
    )
    advance()
    page = render_page(content)
    # The name of a photo may hold bytes that are no text; they show as question marks.
    write_atomic(project.layout.report, page.encode("utf-8", "replace"))
    advance()
    return project.layout.report
