"""The stages of keypoints, as the commands run them: fit, train, evaluate."""

from pathlib import Path
from typing import Any

from datasetgan.checkpoints.native import WeightCard
from datasetgan.cli.console import progress_bar, say
from datasetgan.dataset import read_dataset, read_photo
from datasetgan.dataset.manifest import MANIFEST_NAME
from datasetgan.dataset.pairs import find_photos
from datasetgan.downstream import (
    AnnotatedPhoto,
    KeypointNetwork,
    KeypointNetworkSettings,
    evaluate_keypoint_network,
    load_keypoint_network,
    train_keypoint_network,
)
from datasetgan.errors import ProjectError
from datasetgan.interpreter import FitProgress
from datasetgan.interpreter.keypoints import (
    KeypointInterpreter,
    KeypointSettings,
    fit_keypoint_interpreter,
    load_keypoint_interpreter,
)
from datasetgan.metrics.keypoints import KeypointScores
from datasetgan.project import Project, record_run
from datasetgan.project.keypoint_formats import KeypointTarget, read_keypoint_file
from datasetgan.runtime import Runtime
from datasetgan.serialization import sha256_of_file, to_plain, write_json

__all__ = [
    "project_keypoint_interpreter",
    "run_evaluate_keypoints",
    "run_fit_keypoints",
    "run_train_keypoints",
]


def run_fit_keypoints(
    project: Project, runtime: Runtime, overrides: dict[str, Any]
) -> KeypointInterpreter | None:
    """Fit the keypoint interpreter and store it in the project.

    Args:
        overrides: values that replace those of ``[keypoints.fit]``; None where an option
            was not given.

    Returns:
        The interpreter; None where the project names no keypoints or nobody has marked
        any yet, so that every fit may call this.
    """
    if project.settings.keypoints is None or not any(project.annotated()):
        return None
    settings = project.stage_settings("keypoints.fit", KeypointSettings, overrides=overrides)
    with record_run(project, "fit-keypoints") as notes, progress_bar("Fitting keypoints") as bar:
        generator = project.load_generator(runtime)

        def report(progress: FitProgress) -> None:
            if progress.total is not None:
                loss = "" if progress.loss is None else f"loss {progress.loss:.4f}"
                bar(progress.done, progress.total, loss)

        interpreter = fit_keypoint_interpreter(
            project.annotated_features(generator),
            project.keypoints,
            settings=settings,
            runtime=runtime,
            generator_digest=generator.digest,
            on_progress=report,
        )
        fit = interpreter.report
        card = WeightCard(
            title=f"Keypoint interpreter of {project.settings.name}",
            licence="that of the marked points",
            data=f"{fit.images} annotated samples" if fit else None,
            paper="Zhang et al., DatasetGAN, CVPR 2021",
        )
        interpreter.save(project.layout.keypoint_interpreter, card=card)
        notes.settings = to_plain(settings)
        notes.digests = {"generator": generator.digest, "keypoint interpreter": interpreter.digest}
    if fit is not None:
        say(
            f"Fitted {settings.num_members} members to {sum(fit.points)} points of {fit.images} "
            f"images in {fit.seconds:.1f} s."
        )
        if unseen := fit.unseen(project.keypoints):
            say(f"Visible nowhere, so never found: {', '.join(unseen)}.", style="yellow")
    return interpreter


def project_keypoint_interpreter(project: Project, runtime: Runtime) -> KeypointInterpreter | None:
    """Load what `generate` places points with; None where the project names no keypoints.

    Raises:
        ProjectError: keypoints are marked but not fitted yet, or other names were fitted.
    """
    if project.settings.keypoints is None:
        return None
    path = project.layout.keypoint_interpreter
    if not path.exists():
        if any(project.annotated()):
            raise ProjectError(
                f"{path} does not exist yet. Run `datasetgan fit {project.folder}` first."
            )
        return None
    interpreter = load_keypoint_interpreter(path, runtime=runtime)
    if interpreter.schema != project.keypoints:
        raise ProjectError(
            f"{path} was fitted on the keypoints {', '.join(interpreter.schema.names)}, but "
            f"{project.layout.settings} names {', '.join(project.keypoints.names)}. "
            f"Run `datasetgan fit {project.folder}` again."
        )
    return interpreter


def run_train_keypoints(
    project: Project,
    runtime: Runtime,
    overrides: dict[str, Any],
    *,
    dataset: str,
    drop_fraction: float,
) -> KeypointNetwork:
    """Train a heat-map network on a generated dataset and store it in the project.

    Args:
        overrides: values that replace those of ``[keypoints.train.training]``; None where
            an option was not given.
    """
    settings = _network_settings(project, overrides)
    folder = project.layout.dataset(dataset)
    _require(folder, project, command="generate")
    with record_run(project, "train-keypoints") as notes, progress_bar("Training keypoints") as bar:
        data = read_dataset(folder, drop_fraction=drop_fraction)
        network = train_keypoint_network(
            data,
            settings=settings,
            runtime=runtime,
            on_progress=lambda p: bar(p.step, p.steps, f"loss {p.loss:.3f}"),
            state=project.layout.keypoint_training_state,
        )
        card = WeightCard(
            title=f"Keypoint network of {project.settings.name}",
            licence="that of the generated dataset",
            data=f"{len(data)} generated samples of {dataset!r}, {len(data.dropped)} set aside",
        )
        network.save(project.layout.keypoint_network, card=card)
        notes.settings = {**to_plain(settings), "drop_fraction": drop_fraction}
        notes.digests = {
            "manifest": sha256_of_file(folder / MANIFEST_NAME),
            "keypoint network": sha256_of_file(project.layout.keypoint_network),
        }
    say(f"Trained {settings.training.model} on {len(data)} images ({len(data.dropped)} set aside).")
    return network


def _network_settings(project: Project, overrides: dict[str, Any]) -> KeypointNetworkSettings:
    # Points as wide as the interpreter was fitted on, unless the table says otherwise.
    fit = project.stage_settings("keypoints.fit", KeypointSettings)
    # Read once by itself, so that what is wrong in the table is named before it is merged.
    project.stage_settings("keypoints.train", KeypointNetworkSettings)
    table = project.settings.keypoints.train if project.settings.keypoints else {}
    training = table.get("training", {})
    # Names often tell left from right, and a mirrored picture would swap them unnoticed.
    augmentation = {"orientation": "fixed", **training.get("augmentation", {})}
    given = {key: value for key, value in overrides.items() if value is not None}
    return project.stage_settings(
        "keypoints.train",
        KeypointNetworkSettings,
        defaults={"sigma_share": fit.sigma_share},
        overrides={"training": {**training, "augmentation": augmentation, **given}},
    )


def run_evaluate_keypoints(
    project: Project,
    runtime: Runtime,
    *,
    photos: Path,
    keypoints: Path,
    keypoint_format: str = "auto",
) -> KeypointScores:
    """Score the project's keypoint network on real photos with marked points.

    Raises:
        LabelError: the file does not fit the photos or the project's names.
        DatasetError: the folder holds no photo, or one that cannot be read.
    """
    _require(project.layout.keypoint_network, project, command="train-keypoints")
    with record_run(project, "evaluate-keypoints") as notes, progress_bar("Evaluating") as bar:
        network = load_keypoint_network(project.layout.keypoint_network, runtime=runtime)
        annotated = _annotated_photos(
            photos, keypoints, network=network, keypoint_format=keypoint_format
        )
        scores = evaluate_keypoint_network(
            network, annotated, on_progress=lambda done, total: bar(done, total, "")
        )
        write_json(project.layout.keypoint_evaluation, scores)
        notes.digests = {"keypoint network": sha256_of_file(project.layout.keypoint_network)}
        notes.settings = {"photos": len(annotated)}
    return scores


def _annotated_photos(
    photos: Path, file: Path, *, network: KeypointNetwork, keypoint_format: str
) -> list[AnnotatedPhoto]:
    """Match the photos of a folder with the points of a file by name.

    Photos without points are passed over: an annotation tool leaves out what it has not
    come to. Points without a photo are an error.
    """
    paths = find_photos(photos)
    sizes = {name: _size(path) for name, path in paths.items()}
    target = KeypointTarget("photo", sizes, network.schema)
    found = read_keypoint_file(file, target, keypoint_format=keypoint_format)
    return [AnnotatedPhoto(paths[key], found[key]) for key in sorted(found)]


def _size(photo: Path) -> tuple[int, int]:
    # Read in full: which way up a photo is seen is for `read_photo` to say.
    height, width, _ = read_photo(photo).shape
    return height, width


def _require(path: Path, project: Project, *, command: str) -> None:
    if not path.exists():
        raise ProjectError(
            f"{path} does not exist yet. Run `datasetgan {command} {project.folder}` first."
        )
