"""`train` and `train-keypoints`: networks for real photos, trained on a generated dataset."""

from pathlib import Path

from datasetgan.checkpoints.native import WeightCard
from datasetgan.dataset import LabelledDataset, read_dataset
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
from datasetgan.project import Project, record_run
from datasetgan.runtime import Runtime, resolve_runtime
from datasetgan.serialization import sha256_of_file, to_plain

__all__ = ["train_project", "train_project_keypoints"]


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
    runtime = runtime or resolve_runtime()
    resolved = settings_of(project, "train", SegmenterSettings, settings)
    require(project.layout.dataset(dataset), project, command="generate")
    layout = project.layout
    with (
        record_run(project, "train") as notes,
        progress(on_event, "Training the segmenter") as advance,
    ):
        data = read_dataset(layout.dataset(dataset), drop_fraction=drop_fraction)
        segmenter = train_segmenter(
            data,
            settings=resolved,
            runtime=runtime,
            on_progress=lambda p: advance(p.step, p.steps, f"loss {p.loss:.3f}"),
            state=layout.training_state,
        )
        segmenter.save(layout.segmenter, card=_card(project, "Segmenter", data, dataset))
        notes.settings = {**to_plain(resolved), "drop_fraction": drop_fraction}
        notes.digests = {
            "manifest": manifest_digest(project, dataset),
            "segmenter": sha256_of_file(layout.segmenter),
        }
    _tell(on_event, resolved.model, data)
    return segmenter


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
    runtime = runtime or resolve_runtime()
    # Points as wide as the interpreter was fitted on, unless the table says otherwise.
    fit = project.stage_settings("keypoints.fit", KeypointSettings)
    resolved = settings_of(
        project,
        "keypoints.train",
        KeypointNetworkSettings,
        settings,
        defaults={"sigma_share": fit.sigma_share},
    )
    require(project.layout.dataset(dataset), project, command="generate")
    layout = project.layout
    with (
        record_run(project, "train-keypoints") as notes,
        progress(on_event, "Training keypoints") as advance,
    ):
        data = read_dataset(layout.dataset(dataset), drop_fraction=drop_fraction)
        network = train_keypoint_network(
            data,
            settings=resolved,
            runtime=runtime,
            on_progress=lambda p: advance(p.step, p.steps, f"loss {p.loss:.3f}"),
            state=layout.keypoint_training_state,
        )
        card = _card(project, "Keypoint network", data, dataset)
        network.save(layout.keypoint_network, card=card)
        notes.settings = {**to_plain(resolved), "drop_fraction": drop_fraction}
        notes.digests = {
            "manifest": manifest_digest(project, dataset),
            "keypoint network": sha256_of_file(layout.keypoint_network),
        }
    _tell(on_event, resolved.training.model, data)
    return network


def _card(project: Project, kind: str, data: LabelledDataset, dataset: str) -> WeightCard:
    return WeightCard(
        title=f"{kind} of {project.settings.name}",
        licence="that of the generated dataset",
        data=f"{len(data)} generated samples of {dataset!r}, {len(data.dropped)} set aside",
    )


def _tell(on_event: OnEvent | None, model: str, data: LabelledDataset) -> None:
    if on_event is not None:
        on_event(Note(f"Trained {model} on {len(data)} images ({len(data.dropped)} set aside)."))
