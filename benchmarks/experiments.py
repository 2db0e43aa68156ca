"""What was tried to get better labels, each by cross-validation over held-out images.

python benchmarks/experiments.py [--domain cells|FOLDER] [--seeds 5] [--members 10] [--only mlp ...]

The cells are the package's 16 painted samples; a FOLDER is what `second_domain.py`
made. Every line is 5 folds by image, repeated with other folds, weights and pixels for
each seed. One JSON line per fit goes to standard error, so that runs can be joined.
"""

import argparse
import json
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import torch

from datasetgan import assets
from datasetgan.checkpoints.generator_files import load_generator
from datasetgan.dataset.label_maps import read_label_png
from datasetgan.features.cache import FeatureCache
from datasetgan.features.painted import PaintedImages, cache_samples
from datasetgan.generators import Generator, sample_latents
from datasetgan.interpreter import FitSettings, PaintedSample
from datasetgan.interpreter.fitting.fit import FoldFitter
from datasetgan.interpreter.validation import ValidationSettings, validate_fit
from datasetgan.interpreter.validation.scores import DROPPED_SHARES
from datasetgan.runtime import resolve_runtime
from datasetgan.taxonomy import ClassTaxonomy

DROPPED = tuple(round(100 * share) for share in DROPPED_SHARES)
MLP = FitSettings(head="mlp")
TRIED = {
    "mlp": MLP,
    "paper": FitSettings.paper(),
    "linear": FitSettings(head="linear"),
    "conv": FitSettings(head="conv"),
    "conv, 1,000 steps": FitSettings(head="conv", max_steps=1000),
    "no surroundings": replace(MLP, surroundings="none"),
    "all levels alike": replace(MLP, level_falloff=0),
    "neither": replace(MLP, level_falloff=0, surroundings="none"),
    "falloff 2": replace(MLP, level_falloff=2),
    "falloff 4": replace(MLP, level_falloff=4),
    "200 steps": replace(MLP, max_steps=200),
    "600 steps": replace(MLP, max_steps=600),
    "uniform": replace(MLP, sampling="uniform"),
    "regions": replace(MLP, sampling="regions"),
    "channels to unit": replace(MLP, normalization="channels"),
    "raw features": replace(MLP, normalization="none"),
}


def main() -> None:
    """Print one line per setting tried."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--domain", default="cells")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--only", nargs="+", choices=TRIED, default=list(TRIED))
    arguments = parser.parse_args()
    resolve_runtime("cpu", threads=arguments.threads)
    cells = arguments.domain == "cells"
    painted, taxonomy = read_cells() if cells else read_parts(Path(arguments.domain))
    print(f"{arguments.domain}: {len(painted.keys)} images, {arguments.members} members")
    print(
        "setting, mean IoU % (sd over seeds), pixels, error, seconds; mean % wrong when 0 to 30 %"
    )
    print("are dropped, whether that falls all the way (and with how many seeds)")
    for name in arguments.only:
        scores = []
        for seed in arguments.seeds:
            settings = replace(TRIED[name], seed=seed, num_members=arguments.members)
            scores.append(score(painted, taxonomy, settings))
            line = {"domain": arguments.domain, "name": name, "seed": seed, **scores[-1]}
            print(json.dumps(line), file=sys.stderr, flush=True)
        values = {key: [s[key] for s in scores] for key in scores[0]}
        spread = stdev(values["mean_iou"]) if len(scores) > 1 else 0.0
        print(
            f"{name:28} {100 * mean(values['mean_iou']):.2f} ({100 * spread:.2f}), "
            f"{100 * mean(values['accuracy']):.2f}, {100 * mean(values['calibration']):.2f}, "
            f"{mean(values['seconds']):.1f}"
        )
        for kind in ("image", "pixel"):
            curve = [100 * mean(values[f"{kind}_{dropped}"]) for dropped in DROPPED]
            falls = all(b <= a for a, b in pairwise(curve))
            print(
                f"  by {kind}: {' '.join(f'{risk:.3f}' for risk in curve)}, "
                f"{'falls' if falls else 'does not fall'} "
                f"({sum(values[kind + '_falls']):.0f} of {len(scores)})",
                flush=True,
            )


def score(
    painted: PaintedImages, taxonomy: ClassTaxonomy, settings: FitSettings
) -> dict[str, float]:
    """Cross-validate one setting, without early stopping; return its scores as plain numbers."""
    fitter = FoldFitter(painted, taxonomy, settings)
    report = validate_fit(
        painted.cache,
        painted.label_maps,
        taxonomy,
        steps=fitter.steps,
        fit_folds=fitter,
        settings=ValidationSettings(checkpoints=1, seed=settings.seed),
    )
    assert report.mean_iou is not None
    assert report.pixel_accuracy is not None
    assert report.reliability is not None
    curves = {"image": report.risk_by_image, "pixel": report.risk_by_pixel}
    risks: dict[str, float] = {}
    for kind, curve in curves.items():
        assert curve is not None
        risks |= {f"{kind}_{d}": e for d, e in zip(DROPPED, curve.error, strict=True)}
        risks[f"{kind}_falls"] = float(curve.falls)
    return {
        "mean_iou": report.mean_iou,
        "accuracy": report.pixel_accuracy,
        "calibration": report.reliability.expected_calibration_error,
        "seconds": report.seconds,
        **{f"iou_{c.name}": c.iou for c in report.classes if c.iou is not None},
        **risks,
    }


def read_cells() -> tuple[PaintedImages, ClassTaxonomy]:
    """Return the embedded painted samples."""
    painted = assets.painted_samples()
    taxonomy = ClassTaxonomy.from_names(assets.EMBEDDED_CLASSES)
    files = sorted(painted.masks.glob("*.png"))
    maps = [read_label_png(file, taxonomy, size=(64, 64)) for file in files]
    generator = load_generator(assets.embedded_generators()["wbc"])
    return cached(generator, painted.seeds, maps, painted.truncation_psi, taxonomy), taxonomy


def read_parts(folder: Path) -> tuple[PaintedImages, ClassTaxonomy]:
    """Return the second domain's samples. Its stains are hardly drawn: they count as face."""
    taxonomy = ClassTaxonomy.from_names(["table", "face", "bevel", "bore"])
    with np.load(folder / "samples.npz") as data:
        maps = [np.where(label == 4, 1, label) for label in data["labels"]]
        seeds, psi = data["seeds"].tolist(), float(data["truncation_psi"])
    generator = load_generator(folder / "parts.safetensors")
    return cached(generator, seeds, maps, psi, taxonomy), taxonomy


def cached(  # type: ignore[no-untyped-def]
    generator: Generator, seeds, maps, truncation_psi: float, taxonomy: ClassTaxonomy
) -> PaintedImages:
    """Synthesize painted samples again and cache their features."""

    def samples():  # type: ignore[no-untyped-def]
        for seed, label_map in zip(seeds, maps, strict=True):
            latents = sample_latents(generator, [seed], truncation_psi=truncation_psi)
            with torch.no_grad():
                synthesis = generator.synthesize(latents.ws, noise=latents.noise)
            yield PaintedSample(synthesis.features, torch.from_numpy(label_map.astype(np.int64)))

    return cache_samples(samples(), taxonomy, cache=FeatureCache())


if __name__ == "__main__":
    main()
