"""Keypoints end to end on the embedded blood cells: held-out samples, then real photos.

python benchmarks/keypoints.py [--out DIR] [-n 600] [--steps 500] [--members 3] [--sigma 0.06]

Nobody placed points on the 16 painted samples and the 20 painted photos, so they are read
off the masks, the same way in both: the centre of the nucleus, and the box of the cell
(nucleus and cytoplasm) as its centre and the middle of each of its four extreme rows and
columns of pixels. Cells lie in the middle of their pictures, so the least that an answer
must beat is the mean place of the samples that it was fitted on; it is printed beside.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from datasetgan import assets
from datasetgan.dataset import (
    Keypoints,
    KeypointSchema,
    LabelledDataset,
    find_pairs,
    read_dataset,
    read_label_png,
    read_photo,
)
from datasetgan.downstream import (
    AnnotatedPhoto,
    AugmentationSettings,
    KeypointNetworkSettings,
    NetworkTraining,
    evaluate_keypoint_network,
    train_keypoint_network,
)
from datasetgan.factory import GenerationSettings, generate_samples
from datasetgan.interpreter import FitSettings, fit_interpreter
from datasetgan.interpreter.keypoints import (
    AnnotatedImages,
    KeypointSettings,
    cache_annotated,
    fit_keypoint_interpreter,
)
from datasetgan.interpreter.keypoints.fit import KeypointFolds
from datasetgan.metrics.keypoints import (
    KeypointScores,
    keypoint_errors,
    score_keypoints,
)
from datasetgan.project import Project, SamplingSettings
from datasetgan.runtime import Runtime, Stream, random_state, resolve_runtime
from datasetgan.taxonomy import ClassTaxonomy

NAMES = ("nucleus centre", "cell centre", "cell left", "cell right", "cell top", "cell bottom")
TAXONOMY = ClassTaxonomy.from_names(assets.EMBEDDED_CLASSES)
CYTOPLASM, NUCLEUS = TAXONOMY.names.index("cytoplasm"), TAXONOMY.names.index("nucleus")

Bits = NDArray[np.bool_]
T = TypeVar("T")


def points_of_mask(label_map: NDArray[np.uint8]) -> Keypoints:
    """Read the points of `NAMES` off a mask; a cell without a nucleus has but five."""
    nucleus = label_map == NUCLEUS
    cell = nucleus | (label_map == CYTOPLASM)
    rows, columns = (np.flatnonzero(cell.any(axis=axis)) for axis in (1, 0))
    left, right, top, bottom = columns[0], columns[-1], rows[0], rows[-1]

    def middle(line: Bits) -> float:
        return float(np.flatnonzero(line).mean()) + 0.5

    points = [
        _centre(nucleus) if nucleus.any() else (0.0, 0.0),
        _centre(cell),
        (left + 0.5, middle(cell[:, left])),
        (right + 0.5, middle(cell[:, right])),
        (middle(cell[top]), top + 0.5),
        (middle(cell[bottom]), bottom + 0.5),
    ]
    visible = np.ones(len(NAMES), dtype=np.bool_)
    visible[0] = nucleus.any()
    return Keypoints(np.array(points, dtype=np.float64), visible)


def _centre(region: Bits) -> tuple[float, float]:
    rows, columns = np.nonzero(region)
    return float(columns.mean()) + 0.5, float(rows.mean()) + 0.5


def write_coco(path: Path, points: dict[str, Keypoints]) -> Path:
    """Write points by file name as annotation tools export them."""
    data = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(points)],
        "categories": [{"id": 1, "name": "cell", "keypoints": list(NAMES)}],
        "annotations": [
            {
                "id": i,
                "image_id": i,
                "category_id": 1,
                "keypoints": [
                    value
                    for (x, y), seen in zip(found.points.tolist(), found.visible, strict=True)
                    for value in (x, y, 2 if seen else 0)
                ],
            }
            for i, found in enumerate(points.values())
        ],
    }
    path.write_text(json.dumps(data), "utf-8")
    return path


def make_project(folder: Path) -> Project:
    """Make a project of the painted samples, their masks and the points of these."""
    painted = assets.painted_samples()
    project = Project.create(
        folder / "project",
        name="white blood cells",
        generator="wbc",
        taxonomy=TAXONOMY,
        sampling=SamplingSettings(truncation_psi=painted.truncation_psi),
        keypoints=KeypointSchema(NAMES),
    )
    project.add_samples(len(painted.seeds), seeds=painted.seeds)
    project.import_labels(painted.masks)
    points = {f"{p.sample.key}.png": points_of_mask(p.label_map) for p in project.painted()}
    project.import_keypoints(write_coco(folder / "samples.json", points))
    return project


def mean_points(points: Sequence[Keypoints]) -> Keypoints:
    """Answer with the mean place of each point, whatever the picture shows."""
    places = np.stack([p.points for p in points])
    seen = np.stack([p.visible for p in points])
    mean = np.array([places[seen[:, j], j].mean(axis=0) for j in range(places.shape[1])])
    return Keypoints(mean, np.ones(len(mean), dtype=np.bool_))


def held_out(
    annotated: AnnotatedImages,
    *,
    folds: int,
    settings: KeypointSettings,
) -> tuple[KeypointScores, KeypointScores]:
    """Fit without each fold in turn; return the scores on the folds, ours and the mean's."""
    schema = KeypointSchema(NAMES)
    order = random_state(0, Stream.KEYPOINT_REGIONS).permutation(len(annotated.keys))
    split = [part.tolist() for part in np.array_split(order, folds)]
    ours, means = [], []
    fitter = KeypointFolds(annotated, schema, settings)
    for part, interpreter in zip(split, fitter(split), strict=True):
        rest = [points for i, points in enumerate(annotated.keypoints) if i not in part]
        constant = mean_points(rest)
        for i in part:
            truth, size = annotated.keypoints[i], annotated.sizes[i]
            found = interpreter.predict(annotated.cache.pyramid(i), size=size).keypoints(0)
            ours.append(keypoint_errors(found, truth, size=size))
            means.append(keypoint_errors(constant, truth, size=size))
    return score_keypoints(ours, schema), score_keypoints(means, schema)


def show(title: str, ours: KeypointScores, means: KeypointScores) -> None:
    """Print both scores as one table."""
    print(f"\n{title}: {ours.images} images, of the mean place in brackets")
    shares = "".join(f"PCK@{share:.2f}".rjust(16) for share in ours.shares)
    print(f"{'':16}{'L2, px':>16}{'L2, % of side':>18}{shares}{'visible':>9}")
    for mine, mean in zip(
        (*ours.keypoints, ours.overall), (*means.keypoints, means.overall), strict=True
    ):
        pck = "".join(
            f"{100 * a:.0f} ({100 * b:.0f})".rjust(16)
            for a, b in zip(mine.pck, mean.pck, strict=True)
        )
        print(
            f"{mine.name:16}{pair(mine.l2_pixels, mean.l2_pixels, 2):>16}"
            f"{pair(mine.l2_sides, mean.l2_sides, 2, 100):>18}{pck}{100 * (mine.recall or 0):8.0f}%"
        )


def pair(mine: float | None, mean: float | None, digits: int, factor: float = 1) -> str:
    """Print a score with that of the mean place in brackets."""
    return f"{factor * (mine or 0):.{digits}f} ({factor * (mean or 0):.{digits}f})"


def generate(project: Project, *, count: int, settings: KeypointSettings) -> LabelledDataset:
    """Fit both interpreters on all samples and generate a dataset with labels and points."""
    generator = project.load_generator()
    keypoints = fit_keypoint_interpreter(
        project.annotated_features(generator),
        project.keypoints,
        settings=settings,
        generator_digest=generator.digest,
    )
    # Labels are not scored here; they only decide which images are set aside.
    interpreter = fit_interpreter(
        project.painted_features(generator),
        project.taxonomy,
        settings=FitSettings(num_members=3),
        generator_digest=generator.digest,
    )
    folder = project.layout.dataset("default")
    generate_samples(
        generator,
        interpreter,
        folder,
        settings=GenerationSettings(num_samples=count),
        keypoints=keypoints,
    )
    return read_dataset(folder)


def on_photos(
    data: LabelledDataset, *, settings: KeypointNetworkSettings, runtime: Runtime
) -> tuple[KeypointScores, KeypointScores]:
    """Train a network on the dataset; return its scores on the photos and the mean's."""
    network = train_keypoint_network(data, settings=settings, runtime=runtime)
    painted = assets.painted_photos()
    photos = [
        AnnotatedPhoto(pair.photo, points_of_mask(read_label_png(pair.mask, TAXONOMY)))
        for pair in find_pairs(painted.photos, painted.masks)
    ]
    constant = mean_points([r.keypoints.to_keypoints() for r in data.kept if r.keypoints])
    size = (data.manifest.height, data.manifest.width)
    means = []
    for item in photos:
        height, width, _ = read_photo(item.photo).shape
        there = constant.resized(size, to=(height, width))
        means.append(keypoint_errors(there, item.keypoints, size=(height, width)))
    return evaluate_keypoint_network(network, photos), score_keypoints(means, network.schema)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder to keep the project in")
    parser.add_argument("-n", type=int, default=600, help="generated images")
    parser.add_argument("--steps", type=int, default=500, help="of the network")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--fit-steps", type=int, default=300)
    parser.add_argument("--fit-batch", type=int, default=256)
    parser.add_argument("--sigma", type=float, default=0.06, help="share of the side")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    runtime = resolve_runtime("cpu", threads=options.threads)
    settings = KeypointSettings(
        num_members=options.members,
        steps=options.fit_steps,
        batch=options.fit_batch,
        sigma_share=options.sigma,
    )
    network = KeypointNetworkSettings(
        sigma_share=options.sigma,
        # The names tell left from right, and a turned cell has its extremes elsewhere.
        training=NetworkTraining(
            steps=options.steps,
            augmentation=AugmentationSettings(orientation="fixed", rotation=0),
        ),
    )
    with tempfile.TemporaryDirectory() as scratch:
        project = make_project(options.out or Path(scratch))
        samples = project.annotated_features(project.load_generator())
        annotated = cache_annotated(samples, project.keypoints)
        scores = timed(
            f"{options.folds} fits",
            lambda: held_out(annotated, folds=options.folds, settings=settings),
        )
        show("Held-out painted samples", *scores)
        data = timed(
            f"{options.n} images generated",
            lambda: generate(project, count=options.n, settings=settings),
        )
        photos = timed(
            f"network of {options.steps} steps",
            lambda: on_photos(data, settings=network, runtime=runtime),
        )
        show("Real photos", *photos)


def timed(title: str, work: Callable[[], T]) -> T:
    """Run a stage and print its seconds."""
    start = time.perf_counter()
    result = work()
    print(f"\n{title}: {time.perf_counter() - start:.1f} s", flush=True)
    return result


if __name__ == "__main__":
    main()
