"""A second domain to measure on, with an oracle: a generator of machined parts and true labels.

python benchmarks/second_domain.py FOLDER [--images 120000] [--threads 1] [--only generator]

Draws 10,000 procedural photographs (`machined_parts`), trains a generator on them, and trains
two segmenters (the oracle and a witness) on fresh photographs with their exact masks. The oracle
labels generated images; it knows nothing of the generator. Interrupted, the same command goes on;
with more --images a finished generator does too.
The folder then holds

    parts.safetensors     the generator: the snapshot with the lowest KID
    oracle.safetensors    the segmenter that labels, `witness.safetensors` the one beside it
    samples.npz           16 generated images to fit on: seeds, images, labels, truncation_psi
    held_out.npz          200 other ones to score on
    figures.json          KID over time, the oracle's scores, its agreement with the witness
    sheet.png             photographs and generated images, each above its labels
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from machined_parts import CLASSES, SIDE, photos
from numpy.typing import NDArray
from PIL import Image
from sklearn.ensemble import RandomForestClassifier

import datasetgan as dg
from datasetgan.checkpoints.native import WeightCard
from datasetgan.dataset import (
    UNCERTAINTY_SCALE,
    DatasetManifest,
    LabelledDataset,
    LabelledSample,
    begin_dataset,
    finish_dataset,
    read_dataset,
    write_part,
    write_sample,
)
from datasetgan.downstream import (
    Segmenter,
    SegmenterSettings,
    confusion_matrix,
    iou,
    load_segmenter,
    mean_iou,
    pixel_accuracy,
    train_segmenter,
)
from datasetgan.gan_training import (
    RunSettings,
    TrainingSettings,
    network_config,
    read_training_images,
)
from datasetgan.gan_training import train_generator as train
from datasetgan.runtime import Runtime, resolve_runtime, training_precision
from datasetgan.serialization import write_atomic
from datasetgan.taxonomy import ClassTaxonomy

# Seeds of the photographs, so that no picture serves twice.
_FOR_GENERATOR, _FOR_ORACLE, _FOR_WITNESS, _FOR_SCORE = 0, 1, 2, 3
_NUM_PHOTOS, _NUM_MASKED, _NUM_SCORED = 10_000, 2_000, 500
_STEPS = 1_000
# Seeds of the generated images: to fit on, and to score on.
_SAMPLES, _HELD_OUT = range(16), range(1000, 1200)
_PSI = 0.9
_TRAINING = TrainingSettings(
    batch=16, learning_rate=0.002, r1_gamma=0.3, symmetry="dihedral", augment="none"
)
_SNAPSHOT_IMAGES = 12_000
_COLORS = np.array(
    [[40, 40, 40], [90, 160, 250], [250, 220, 60], [220, 60, 60], [60, 220, 90]], dtype=np.uint8
)


def main() -> None:
    """Make whatever is not there yet, and print the figures."""
    parser = argparse.ArgumentParser(description="Make the second domain and its oracle.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=120_000, help="photographs the GAN sees")
    parser.add_argument("--only", choices=("generator", "oracle"), help="make no more than this")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    runtime = resolve_runtime("cpu", threads=arguments.threads)

    if arguments.only != "oracle":
        train_generator(folder, images=arguments.images, threads=arguments.threads)
    if arguments.only == "generator":
        return
    oracle = segmenter(folder, "oracle", runtime, seed=_FOR_ORACLE)
    witness = segmenter(folder, "witness", runtime, seed=_FOR_WITNESS)
    if arguments.only == "oracle":
        return
    generator = dg.load_generator(str(folder / "parts.safetensors"), runtime=runtime)
    held_out = label(generator, oracle, _HELD_OUT)
    save_labels(folder / "held_out.npz", held_out, _HELD_OUT)
    save_labels(folder / "samples.npz", label(generator, oracle, _SAMPLES), _SAMPLES)

    pictures, masks = photos(_NUM_SCORED, seed=_FOR_SCORE)
    figures = {
        "generator": read_snapshots(folder),
        "oracle, photographs": scores(predict(oracle, pictures), masks),
        "a forest on colours alone, photographs": scores(by_color(pictures), masks),
        "witness, photographs": scores(predict(witness, pictures), masks),
        # What the oracle's labels are uncertain by where no truth is known.
        "witness against oracle, generated": scores(predict(witness, held_out[0]), held_out[1]),
        "share of the pixels, photographs": shares(masks),
        "share of the pixels, generated": shares(held_out[1]),
    }
    write_atomic(folder / "figures.json", (json.dumps(figures, indent=2) + "\n").encode())
    sheet(folder / "sheet.png", [(pictures, masks), held_out])
    print(json.dumps({k: v for k, v in figures.items() if k != "generator"}, indent=2))


def train_generator(folder: Path, *, images: int, threads: int) -> None:
    """Train until the GAN has seen so many photographs; go on from what is there."""
    out, source = folder / "parts.safetensors", folder / "photos"
    if out.exists() and read_snapshots(folder)[-1]["images_seen"] >= images:
        return
    source.mkdir(parents=True, exist_ok=True)
    if len(list(source.iterdir())) < _NUM_PHOTOS:
        for i, picture in enumerate(photos(_NUM_PHOTOS, seed=_FOR_GENERATOR)[0]):
            Image.fromarray(picture).save(source / f"part-{i:05d}.png", compress_level=1)
    # Half of the small network's channels: twice as many steps on a CPU, enough at 32 px.
    network = replace(network_config("small", resolution=SIDE), channel_base=1024, channel_max=64)
    train(
        read_training_images(source, resolution=SIDE, cache=folder / "run"),
        out,
        run=folder / "run",
        network=network,
        settings=_TRAINING,
        run_settings=RunSettings(images=images, snapshot_images=_SNAPSHOT_IMAGES),
        runtime=resolve_runtime("cpu", precision=training_precision("cpu"), threads=threads),
        card=WeightCard(title=f"Machined parts, {SIDE} px, StyleGAN2", licence="CC0-1.0"),
        on_snapshot=lambda snapshot: print(snapshot, flush=True),
    )


def read_snapshots(folder: Path) -> list[dict[str, Any]]:
    """Return what the run says about its snapshots: images seen, KID, FID."""
    record = (folder / "run" / "snapshots.json").read_text(encoding="utf-8")
    snapshots: list[dict[str, Any]] = json.loads(record)["snapshots"]
    return snapshots


def segmenter(folder: Path, name: str, runtime: Runtime, *, seed: int) -> Segmenter:
    """Train a segmenter on procedural photographs with exact masks, or read it again."""
    path = folder / f"{name}.safetensors"
    if not path.exists():
        trained = train_segmenter(
            masked_photos(folder / name, seed=seed),
            # Stretched to 64 px, so that the network's coarsest grid has 4x4 places.
            settings=SegmenterSettings(steps=_STEPS, seed=seed, image_size=(2 * SIDE, 2 * SIDE)),
            runtime=replace(runtime, precision=training_precision("cpu")),
            state=folder / f"{name}.state",
        )
        trained.save(path, card=WeightCard(title=f"Machined parts, {name}", licence="CC0-1.0"))
    return load_segmenter(path, runtime=runtime)


def masked_photos(folder: Path, *, seed: int) -> LabelledDataset:
    """Write procedural photographs with their exact masks as a labelled dataset."""
    taxonomy = ClassTaxonomy.from_names(CLASSES)
    plan = DatasetManifest(
        format=1,
        datasetgan_version="benchmark",
        torch_version="none",
        generator_sha256="procedural",
        interpreter_sha256="exact",
        taxonomy=taxonomy,
        height=SIDE,
        width=SIDE,
        uncertainty_scale=UNCERTAINTY_SCALE,
        settings={"num_samples": _NUM_MASKED, "seed": seed},
    )
    if begin_dataset(folder, plan) is None:
        pictures, masks = photos(_NUM_MASKED, seed=seed)
        samples = [
            LabelledSample(f"{i:06d}", i, pictures[i], masks[i], None, 0.0)
            for i in range(_NUM_MASKED)
        ]
        write_part(folder, 0, tuple(write_sample(folder, s, taxonomy) for s in samples))
        finish_dataset(folder, plan, num_parts=1)
    return read_dataset(folder)


Labelled = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def label(generator: dg.Generator, oracle: Segmenter, seeds: Sequence[int]) -> Labelled:
    """Return generated images [N, 32, 32, 3] and the oracle's labels [N, 32, 32]."""
    images = []
    for seed in seeds:
        latents = dg.sample_latents(generator, [seed], truncation_psi=_PSI)
        synthesis = generator.synthesize(latents.ws, noise=latents.noise)
        images.append(synthesis.to_uint8()[0])
    return np.stack(images), predict(oracle, np.stack(images))


def save_labels(path: Path, labelled: Labelled, seeds: Sequence[int]) -> None:
    """Write generated images and their labels with what draws them again."""
    images, labels = labelled
    np.savez_compressed(
        path, seeds=np.array(seeds), images=images, labels=labels, truncation_psi=_PSI
    )


def predict(network: Segmenter, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Segment pictures [N, H, W, 3] one by one."""
    return np.stack([network.predict(picture) for picture in pictures])


def by_color(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Segment pictures by each pixel's colour alone: how little that tells."""
    seen, masks = photos(60, seed=_FOR_ORACLE)
    forest = RandomForestClassifier(40, min_samples_leaf=20, random_state=0)
    forest.fit(seen.reshape(-1, 3), masks.ravel())
    found: NDArray[np.uint8] = forest.predict(pictures.reshape(-1, 3))
    return found.reshape(pictures.shape[:-1])


def scores(prediction: NDArray[np.uint8], truth: NDArray[np.uint8]) -> dict[str, float]:
    """Return IoU in percent, of each class and in the mean, and pixel accuracy."""
    confusion = confusion_matrix(prediction, truth, num_classes=len(CLASSES))
    by_class = dict(zip(CLASSES, iou(confusion), strict=True))
    figures = {**by_class, "mean IoU": mean_iou(confusion), "pixels": pixel_accuracy(confusion)}
    return {name: round(100 * float(value), 2) for name, value in figures.items()}


def shares(labels: NDArray[np.uint8]) -> dict[str, float]:
    """Return each class's share of the pixels in percent."""
    counts = np.bincount(labels.ravel(), minlength=len(CLASSES))
    return dict(zip(CLASSES, (100 * counts / counts.sum()).round(2).tolist(), strict=True))


def sheet(path: Path, groups: Sequence[Labelled]) -> None:
    """Write the first 36 pictures of every group above their labels, three times as large."""
    rows = []
    for pictures, labels in groups:
        for start in range(0, 36, 12):
            rows.append(np.concatenate(list(pictures[start : start + 12]), axis=1))
            rows.append(np.concatenate(list(_COLORS[labels[start : start + 12]]), axis=1))
    Image.fromarray(np.concatenate(rows).repeat(3, axis=0).repeat(3, axis=1)).save(path)


if __name__ == "__main__":
    main()
