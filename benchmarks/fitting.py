"""Seconds and peak memory of fitting, each case in a process of its own.

    python benchmarks/fitting.py [embedded|refit|512|1024 ...]

`embedded` is a fit on the 16 painted samples of the package, `refit` one that starts
from it; the numbers are 16 random images of a StyleGAN1 of that size, painted all over.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from time import perf_counter

import numpy as np
import torch
from PIL import Image

from datasetgan.assets import EMBEDDED_CLASSES, embedded_generators, painted_samples
from datasetgan.checkpoints.generator_files import load_generator
from datasetgan.features import FeatureLevel, FeaturePyramid
from datasetgan.features.cache import FeatureCache
from datasetgan.features.painted import cache_samples
from datasetgan.generators import sample_latents
from datasetgan.interpreter import FitSettings, PaintedSample, fit_interpreter
from datasetgan.runtime import resolve_runtime
from datasetgan.taxonomy import ClassTaxonomy

# Channels of the two layers at each resolution from 4 on; the official code's stack.
_WIDTHS = (512, 512, 512, 512, 256, 128, 64, 32, 16)
_IMAGES = 16
_CASES = ("embedded", "refit", "512", "1024")


def embedded() -> Iterator[PaintedSample]:
    """Yield the painted samples of the package."""
    index = painted_samples()
    generator = load_generator(embedded_generators()["wbc"])
    for path, seed in zip(sorted(index.masks.glob("*.png")), index.seeds, strict=True):
        latents = sample_latents(generator, [seed], truncation_psi=index.truncation_psi)
        with torch.inference_mode():
            features = generator.synthesize(latents.ws, noise=latents.noise).features
        yield PaintedSample(features, torch.from_numpy(np.array(Image.open(path))).long())
        del features


def random_images(size: int, classes: int) -> Iterator[PaintedSample]:
    """Yield features of the official layout at `size`, and noise painted as blocks."""
    random = torch.Generator().manual_seed(0)
    for _ in range(_IMAGES):
        levels, tensors = [], []
        for i, width in enumerate(_WIDTHS[: size.bit_length() - 2]):
            side = 4 << i
            for name in ("epi1", "epi2"):
                levels.append(FeatureLevel(f"{side}.{name}", width, side, side))
                tensors.append(torch.randn(1, width, side, side, generator=random))
        blocks = torch.randint(0, classes, (size // 32, size // 32), generator=random)
        label_map = blocks.repeat_interleave(32, 0).repeat_interleave(32, 1)
        yield PaintedSample(FeaturePyramid(tuple(levels), tuple(tensors)), label_map)
        del tensors


def measure(case: str) -> dict[str, float | str]:
    """Run one case; return what it took."""
    runtime = resolve_runtime("cpu")
    begun = perf_counter()
    if case in ("embedded", "refit"):
        taxonomy = ClassTaxonomy.from_names(list(EMBEDDED_CLASSES))
        painted = cache_samples(embedded(), taxonomy)
    else:
        classes = 20 if case == "512" else 34
        taxonomy = ClassTaxonomy.from_names([f"class {i}" for i in range(classes)])
        cache = FeatureCache(memory_mb=FitSettings().cache_mb)
        painted = cache_samples(random_images(int(case), classes), taxonomy, cache=cache)
    read = perf_counter() - begun
    interpreter = fit_interpreter(painted, taxonomy, runtime=runtime)
    if case == "refit":
        interpreter = fit_interpreter(painted, taxonomy, runtime=runtime, start=interpreter)
    assert interpreter.report is not None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "case": case,
        "channels": sum(level.channels for level in painted.cache.levels),
        "read_s": round(read, 2),
        "fit_s": round(interpreter.report.seconds, 2),
        "steps": interpreter.report.steps,
        "peak_gib": round(peak, 2),
    }


def main() -> None:
    """Print one line per case."""
    if len(sys.argv) == 3 and sys.argv[1] == "--one":
        print(json.dumps(measure(sys.argv[2])))
        return
    cases = sys.argv[1:] or _CASES
    if unknown := [case for case in cases if case not in _CASES]:
        sys.exit(f"unknown case {unknown[0]!r}. Valid: {', '.join(_CASES)}.")
    for case in cases:
        subprocess.run([sys.executable, __file__, "--one", case], check=True)


if __name__ == "__main__":
    main()
