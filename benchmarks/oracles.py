"""An automatic painter of the embedded cells that never sees a generator's features.

It learns from the 20 painted real photos of the package and from nothing else: two
forests of extremely randomized trees (scikit-learn) on colours around a pixel. The
second also sees, at several scales, what the first said of the pixels around, as long as
it did not train on that photo (auto-context, Tu 2008). Where active learning is
measured, it stands for the person with the brush.

    python benchmarks/oracles.py --picture oracle.png

prints how far it agrees with the 16 samples painted by eye, and draws its label maps.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from sklearn.ensemble import ExtraTreesClassifier

from datasetgan import assets
from datasetgan.checkpoints.generator_files import load_generator
from datasetgan.dataset import find_pairs, read_label_png, read_photo
from datasetgan.generators import sample_latents
from datasetgan.taxonomy import IGNORE_INDEX, ClassTaxonomy

TAXONOMY = ClassTaxonomy.from_names(assets.EMBEDDED_CLASSES)
BACKGROUND, RED_CELL, _, NUCLEUS, _ = range(5)
SIDE = 64
_FOLDS = 5
_SMALLEST_REGION = 6
_LARGEST_PALE_CENTRE = 40

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
LabelMap = NDArray[np.int64]


@dataclass(frozen=True)
class CellOracle:
    """Labels 64 px pictures of cells by their colours; make one with `train_cell_oracle`."""

    near: ExtraTreesClassifier
    wide: ExtraTreesClassifier

    def label(self, image: Bytes) -> LabelMap:
        """Label one picture [64, 64, 3]: [64, 64] class ids."""
        colours = _colour_features(image)  # [HW, F]
        context = _context_features(self.near.predict_proba(colours))
        features = np.concatenate([colours, context], axis=1)
        probability = self.wide.predict_proba(features).reshape(SIDE, SIDE, -1)
        smooth = ndimage.gaussian_filter(probability, (0.6, 0.6, 0), mode="nearest")
        return _without_specks(_with_pale_centres(smooth.argmax(axis=-1)))


def train_cell_oracle(*, trees: int = 60) -> CellOracle:
    """Train the oracle on the painted real photos at half their size; under a minute."""
    images, label_maps = _real_photos()
    colours = np.stack([_colour_features(image) for image in images])  # [N, HW, F]
    labels = label_maps.reshape(len(images), -1)  # [N, HW]
    fold_of = np.arange(len(images)) % _FOLDS
    context = []
    for fold in range(_FOLDS):
        held_out = fold_of == fold
        forest = _grow(colours[~held_out], labels[~held_out], trees=trees, seed=fold)
        context += [
            (n, _context_features(forest.predict_proba(colours[n])))
            for n in np.flatnonzero(held_out)
        ]
    ordered = np.stack([features for _, features in sorted(context, key=lambda pair: pair[0])])
    return CellOracle(
        near=_grow(colours, labels, trees=trees, seed=_FOLDS),
        wide=_grow(
            np.concatenate([colours, ordered], axis=2), labels, trees=trees, seed=_FOLDS + 1
        ),
    )


def _grow(features: Floats, labels: LabelMap, *, trees: int, seed: int) -> ExtraTreesClassifier:
    painted = labels.reshape(-1) != IGNORE_INDEX
    forest = ExtraTreesClassifier(trees, min_samples_leaf=4, max_features=0.3, random_state=seed)
    return forest.fit(features.reshape(-1, features.shape[-1])[painted], labels[labels < 255])


def _real_photos() -> tuple[Bytes, LabelMap]:
    """Read the photos and their masks, both halved: mean colours, classes of most pixels."""
    painted = assets.painted_photos()
    images, label_maps = [], []
    for pair in find_pairs(painted.photos, painted.masks):
        photo = read_photo(pair.photo)
        images.append(np.asarray(Image.fromarray(photo).resize((SIDE, SIDE), Image.Resampling.BOX)))
        full = read_label_png(pair.mask, TAXONOMY, size=photo.shape[:2])
        blocks = full.reshape(SIDE, 2, SIDE, 2).swapaxes(1, 2).reshape(SIDE, SIDE, 4)
        votes = np.stack([(blocks == c).sum(axis=-1) for c in range(len(TAXONOMY))], axis=-1)
        label_maps.append(np.where(votes.any(axis=-1), votes.argmax(axis=-1), IGNORE_INDEX))
    return np.stack(images), np.stack(label_maps)


def _colour_features(image: Bytes) -> Floats:
    """Return colours, their differences, and both at several scales: [HW, F]."""
    rgb = image.astype(np.float32) / 255
    red, green, blue = np.moveaxis(rgb, -1, 0)
    differences = [rgb.max(-1) - rgb.min(-1), red - green, blue - green, blue - red]
    base = np.concatenate([rgb, np.stack(differences, axis=-1)], axis=-1)  # [H, W, 7]
    parts = [base]
    for sigma in (1, 2, 4, 8):
        parts.append(ndimage.gaussian_filter(base, (sigma, sigma, 0), mode="nearest"))
    for sigma in (1, 2, 4):
        slopes = [
            ndimage.gaussian_gradient_magnitude(rgb[..., c], sigma, mode="nearest")
            for c in range(3)
        ]
        parts.append(np.stack(slopes, axis=-1))
    for width in (5, 9):
        parts.append(ndimage.minimum_filter(rgb, (width, width, 1)))
        parts.append(ndimage.maximum_filter(rgb, (width, width, 1)))
    rows, columns = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    parts.append(np.hypot(rows, columns)[..., None])  # the white cell lies in the middle
    return np.concatenate(parts, axis=-1).reshape(SIDE * SIDE, -1).astype(np.float32)


def _context_features(probability: NDArray[Any]) -> Floats:
    """Return class probabilities [HW, K] at several scales, and where the main nucleus is."""
    maps = probability.reshape(SIDE, SIDE, -1)
    parts = [maps]
    for sigma in (1, 2, 4, 8, 12):
        parts.append(ndimage.gaussian_filter(maps, (sigma, sigma, 0), mode="nearest"))
    distance, area = np.full((SIDE, SIDE), float(SIDE)), 0.0
    regions, count = ndimage.label(ndimage.binary_opening(maps[..., NUCLEUS] > 0.5))
    if count:
        numbers = np.arange(1, count + 1)
        areas = np.bincount(regions.ravel())[1:]
        centres = np.array(ndimage.center_of_mass(regions > 0, regions, numbers))
        off_centre = np.hypot(*(centres - (SIDE - 1) / 2).T)
        main = int(np.argmax(areas / (10 + off_centre)))
        distance = ndimage.distance_transform_edt(regions != numbers[main])
        area = float(areas[main])
    parts += [distance[..., None], np.full((SIDE, SIDE, 1), area)]
    return np.concatenate(parts, axis=-1).reshape(SIDE * SIDE, -1).astype(np.float32)


def _with_pale_centres(label_map: LabelMap) -> LabelMap:
    """Fill small holes of background in red cells: they are its pale centre."""
    holes, count = ndimage.label(label_map == BACKGROUND)
    at_border = np.unique(np.concatenate([holes[0], holes[-1], holes[:, 0], holes[:, -1]]))
    for number in sorted(set(range(1, count + 1)) - set(at_border.tolist())):
        hole = holes == number
        around = label_map[ndimage.binary_dilation(hole) & ~hole]
        if hole.sum() < _LARGEST_PALE_CENTRE and (around == RED_CELL).mean() > 0.5:
            label_map[hole] = RED_CELL
    return label_map


def _without_specks(label_map: LabelMap) -> LabelMap:
    """Give regions of fewer than 6 pixels to the class around them."""
    for c in range(len(TAXONOMY)):
        regions, count = ndimage.label(label_map == c)
        for number in range(1, count + 1):
            region = regions == number
            if region.sum() < _SMALLEST_REGION:
                around = label_map[ndimage.binary_dilation(region) & ~region]
                label_map[region] = np.bincount(around).argmax()
    return label_map


def class_iou(predicted: LabelMap, truth: LabelMap) -> NDArray[np.float64]:
    """Return the IoU of every class over some label maps [N, H, W]; NaN where absent."""
    iou = np.full(len(TAXONOMY), np.nan)
    painted = truth != IGNORE_INDEX
    for c in range(len(TAXONOMY)):
        union = ((predicted == c) | (truth == c)) & painted
        if union.any():
            iou[c] = ((predicted == c) & (truth == c)).sum() / union.sum()
    return iou


def _painted_samples() -> tuple[Bytes, LabelMap]:
    painted = assets.painted_samples()
    generator = load_generator(assets.embedded_generators()["wbc"])
    images, label_maps = [], []
    for number, seed in enumerate(painted.seeds):
        latents = sample_latents(generator, [seed], truncation_psi=painted.truncation_psi)
        images.append(generator.synthesize(latents.ws, noise=latents.noise).to_uint8()[0])
        path = painted.masks / f"sample-{number:04d}.png"
        label_maps.append(read_label_png(path, TAXONOMY, size=(SIDE, SIDE)).astype(np.int64))
    return np.stack(images), np.stack(label_maps)


def main() -> int:
    """Print the oracle's agreement with the painted samples; draw both beside each other."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--picture", type=Path, help="PNG of image, painted and oracle's labels")
    arguments = parser.parse_args()
    oracle = train_cell_oracle()
    images, painted = _painted_samples()
    found = np.stack([oracle.label(image) for image in images])
    iou = class_iou(found, painted)
    for name, value in zip(TAXONOMY.names, iou, strict=True):
        print(f"{name:12} IoU {100 * value:5.1f} %")
    agreement = 100 * (found == painted).mean()
    print(f"mean IoU {100 * iou.mean():.1f} %, pixels {agreement:.1f} %")
    if arguments.picture is not None:
        palette = np.array(TAXONOMY.palette, dtype=np.uint8).reshape(-1, 3)
        shown = np.stack([images, palette[painted], palette[found]], axis=1)  # [N, 3, H, W, 3]
        sheet = shown.transpose(0, 2, 1, 3, 4).reshape(len(images) * SIDE, 3 * SIDE, 3)
        Image.fromarray(sheet.repeat(4, axis=0).repeat(4, axis=1)).save(arguments.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
