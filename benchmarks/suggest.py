"""Whether suggested images teach the interpreter more than random ones.

    python benchmarks/suggest.py

On the embedded cells, with an oracle in the painter's place that sees the image alone
(`oracles`). Of every repetition: 256 candidates of its own; four images by diversity,
then three more rounds of four with the interpreter fitted so far, as `datasetgan suggest` does;
beside it random ones of the same candidates. Both are scored on the same 200 images that
no repetition chooses from: mean IoU to the oracle's labels of the four classes that it
labels well, and of all five: platelets are rare and where it errs most. It fails where
suggested images do not beat random ones at 4, 8 and 16 images, mean of the repetitions.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from oracles import TAXONOMY, Bytes, CellOracle, LabelMap, train_cell_oracle
from torch import Tensor

from datasetgan import assets
from datasetgan.checkpoints.generator_files import load_generator
from datasetgan.features.cache import FeatureCache
from datasetgan.generators import Generator, sample_latents
from datasetgan.interpreter import (
    FitSettings,
    ImageDescriptors,
    Interpreter,
    PaintedSample,
    describe_images,
    fit_interpreter,
    suggest_images,
)
from datasetgan.runtime import Stream, random_state, resolve_runtime

SIZES = (4, 8, 16)
ROUND = 4
TRUNCATION_PSI = 0.9  # of the embedded painted samples
MEMBERS = 5
STEPS = 200
TEST_IMAGES = 200
CANDIDATE_SEEDS = 2_000_000
TEST_SEEDS = 3_000_000

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Images:
    """Images of consecutive seeds: pixels, features and descriptors."""

    pixels: Bytes
    cache: FeatureCache
    vectors: Tensor

    def labels(self, oracle: CellOracle, index: int) -> LabelMap:
        """Let the oracle paint one of them."""
        return oracle.label(self.pixels[index])


def synthesize(generator: Generator, first_seed: int, count: int) -> Images:
    """Make some images; features are held in float16 at their own resolutions."""
    cache = FeatureCache()
    pixels, vectors = [], []
    for seed in range(first_seed, first_seed + count):
        latents = sample_latents(generator, [seed], truncation_psi=TRUNCATION_PSI)
        with torch.no_grad():
            synthesis = generator.synthesize(latents.ws, noise=latents.noise)
        pixels.append(synthesis.to_uint8()[0])
        vectors.append(describe_images(synthesis.features))
        cache.add(synthesis.features)
    return Images(np.stack(pixels), cache, torch.cat(vectors))


def fit(images: Images, chosen: Sequence[int], oracle: CellOracle, *, seed: int) -> Interpreter:
    """Fit an interpreter to images that the oracle painted."""
    samples = (
        PaintedSample(images.cache.pyramid(i), torch.from_numpy(images.labels(oracle, i)))
        for i in chosen
    )
    settings = FitSettings(num_members=MEMBERS, max_steps=STEPS, seed=seed)
    return fit_interpreter(samples, TAXONOMY, settings=settings)


def score(interpreter: Interpreter, images: Images, truth: LabelMap) -> Scores:
    """Return mean IoU over some images, in percent: of four classes, and of all five."""
    classes = len(TAXONOMY)
    confusion = np.zeros((classes, classes))
    for number, label_map in enumerate(truth):
        found = interpreter.predict(images.cache.pyramid(number)).label_map[0].numpy()
        pairs = (label_map * classes + found).reshape(-1)
        confusion += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    both = np.diag(confusion)
    iou = both / (confusion.sum(axis=0) + confusion.sum(axis=1) - both)
    return 100 * np.array([iou[:-1].mean(), iou.mean()])


def next_images(
    images: Images, chosen: Sequence[int], interpreter: Interpreter | None
) -> list[int]:
    """Choose a round's images as the command does, among those not chosen yet."""
    left = [index for index in range(len(images.cache)) if index not in chosen]
    scores = None
    if interpreter is not None:
        found = [interpreter.predict(images.cache.pyramid(i)).uncertainty_score for i in left]
        scores = torch.cat(found)
    candidates = ImageDescriptors(images.vectors[left], scores)
    choice = suggest_images(candidates, images.vectors[list(chosen)], count=ROUND)
    return [left[suggestion.index] for suggestion in choice]


def repeat(
    images: Images, oracle: CellOracle, *, seed: int, test: Images, truth: LabelMap
) -> tuple[Scores, Scores]:
    """Return the scores [sizes, 2] of random and of suggested images."""
    candidates = len(images.cache)
    order = random_state(seed, Stream.CANDIDATE_ORDER).permutation(candidates).tolist()
    by_chance = [score(fit(images, order[:size], oracle, seed=seed), test, truth) for size in SIZES]
    chosen: list[int] = []
    interpreter: Interpreter | None = None
    suggested = []
    while len(chosen) < SIZES[-1]:
        chosen += next_images(images, chosen, interpreter)
        interpreter = fit(images, chosen, oracle, seed=seed)
        if len(chosen) in SIZES:
            suggested.append(score(interpreter, test, truth))
    return np.stack(by_chance), np.stack(suggested)


def main() -> int:
    """Print the table; fail where suggested images do not beat random ones at every size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="number of the first repetition")
    parser.add_argument("--candidates", type=int, default=256)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    resolve_runtime("cpu", threads=arguments.threads)
    oracle = train_cell_oracle()
    generator = load_generator(assets.embedded_generators()["wbc"])
    test = synthesize(generator, TEST_SEEDS, TEST_IMAGES)
    truth = np.stack([test.labels(oracle, i) for i in range(TEST_IMAGES)])
    results = []
    for seed in range(arguments.first, arguments.first + arguments.repetitions):
        first_seed = CANDIDATE_SEEDS + seed * arguments.candidates
        images = synthesize(generator, first_seed, arguments.candidates)
        pair = repeat(images, oracle, seed=seed, test=test, truth=truth)
        results.append(pair)
        for name, scores in zip(("random", "suggested"), pair, strict=True):
            cells = "  ".join(f"{four:5.2f} ({five:5.2f})" for four, five in scores)
            print(f"repetition {seed}  {name:9}  {cells}", flush=True)
    table = np.array(results)  # [repetitions, 2, sizes, 2]
    spread = table.std(axis=0, ddof=1) if len(table) > 1 else np.zeros_like(table[0])
    mean = table.mean(axis=0)
    print("images   random, four classes   suggested       gain   random, all   suggested")
    for number, size in enumerate(SIZES):
        (a, a5), (b, b5) = mean[:, number]
        print(
            f"{size:6}   {a:13.2f} +- {spread[0, number, 0]:4.2f}   "
            f"{b:5.2f} +- {spread[1, number, 0]:4.2f}   {b - a:+5.2f}   {a5:11.2f}   {b5:9.2f}"
        )
    return int(bool((mean[1, :, 0] <= mean[0, :, 0]).any()))


if __name__ == "__main__":
    sys.exit(main())
