"""How well painted photos label other photos: an encoder's features instead of a generator's.

    python benchmarks/photo_features.py [--photos FOLDER_OR_ZIP] [--weights FILE]

The 20 painted real photos of the package are split five times: 16 to fit, the other four
to score, so each is scored once; classes as in the README's table. The same fit reads

- the photo's own colours alone;
- the network with random weights: the floor, what its architecture does by itself;
- the network taught without labels on the unlabelled photos (the painted ones by default);
- the network with the weights of a file, if one is given.

The line to compare with: a segmenter that was trained on generated data alone, and never
saw a painted photo, scores a mean IoU of 65.8 % on the same 20.
"""

import argparse
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from statistics import mean, stdev
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from datasetgan import assets
from datasetgan.dataset.label_maps import read_label_png
from datasetgan.dataset.pairs import find_pairs, find_photos, read_photo
from datasetgan.encoders import (
    SUPERVISION,
    Encoder,
    EncoderConfig,
    import_encoder,
    network_name,
    teach_encoder,
)
from datasetgan.encoders.timm_networks import build_network
from datasetgan.features import FeaturePyramid
from datasetgan.interpreter import FitSettings, PaintedSample, fit_interpreter
from datasetgan.metrics.segmentation import confusion_matrix, iou, mean_iou
from datasetgan.runtime import Runtime, resolve_runtime
from datasetgan.taxonomy import ClassTaxonomy

SPLITS = 5
SEEDS = (0, 1, 2)
TAXONOMY = ClassTaxonomy.from_names(assets.EMBEDDED_CLASSES)

Photo = NDArray[np.uint8]
Features = Callable[[Photo], FeaturePyramid]
Item = TypeVar("Item")


def main() -> int:
    """Print one line per source of features."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=Path, help="unlabelled photos: a folder or a zip")
    parser.add_argument("--most", type=int, default=2000, help="of them, drawn by chance")
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--weights", type=Path, help="a file of weights of the network")
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--steps", type=int, default=SUPERVISION.steps)
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    runtime = resolve_runtime("auto", threads=arguments.threads)
    photos, label_maps = read_painted()
    unlabelled = read_unlabelled(arguments.photos, most=arguments.most) or photos
    name = network_name(f"timm:{arguments.network}")
    settings = FitSettings(num_members=arguments.members)

    def report(title: str, features: Features) -> None:
        start = time.perf_counter()
        pyramids = [features(photo) for photo in photos]
        scores = [
            score(pyramids, label_maps, settings=replace(settings, seed=seed), runtime=runtime)
            for seed in arguments.seeds
        ]
        print_line(title, scores, seconds=time.perf_counter() - start)

    print(
        f"{name}, {len(unlabelled)} unlabelled photos, {arguments.steps} steps; seconds by source"
    )
    print(f"mean IoU % (sd over {len(arguments.seeds)} seeds) | {' | '.join(TAXONOMY.names)}")
    floor = random_encoder(name, side=arguments.side, runtime=runtime)
    report("colours alone", lambda photo: colours(floor, photo))
    report("random weights (the floor)", floor.features)
    start = time.perf_counter()
    taught = teach_encoder(
        name,
        unlabelled,
        side=arguments.side,
        supervision=replace(SUPERVISION, steps=arguments.steps),
        runtime=runtime,
    )
    print(f"taught in {time.perf_counter() - start:.0f} s", flush=True)
    report("taught without labels", taught.features)
    if arguments.weights is not None:
        given = import_encoder(name, arguments.weights, side=arguments.side).place(runtime)
        report(f"weights of {arguments.weights.name}", given.features)
    return 0


def read_painted() -> tuple[list[Photo], list[Photo]]:
    """Return the package's painted photos and their label maps."""
    painted = assets.painted_photos()
    pairs = find_pairs(painted.photos, painted.masks)
    photos = [read_photo(pair.photo) for pair in pairs]
    maps = [
        read_label_png(pair.mask, TAXONOMY, size=photo.shape[:2])
        for pair, photo in zip(pairs, photos, strict=True)
    ]
    return photos, maps


def read_unlabelled(source: Path | None, *, most: int) -> list[Photo]:
    """Read some photos of a folder or a zip, chosen by chance; none without a source."""
    if source is None:
        return []
    if source.is_dir():
        return [read_photo(path) for path in chosen(sorted(find_photos(source).values()), most)]
    with zipfile.ZipFile(source) as archive:
        names = [name for name in sorted(archive.namelist()) if not name.endswith("/")]
        return [
            np.array(Image.open(BytesIO(archive.read(name))).convert("RGB"))
            for name in chosen(names, most)
        ]


def chosen(items: Sequence[Item], most: int) -> list[Item]:
    """Return at most so many of the items."""
    rows = np.random.RandomState(0).permutation(len(items))[:most]
    return [items[row] for row in sorted(rows.tolist())]


def random_encoder(name: str, *, side: int, runtime: Runtime) -> Encoder:
    """Return an encoder that nobody has taught."""
    torch.manual_seed(0)
    network = build_network(name)
    return Encoder(EncoderConfig.of(name, network, side=side), network).place(runtime)


def colours(encoder: Encoder, photo: Photo) -> FeaturePyramid:
    """Return the photo itself as the only level."""
    features = encoder.features(photo)
    return FeaturePyramid(features.levels[-1:], features.tensors[-1:])


def score(
    pyramids: Sequence[FeaturePyramid],
    label_maps: Sequence[Photo],
    *,
    settings: FitSettings,
    runtime: Runtime,
) -> NDArray[np.int64]:
    """Fit on 16 photos, label the other four, five times; return one confusion matrix."""
    order = np.random.RandomState(settings.seed).permutation(len(pyramids)).tolist()
    total = np.zeros((len(TAXONOMY), len(TAXONOMY)), dtype=np.int64)
    for split in range(SPLITS):
        held_out = order[split::SPLITS]
        interpreter = fit_interpreter(
            [
                PaintedSample(pyramids[i], torch.from_numpy(label_maps[i]).long(), key=str(i))
                for i in order
                if i not in held_out
            ],
            TAXONOMY,
            settings=settings,
            runtime=runtime,
        )
        for i in held_out:
            size = label_maps[i].shape
            found = interpreter.predict(pyramids[i], size=(size[0], size[1])).label_map
            total += confusion_matrix(
                found[0].cpu().numpy(), label_maps[i], num_classes=len(TAXONOMY)
            )
    return total


def print_line(title: str, scores: Sequence[NDArray[np.int64]], *, seconds: float) -> None:
    """Print the mean over the seeds."""
    means = [100 * mean_iou(confusion) for confusion in scores]
    spread = f" ({stdev(means):.1f})" if len(means) > 1 else ""
    classes = 100 * np.nanmean([iou(confusion) for confusion in scores], axis=0)
    print(
        f"{title}: {mean(means):.1f}{spread} | {' | '.join(f'{c:.1f}' for c in classes)} "
        f"| {seconds:.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
