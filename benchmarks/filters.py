"""StyleGAN3's filtering against zero insertion, and its synthesis against the literal twin.

python benchmarks/filters.py [--resolution 256] [--batch 4] [--network t|r|both] [--repeats 1]

Both sides run in turns, in one process. Exit code 1 if filtering is not at least three
times as fast as zero insertion, or synthesis slower than its twin.
"""

import argparse
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from datasetgan.generators import StyleGAN3, StyleGAN3Config, filters_reference, stylegan3_reference
from datasetgan.generators.filters import filtered_leaky_relu, separable_terms
from datasetgan.generators.stylegan3 import design_filter
from datasetgan.generators.stylegan3_schedule import LayerPlan, plan_layers
from datasetgan.runtime import Runtime


def seconds(run: Callable[[], object]) -> float:
    """Return the CPU time of one call: other processes on the core do not count."""
    start = time.process_time()
    run()
    return time.process_time() - start


def compare(
    label: str, fast: Callable[[], object], literal: Callable[[], object], *, repeats: int
) -> tuple[float, float]:
    """Time two functions in turns; return and print the best of each."""
    pairs = [(seconds(fast), seconds(literal)) for _ in range(repeats)]
    best, twin = min(a for a, _ in pairs), min(b for _, b in pairs)
    print(f"{label:34s} {best:8.3f} s {twin:8.3f} s {twin / best:6.1f} x", flush=True)
    return best, twin


def settings(network: str, resolution: int) -> StyleGAN3Config:
    """Return the published configuration of StyleGAN3-T or -R."""
    if network == "t":
        return StyleGAN3Config(resolution=resolution)
    return StyleGAN3Config(
        resolution=resolution,
        channel_base=65536,
        channel_max=1024,
        conv_kernel=1,
        down_filter="radial",
    )


def compare_layer(plan: LayerPlan, *, batch: int, repeats: int) -> tuple[float, float]:
    """Time one layer's filtered activation."""
    assert plan.up_filter is not None
    assert plan.down_filter is not None
    up_filter, down_filter = design_filter(plan.up_filter), design_filter(plan.down_filter)
    terms = separable_terms(down_filter)
    size = plan.in_size + plan.conv_kernel - 1
    x = torch.randn(batch, plan.out_channels, size, size)

    def fast() -> Tensor:
        return filtered_leaky_relu(
            x,
            up_filter=up_filter,
            down_terms=terms,
            up=plan.up,
            down=plan.down,
            padding=plan.padding,
            out_size=plan.out_size,
            clamp=256.0,
        )

    def literal() -> Tensor:
        return filters_reference.filtered_leaky_relu(
            x,
            up_filter=up_filter,
            down_filter=down_filter,
            up=plan.up,
            down=plan.down,
            padding=plan.padding,
            out_size=plan.out_size,
            clamp=256.0,
        )

    return compare(plan.name, fast, literal, repeats=repeats)


def measure(config: StyleGAN3Config, *, batch: int, repeats: int) -> bool:
    """Print a table of a network's filters and its synthesis; return whether they are fast."""
    layers = [plan for plan in plan_layers(config) if plan.up_filter is not None]
    times = [compare_layer(plan, batch=batch, repeats=repeats) for plan in layers]
    ours, twin = (sum(column) for column in zip(*times, strict=True))
    print(f"{'all filters':34s} {ours:8.3f} s {twin:8.3f} s {twin / ours:6.1f} x")
    generator = StyleGAN3(config).place(Runtime())
    ws = generator.map(torch.randn(batch, config.z_dim))
    fast, literal = compare(
        "synthesis",
        lambda: generator.synthesize(ws),
        lambda: stylegan3_reference.synthesize(generator, ws),
        repeats=repeats,
    )
    return twin >= 3 * ours and fast <= literal


def main() -> None:
    """Print a table per network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--network", choices=["t", "r", "both"], default="both")
    parser.add_argument("--repeats", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    enough = True
    for network in "tr" if arguments.network == "both" else arguments.network:
        config = settings(network, arguments.resolution)
        print(f"StyleGAN3-{network}, {config.resolution} px, batch {arguments.batch}: ours, twin")
        with torch.inference_mode():
            enough &= measure(config, batch=arguments.batch, repeats=arguments.repeats)
    sys.exit(0 if enough else 1)


if __name__ == "__main__":
    main()
