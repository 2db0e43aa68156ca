"""Labels of one image by the paper's way and by ours, in one run on one machine.

python benchmarks/labelling.py [--only 512] [--rounds 3] [--threads 2]

Every figure is of a process of its own, which makes the generator (StyleGAN1's layout,
random weights), synthesizes one image, and then labels it again and again; the best
round counts. Memory is the peak of labelling above the peak of synthesis, the same
process's. The reference upsamples all levels, concatenates them, and applies the
members one after another; where its stack does not fit into memory it gets the upper
rows of the picture alone, and the table says so. Last come the slopes: seconds against
pixels and against members.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

ROUNDS = 3
STACK_GB = 6.0


@dataclass(frozen=True)
class Size:
    """One of the paper's configurations."""

    resolution: int
    features: int
    classes: int
    members: int = 10

    @property
    def reference_rows(self) -> int:
        """Rows that the reference labels: all, or as many as its memory allows."""
        gigabytes = self.resolution**2 * self.features * 4 / 1e9
        return self.resolution if gigabytes < STACK_GB else self.resolution // 4


SIZES = {256: Size(256, 4992, 16), 512: Size(512, 5056, 20), 1024: Size(1024, 5088, 34)}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=int, choices=SIZES, help="one resolution")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure is not None:
        print(json.dumps(measure(**json.loads(arguments.measure))))
        return
    with TemporaryDirectory() as folder:
        run = Runner(Path(folder), arguments.rounds, arguments.threads)
        for resolution in SIZES:
            if arguments.only in (None, resolution):
                print_table(run, SIZES[resolution])
        print_slopes(run, SIZES[arguments.only or 512])


@dataclass(frozen=True)
class Runner:
    """Starts one process per figure."""

    folder: Path
    rounds: int
    threads: int

    def __call__(
        self, what: str, size: Size, *, rows: int | None = None, members: int | None = None
    ) -> dict[str, float]:
        """Return the seconds and megabytes of one way to label."""
        task = {
            "what": what,
            "resolution": size.resolution,
            "classes": size.classes,
            "members": members or size.members,
            "rows": rows or size.resolution,
            "rounds": 2 if what == "reference" else self.rounds,
            "threads": self.threads,
            "labels": str(self.folder / f"{what}-{size.resolution}.npy"),
        }
        command = [sys.executable, __file__, "--measure", json.dumps(task)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]

    def agreement(self, size: Size, what: str) -> float:
        """Return the share of the reference's labels that another way gives too."""
        reference = np.load(self.folder / f"reference-{size.resolution}.npy")
        other = np.load(self.folder / f"{what}-{size.resolution}.npy")[:, : size.reference_rows]
        return float((reference == other).mean())


def print_table(run: Runner, size: Size) -> None:
    """Print one configuration."""
    print(
        f"\n{size.resolution} x {size.resolution}, {size.features} features, {size.members} "
        f"members, {size.classes} classes, {run.threads} threads"
    )
    reference = run("reference", size, rows=size.reference_rows)
    share = size.resolution // size.reference_rows
    seconds = reference["seconds"] * share
    print(f"{'':22}{'seconds':>9}{'ratio':>8}{'MB above synthesis':>20}{'labels as reference':>21}")
    print(f"{'synthesis alone':22}{reference['synthesis']:9.3f}")
    note = f"  ({share} x its upper 1/{share})" if share > 1 else ""
    print(f"{'reference':22}{seconds:9.3f}{1:8.1f}{reference['megabytes'] * share:20.0f}{note}")
    for what in ("plain", "float32", "bfloat16"):
        ours = run(what, size)
        print(
            f"{'ours, ' + what:22}{ours['seconds']:9.3f}{seconds / ours['seconds']:8.1f}"
            f"{ours['megabytes']:20.0f}{100 * run.agreement(size, what):20.3f} %"
        )


def print_slopes(run: Runner, size: Size) -> None:
    """Print how the cost grows with pixels and with members, and how straight the line is."""
    print(f"\nslopes at {size.resolution}, float32: seconds, and how they grow")
    quarters = [size.resolution * i // 4 for i in (1, 2, 3, 4)]
    seconds = [run("float32", size, rows=rows)["seconds"] for rows in quarters]
    pixels = [rows * size.resolution / 1e6 for rows in quarters]
    print_line("megapixels", pixels, seconds)
    members = [2, 4, 6, 8, 10]
    seconds = [run("float32", size, members=count)["seconds"] for count in members]
    print_line("members", [float(count) for count in members], seconds)


def print_line(name: str, x: list[float], y: list[float]) -> None:
    """Print points, the straight line through them, and the power of a log-log fit."""
    slope, start = np.polyfit(x, y, 1)
    power = np.polyfit(np.log(x), np.log(y), 1)[0]
    points = ", ".join(f"{a:g}: {b:.3f}" for a, b in zip(x, y, strict=True))
    print(f"{name}: {points}; {slope:.4f} s each + {start:.3f} s; power {power:.2f}")


def measure(
    what: str,
    resolution: int,
    classes: int,
    members: int,
    rows: int,
    rounds: int,
    threads: int,
    labels: str,
) -> dict[str, float]:
    """Synthesize and label once; runs in a process of its own."""
    import torch
    from backbones import published_stylegan1

    from datasetgan.checkpoints.layouts.datasetgan_stylegan1 import LAYOUT
    from datasetgan.features import FeaturePyramid, InputSpec
    from datasetgan.generators import NoiseSeed, StyleGAN1Config
    from datasetgan.interpreter import Ensemble, Interpreter
    from datasetgan.interpreter.labelling import Area
    from datasetgan.interpreter.reference import predict_by_members
    from datasetgan.runtime import resolve_runtime
    from datasetgan.taxonomy import ClassTaxonomy

    torch.manual_seed(0)
    runtime = resolve_runtime("cpu", threads=threads)
    config = StyleGAN1Config(resolution=resolution)
    generator = LAYOUT.build(published_stylegan1(config), {}).place(runtime)
    ws = torch.randn(1, generator.num_ws, generator.w_dim)
    with torch.inference_mode():
        synthesis, features = best_of(
            rounds, lambda: generator.synthesize(ws, noise=NoiseSeed((0,))).features
        )
    assert isinstance(features, FeaturePyramid)
    stacked = random_members(members, features.channels, classes)
    before = peak_megabytes()
    taxonomy = ClassTaxonomy.from_names([f"class {i}" for i in range(classes)])
    area = Area((resolution, resolution), 0, 0, rows, resolution)
    with torch.inference_mode():
        if what == "reference":
            upper = FeaturePyramid.from_tensors(
                [t[:, :, : -(-t.shape[2] * rows // resolution)] for t in features.tensors]
            )
            each = [stacked.member(m) for m in range(members)]
            seconds, prediction = best_of(
                rounds, lambda: predict_by_members(each, upper, size=(rows, resolution))
            )
            if rows < resolution:
                # Its lowest rows saw an edge where the picture goes on: once more with
                # one source row more, to compare labels with.
                prediction = predict_by_members(
                    each, upper_rows(features, rows, resolution), size=(rows, resolution)
                )
        else:
            interpreter = Interpreter(
                taxonomy, Ensemble(InputSpec(features.levels), stacked.eval())
            )
            seconds, prediction = best_of(
                rounds + 1,  # the first one loads or compiles
                lambda: interpreter.predict(
                    features,
                    area=area,
                    engine="plain" if what == "plain" else None,
                    precision="bfloat16" if what == "bfloat16" else "float32",
                ),
            )
    np.save(labels, prediction.label_map.numpy())
    return {
        "synthesis": synthesis,
        "seconds": seconds,
        "megabytes": peak_megabytes() - before,
    }


def upper_rows(features, rows: int, resolution: int):  # type: ignore[no-untyped-def]
    """Return levels of the full size for the upper rows, upsampled as of the whole picture."""
    import torch.nn.functional as F

    from datasetgan.features import FeaturePyramid

    upsampled = []
    for tensor in features.tensors:
        scale = resolution // tensor.shape[2]
        source = tensor[:, :, : -(-rows // scale) + 1]
        size = (source.shape[2] * scale, resolution)
        whole = F.interpolate(source, size=size, mode="bilinear", align_corners=False)
        upsampled.append(whole[:, :, :rows].clone())
    return FeaturePyramid.from_tensors(upsampled)


def random_members(members: int, channels: int, classes: int):  # type: ignore[no-untyped-def]
    """Return members that give every class some of the picture."""
    import torch

    from datasetgan.interpreter import PixelClassifier, StackedClassifiers

    made = [PixelClassifier(channels, classes, seed=0, member=m) for m in range(members)]
    for member in made:
        with torch.no_grad():
            for name, tensor in member.state_dict().items():
                if name.endswith("running_var"):
                    tensor.copy_(torch.rand(tensor.shape) + 0.5)
                elif name.endswith(("layers.3.weight", "layers.6.weight")):
                    tensor.mul_(10)
    return StackedClassifiers.from_members([member.eval() for member in made])


def best_of(rounds: int, work):  # type: ignore[no-untyped-def]
    """Return the seconds of the best round and what the last one gave."""
    best, result = float("inf"), None
    for _ in range(rounds):
        result = None
        start = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - start)
    return best, result


def peak_megabytes() -> float:
    """Return the peak resident memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
