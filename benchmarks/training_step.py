"""How fast is one training step, beside a plain one with the same networks?

    python benchmarks/training_step.py [--network small|standard|paper] [--resolution 64]

Four ways to do the same step (one discriminator and one generator update, R1 at its lazy
rate) in one run, on one device:

- plain: weights modulated per image and convolved in groups, as the paper writes it, filters
  as one dense convolution over inserted zeros, float32, NCHW, no compile;
- ours in float32 with NCHW tensors;
- ours in float32 and, last, in the device's training precision, both channels-last.

Prints images per second, the ratio to the plain step, and the share of the matrix-multiply
peak that was measured in the same run.
"""

import argparse
from collections.abc import Callable
from contextlib import nullcontext
from time import perf_counter

import numpy as np
import torch
from plain_stylegan2 import nchw, plain_operators
from torch.utils.flop_counter import FlopCounterMode

from datasetgan.gan_training import (
    GeneratorTrainer,
    TrainingImages,
    TrainingSettings,
    network_config,
)
from datasetgan.generators import StyleGAN2
from datasetgan.runtime import Precision, Runtime, resolve_runtime, training_precision

_STEPS = 16  # one lazy R1 among them


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="small", choices=["small", "standard", "paper"])
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--steps", type=int, default=_STEPS)
    parser.add_argument("--compile", default="auto", choices=["auto", "on", "off"])
    a = parser.parse_args()

    runtime = resolve_runtime(a.device, threads=a.threads)
    fast = training_precision(runtime.device)
    shape = network_config(a.network, resolution=a.resolution)
    pixels = np.random.RandomState(0).randint(
        0, 256, (256, a.resolution, a.resolution, 3), dtype=np.uint8
    )
    images = TrainingImages(pixels, None, (), (), "random")
    settings = TrainingSettings(batch=a.batch, augment="none")

    def build(precision: Precision, compile_: str) -> GeneratorTrainer:
        torch.manual_seed(0)
        own = Runtime(device=runtime.device, precision=precision)
        return GeneratorTrainer(
            StyleGAN2(shape), images, settings=settings, runtime=own, compile=compile_
        )

    flops = count_flops(build("float32", "off"))
    print(
        f"{a.network} network at {a.resolution} px, batch {a.batch}, {runtime.device}, "
        f"{torch.get_num_threads()} threads, {flops / a.batch / 1e9:.2f} GFLOP per image"
    )
    ways: list[tuple[str, Precision, str, Callable[[], object]]] = [
        ("plain: reference operators, float32, NCHW", "float32", "off", plain_operators),
        ("ours, float32, NCHW", "float32", "off", nchw),
        ("ours, float32, channels-last", "float32", "off", nullcontext),
        (f"ours, {fast}, channels-last", fast, a.compile, nullcontext),
    ]
    plain = 0.0
    for name, precision, compile_, setting in ways:
        with setting():
            rate = images_per_second(build(precision, compile_), a.steps)
        plain = plain or rate
        peak = multiply_peak(runtime.torch_device, Runtime(precision=precision).dtype)
        share = rate * flops / a.batch / peak
        print(
            f"{name:<44} {rate:8.1f} images/s  {rate / plain:5.2f} x plain  "
            f"{100 * share:5.1f} % of {peak / 1e9:,.0f} GFLOP/s"
        )


def images_per_second(trainer: GeneratorTrainer, steps: int) -> float:
    """Time whole steps; one whole cycle of lazy R1 warms up and one is measured."""
    for _ in range(2):
        trainer.step()
    synchronize(trainer.runtime.torch_device)
    start = perf_counter()
    for _ in range(steps):
        trainer.step()
    synchronize(trainer.runtime.torch_device)
    return steps * trainer.settings.batch / (perf_counter() - start)


def count_flops(trainer: GeneratorTrainer) -> float:
    """Count the products of one step without R1, forward and backward; both factors 2."""
    trainer.step()  # the first one computes R1 too
    with FlopCounterMode(display=False) as counter:
        trainer.step()
    return float(counter.get_total_flops())


def multiply_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Measure the floating-point operations per second of one large matrix product."""
    n = 4096 if device.type == "cuda" else 2048
    x = torch.randn(n, n, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(8):
        synchronize(device)
        start = perf_counter()
        x @ x
        synchronize(device)
        best = min(best, perf_counter() - start)
    return 2 * n**3 / best


def synchronize(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
