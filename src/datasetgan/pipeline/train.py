"""`train` and `train-keypoints`: networks for real photos, trained on a generated dataset."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from datasetgan.checkpoints.native import WeightCard
from datasetgan.dataset import read_dataset
from datasetgan.downstream import (
    KeypointNetwork,
    KeypointNetworkSettings,
    Segmenter,
    SegmenterSettings,
    train_keypoint_network,
    train_segmenter,
)
from datasetgan.interpreter.keypoints import KeypointSettings
from datasetgan.pipeline.events import Note, OnEvent, progress
from datasetgan.pipeline.stage import (
    Settings,
    manifest_digest,
    open_project,
    require,
    settings_of,
)
from datasetgan.project import Project, Stage, record_run
from datasetgan.runtime import Runtime, resolve_runtime
from datasetgan.serialization import sha256_of_file, to_plain

__all__ = ["train_project", "train_project_keypoints"]

Network = TypeVar("Network", Segmenter, KeypointNetwork)


def train_project(
    project: Project | str | Path,
    *,
    dataset: str = "default",
    drop_fraction: float = 0.1,
    settings: SegmenterSettings | Settings | None = None,
    runtime: Runtime | None = None,
    on_event: OnEvent | None = None,
) -> Segmenter:
    """Train a segmenter on a generated dataset and store it in the project.

    Args:
        project: or its folder.
        dataset: its name in the project.
        drop_fraction: share of the most uncertain images that is left out.
        settings: of the training, or values that replace those of ``[train]``.
        runtime: where it runs; `resolve_runtime()` by default.
        on_event: told the progress.

    Raises:
        ProjectError: there is no such dataset.
        DatasetGANError: see `train_segmenter`.
    """
    project = open_project(project)
    layout = project.layout
    resolved = settings_of(project, "train", SegmenterSettings, settings)
    return _train(
        project,
        "train",
        "segmenter",
        partial(train_segmenter, settings=resolved, state=layout.training_state),
        out=layout.segmenter,
        dataset=dataset,
        drop_fraction=drop_fraction,
        settings=resolved,
        model=resolved.model,
        runtime=runtime,
        on_event=on_event,
    )


def train_project_keypoints(
    project: Project | str | Path,
    *,
    dataset: str = "default",
    drop_fraction: float = 0.1,
    settings: KeypointNetworkSettings | Settings | None = None,
    runtime: Runtime | None = None,
    on_event: OnEvent | None = None,
) -> KeypointNetwork:
    """Train a heat-map network on a generated dataset and store it in the project.

    The arguments and errors are those of `train_project`; values given as `settings`
    replace those of ``[keypoints.train]``, whose table ``training`` is nested.
    """
    project = open_project(project)
    layout = project.layout
    # Points as wide as the interpreter was fitted on, unless the table says otherwise.
    fit = project.stage_settings("keypoints.fit", KeypointSettings)
    resolved = settings_of(
        project,
        "keypoints.train",
        KeypointNetworkSettings,
        settings,
        defaults={"sigma_share": fit.sigma_share},
    )
    return _train(
        project,
        "train-keypoints",
        "keypoint network",
        partial(train_keypoint_network, settings=resolved, state=layout.keypoint_training_state),
        out=layout.keypoint_network,
        dataset=dataset,
        drop_fraction=drop_fraction,
        settings=resolved,
        model=resolved.training.model,
        runtime=runtime,
        on_event=on_event,
    )


def _train(
    project: Project,
    stage: Stage,
    what: str,
    train: Callable[..., Network],
    *,
    out: Path,
    dataset: str,
    drop_fraction: float,
    settings: SegmenterSettings | KeypointNetworkSettings,
    model: str,
    runtime: Runtime | None,
    on_event: OnEvent | None,
) -> Network:
    """Train one network on a dataset of the project, store it, leave a record."""
    folder = project.layout.dataset(dataset)
    require(folder, project, command="generate")
    with (
        record_run(project, stage) as notes,
        progress(on_event, f"Training the {what}") as advance,
    ):
        data = read_dataset(folder, drop_fraction=drop_fraction)
        network = train(
            data,
            runtime=runtime or resolve_runtime(),
            on_progress=lambda p: advance(p.step, p.steps, f"loss {p.loss:.3f}"),
        )
        card = WeightCard(
            title=f"{what.capitalize()} of {project.settings.name}",
            licence="that of the generated dataset",
            data=f"{len(data)} generated samples of {dataset!r}, {len(data.dropped)} set aside",
        )
        network.save(out, card=card)
        notes.settings = {**to_plain(settings), "drop_fraction": drop_fraction}
        notes.digests = {"manifest": manifest_digest(project, dataset), what: sha256_of_file(out)}
    if on_event is not None:
        on_event(Note(f"Trained {model} on {len(data)} images ({len(data.dropped)} set aside)."))
    return network
