"""Synthesis of every backbone against its literal twin, in one run, on one thread.

python benchmarks/backbones.py [--resolution 256] [--batch 4] [--rounds 3] [--only stylegan2]

The twin is the most direct PyTorch expression of the same network. Both get the same
weights; they are timed turn by turn in seconds of the processor, and the best round
counts, so that other work on the machine disturbs neither.
"""

import argparse
import sys
import time
from collections.abc import Callable

import torch
from plain_stylegan2 import plain_operators
from torch import Tensor

from datasetgan.checkpoints.layouts.datasetgan_stylegan1 import LAYOUT
from datasetgan.generators import (
    StyleGAN1,
    StyleGAN1Config,
    StyleGAN2,
    StyleGAN2Config,
    StyleGAN3,
    StyleGAN3Config,
    stylegan1_reference,
    stylegan3_reference,
)
from datasetgan.runtime import Runtime

Pair = tuple[Callable[[], Tensor], Callable[[], Tensor]]


def stylegan1(resolution: int, batch: int) -> Pair:
    """Return our synthesis and the twin's, with the official channels."""
    tensors = published_stylegan1(StyleGAN1Config(resolution=resolution))
    generator = LAYOUT.build(tensors, {}).place(Runtime())
    assert isinstance(generator, StyleGAN1)
    ws = torch.randn(batch, generator.num_ws, generator.w_dim)
    noise = [layer.noise_const[None, None] for layer in generator.synthesis.layers]
    return (
        lambda: generator.synthesize(ws, noise=noise).image,
        lambda: stylegan1_reference.synthesize(tensors, ws, noise)[0],
    )


def published_stylegan1(config: StyleGAN1Config) -> dict[str, Tensor]:
    """Draw weights under the names of DatasetGAN's files."""
    tensors = {"avg_latent": torch.zeros(config.w_dim)}
    for i in range(config.mapping_layers):
        tensors[f"g_mapping.dense{i}.weight"] = torch.randn(config.w_dim, config.w_dim) * 100
        tensors[f"g_mapping.dense{i}.bias"] = torch.zeros(config.w_dim)
    for resolution in config.block_resolutions:
        block = f"g_synthesis.blocks.{resolution}x{resolution}"
        channels = config.channels_at(resolution)
        convolutions = {"conv": channels}
        if resolution > 4:
            convolutions = {"conv0_up": config.channels_at(resolution // 2), "conv1": channels}
        else:
            tensors[f"{block}.const"] = torch.ones(1, channels, 4, 4)
            tensors[f"{block}.bias"] = torch.zeros(channels)
        for name, fan_in in convolutions.items():
            tensors[f"{block}.{name}.weight"] = torch.randn(channels, fan_in, 3, 3)
            tensors[f"{block}.{name}.bias"] = torch.zeros(channels)
        for epilogue in ("epi1", "epi2"):
            style = f"{block}.{epilogue}.style_mod.lin"
            tensors[f"{block}.{epilogue}.top_epi.noise.weight"] = torch.full([channels], 0.1)
            tensors[f"{style}.weight"] = torch.randn(2 * channels, config.w_dim)
            tensors[f"{style}.bias"] = torch.zeros(2 * channels)
    tensors["g_synthesis.torgb.weight"] = torch.randn(3, channels, 1, 1)
    tensors["g_synthesis.torgb.bias"] = torch.zeros(3)
    return tensors


def stylegan2(resolution: int, batch: int) -> Pair:
    """Return our synthesis and the plain one, with the channels of config F."""
    generator = StyleGAN2(StyleGAN2Config(resolution=resolution)).place(Runtime())
    ws = torch.randn(batch, generator.num_ws, generator.w_dim)

    def plain() -> Tensor:
        with plain_operators():
            return generator.synthesize(ws).image

    return lambda: generator.synthesize(ws).image, plain


def stylegan3(resolution: int, batch: int) -> Pair:
    """Return our synthesis and the literal one, StyleGAN3-T with the official channels."""
    generator = StyleGAN3(StyleGAN3Config(resolution=resolution)).place(Runtime())
    ws = torch.randn(batch, generator.num_ws, generator.w_dim)
    return (
        lambda: generator.synthesize(ws).image,
        lambda: stylegan3_reference.synthesize(generator, ws)[0],
    )


# Name of a backbone to the function that pairs it with its twin.
BACKBONES: dict[str, Callable[[int, int], Pair]] = {
    "stylegan1": stylegan1,
    "stylegan2": stylegan2,
    "stylegan3": stylegan3,
}


@torch.inference_mode()
def main() -> int:
    """Time every pair; fail where ours is slower or differs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=list(BACKBONES))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    failed = False
    for name, pair in BACKBONES.items():
        if arguments.only not in (None, name):
            continue
        functions = pair(arguments.resolution, arguments.batch)
        best = [float("inf")] * 2
        images: list[Tensor] = []
        for _ in range(arguments.rounds):
            images = []
            for i, function in enumerate(functions):
                start = time.process_time()
                images.append(function())
                best[i] = min(best[i], time.process_time() - start)
        ours, twin = images
        difference = ((ours - twin).abs().max() / twin.abs().max()).item()
        ratio = best[1] / best[0]
        print(
            f"{name} {arguments.resolution} px, batch {arguments.batch}: {best[0]:.2f} s, "
            f"literal twin {best[1]:.2f} s, {ratio:.2f} times as fast; "
            f"largest relative difference {difference:.1e}"
        )
        failed |= ratio < 1 or difference > 1e-3
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
