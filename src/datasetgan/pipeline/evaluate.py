"""`evaluate` and `evaluate-keypoints`: the trained networks' scores on real photos."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from datasetgan.dataset import find_pairs, read_photo
from datasetgan.dataset.pairs import find_photos
from datasetgan.downstream import (
    AnnotatedPhoto,
    Evaluation,
    KeypointNetwork,
    evaluate_keypoint_network,
    evaluate_segmenter,
    load_keypoint_network,
    load_segmenter,
)
from datasetgan.metrics.keypoints import KeypointScores
from datasetgan.pipeline.events import OnEvent, progress
from datasetgan.pipeline.stage import open_project, require
from datasetgan.project import Project, RunNotes, record_run
from datasetgan.project.keypoint_formats import KeypointTarget, read_keypoint_file
from datasetgan.runtime import Runtime, resolve_runtime
from datasetgan.serialization import sha256_of_file, write_json

__all__ = ["evaluate_project", "evaluate_project_keypoints"]


def evaluate_project(
    project: Project | str | Path,
    photos: str | Path,
    masks: str | Path,
    *,
    merges: Mapping[str, Sequence[str]] | None = None,
    runtime: Runtime | None = None,
    on_event: OnEvent | None = None,
) -> Evaluation:
    """Score the project's segmenter on real photos with painted masks.

    Scores of merged classes are returned, not stored, and leave no record: the report
    shows the project's own, and its record says which segmenter they are of.

    Args:
        project: or its folder.
        photos: folder of photos.
        masks: folder of their masks, called as the photos are.
        merges: new class names with the old ones that each unites, background first.
        runtime: where it runs; `resolve_runtime()` by default.
        on_event: told the progress.

    Raises:
        ProjectError: no segmenter is trained yet.
        DatasetGANError: see `find_pairs` and `evaluate_segmenter`.
    """
    project = open_project(project)
    runtime = runtime or resolve_runtime()
    path = project.layout.segmenter
    require(path, project, command="train")
    record = record_run(project, "evaluate") if merges is None else nullcontext(RunNotes())
    with record as notes, progress(on_event, "Evaluating on photos") as advance:
        pairs = find_pairs(Path(photos), Path(masks))
        evaluation = evaluate_segmenter(
            load_segmenter(path, runtime=runtime),
            pairs,
            merges=merges,
            on_progress=lambda done, total: advance(done, total, ""),
        )
        if merges is None:
            write_json(project.layout.evaluation, evaluation)
        notes.digests = {"segmenter": sha256_of_file(path)}
        notes.settings = {"photos": len(pairs)}
    return evaluation


def evaluate_project_keypoints(
    project: Project | str | Path,
    photos: str | Path,
    keypoints: str | Path,
    *,
    keypoint_format: str = "auto",
    runtime: Runtime | None = None,
    on_event: OnEvent | None = None,
) -> KeypointScores:
    """Score the project's keypoint network on real photos with marked points.

    Args:
        project: or its folder.
        photos: folder of photos.
        keypoints: file of their points, of CVAT or COCO.
        keypoint_format: ``"cvat"``, ``"coco"``, or ``"auto"``, which tells them apart.
        runtime: where it runs; `resolve_runtime()` by default.
        on_event: told the progress.

    Raises:
        ProjectError: no keypoint network is trained yet.
        LabelError: the file does not fit the photos or the project's names.
        DatasetError: the folder holds no photo, or one that cannot be read.
    """
    project = open_project(project)
    runtime = runtime or resolve_runtime()
    path = project.layout.keypoint_network
    require(path, project, command="train-keypoints")
    with (
        record_run(project, "evaluate-keypoints") as notes,
        progress(on_event, "Evaluating") as advance,
    ):
        network = load_keypoint_network(path, runtime=runtime)
        annotated = _annotated_photos(
            Path(photos), Path(keypoints), network=network, keypoint_format=keypoint_format
        )
        scores = evaluate_keypoint_network(
            network, annotated, on_progress=lambda done, total: advance(done, total, "")
        )
        write_json(project.layout.keypoint_evaluation, scores)
        notes.digests = {"keypoint network": sha256_of_file(path)}
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
    # Read in full: which way up a photo is seen is for `read_photo` to say.
    shapes = {name: read_photo(path).shape for name, path in paths.items()}
    sizes = {name: (shape[0], shape[1]) for name, shape in shapes.items()}
    target = KeypointTarget("photo", sizes, network.schema)
    found = read_keypoint_file(file, target, keypoint_format=keypoint_format)
    return [AnnotatedPhoto(paths[key], found[key]) for key in sorted(found)]
