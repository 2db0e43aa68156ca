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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from datasetgan.generators import StyleGAN2
from datasetgan.generators.ops_reference import filter_and_resample
from datasetgan.runtime import Precision, Runtime, resolve_runtime, training_precision
from datasetgan.training import GeneratorTrainer, TrainingImages, TrainingSettings, network_config

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
        own = Runtime(device=runtime.device, precision=precision, threads=runtime.threads)
        return GeneratorTrainer(
            StyleGAN2(shape), images, settings=settings, runtime=own, compile=compile_
        )

    flops = count_flops(build("float32", "off"))
    print(
        f"{a.network} network at {a.resolution} px, batch {a.batch}, {runtime.device}, "
        f"{runtime.threads} threads, {flops / a.batch / 1e9:.2f} GFLOP per image"
    )
    ways: list[tuple[str, Precision, str, Callable[[], object]]] = [
        ("plain: reference operators, float32, NCHW", "float32", "off", plain_operators),
        ("ours, float32, NCHW", "float32", "off", nchw),
        ("ours, float32, channels-last", "float32", "off", as_it_is),
        (f"ours, {fast}, channels-last", fast, a.compile, as_it_is),
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


@contextmanager
def as_it_is() -> Iterator[None]:
    """Leave everything as users run it."""
    yield


@contextmanager
def nchw() -> Iterator[None]:
    """Let every request for channels-last give NCHW."""
    contiguous = Tensor.contiguous

    def plain(x: Tensor, memory_format: torch.memory_format = torch.contiguous_format) -> Tensor:
        return contiguous(x)

    with mock.patch.object(Tensor, "contiguous", plain):
        yield


def grouped_modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    bias: Tensor,
    demodulate: bool = True,
    upsample: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Scale the weights per image, then convolve the batch in groups: the paper's own way."""
    n, (out, fan_in, k, _) = len(x), weight.shape
    own = weight[None] * styles[:, None, :, None, None]  # [NOIkk]
    if demodulate:
        own = own * (own.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    side = x.shape[2]
    if upsample:
        grouped = x.reshape(1, n * fan_in, side, side)
        kernels = own.transpose(1, 2).reshape(n * fan_in, out, k, k)
        y = F.conv_transpose2d(grouped, kernels, stride=2, groups=n)
        y = filter_and_resample(y.view(n, out, *y.shape[2:]), padding=(1, 1), gain=4.0)
    else:
        grouped = x.reshape(1, n * fan_in, side, side)
        y = F.conv2d(grouped, own.view(n * out, fan_in, k, k), padding=k // 2, groups=n)
        y = y.view(n, out, side, side)
    return y * gain + bias


@contextmanager
def plain_operators() -> Iterator[None]:
    """Let both networks use the literal operators."""

    def blur(x: Tensor, *, gain: float, padding: tuple[int, int]) -> Tensor:
        return filter_and_resample(x, padding=padding, gain=gain)

    def upsample(x: Tensor) -> Tensor:
        return filter_and_resample(x, up=2, padding=(2, 1), gain=4.0)

    def downsample(x: Tensor) -> Tensor:
        return filter_and_resample(x, down=2, padding=(1, 1))

    generator, discriminator = (
        "datasetgan.generators.stylegan2",
        "datasetgan.training.discriminator",
    )
    with (
        nchw(),
        mock.patch(f"{generator}.modulated_conv2d", grouped_modulated_conv2d),
        mock.patch(f"{generator}.upsample_2d", upsample),
        mock.patch(f"{discriminator}.blur_2d", blur),
        mock.patch(f"{discriminator}.downsample_2d", downsample),
    ):
        yield


if __name__ == "__main__":
    main()
