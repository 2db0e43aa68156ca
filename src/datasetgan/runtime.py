"""Where and how networks run, and the streams that all random numbers come from."""

import os
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from math import ceil
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from datasetgan.choices import Precision, PrecisionOption
from datasetgan.errors import UsageError, check_literals, unknown_name

__all__ = [
    "DTYPES",
    "Precision",
    "Runtime",
    "Stream",
    "random_state",
    "resolve_runtime",
    "training_precision",
    "usable_threads",
]

DTYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
"""The torch type of every precision."""


@dataclass(frozen=True)
class Runtime:
    """Where and how networks run.

    Attributes:
        device: a PyTorch device name, for instance ``"cpu"``, ``"cuda:0"`` or ``"mps"``.
        precision: the type of activations; weights stay float32.
    """

    device: str = "cpu"
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        check_literals(self)

    @property
    def dtype(self) -> torch.dtype:
        """The torch type of `precision`."""
        return DTYPES[self.precision]

    @property
    def torch_device(self) -> torch.device:
        """The torch device of `device`."""
        return torch.device(self.device)


def resolve_runtime(
    device: str = "auto", *, precision: PrecisionOption = "auto", threads: int | None = None
) -> Runtime:
    """Choose a runtime; the thread count, and flushing of denormals, apply to this process.

    Args:
        device: ``"auto"`` takes CUDA, then MPS, then the CPU; else a PyTorch device name.
        precision: ``"auto"`` is float32 everywhere, so that results agree between machines.
        threads: CPU threads; `usable_threads` by default.

    Raises:
        UsageError: the device is not present, the precision is unknown or `threads` < 1.
    """
    if device == "auto":
        device = (
            "cuda"
            if torch.cuda.is_available()
            else "mps"
            if torch.backends.mps.is_available()
            else "cpu"
        )
    else:
        _check_device(device)
    if precision == "auto":
        precision = "float32"
    if precision not in get_args(Precision):
        raise UsageError(unknown_name("precision", precision, ("auto", *get_args(Precision))))
    if threads is None:
        threads = usable_threads()
    if threads < 1:
        raise UsageError(f"threads must be at least 1, got {threads}.")
    torch.set_num_threads(threads)
    # Denormals arise in small gradients and slow some CPUs ten times over. Threads
    # take this over when they start, so it is set before any work begins.
    torch.set_flush_denormal(True)
    return Runtime(device=device, precision=precision)


def usable_threads(cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the CPU threads that this process may use, at least 1.

    The least of ``OMP_NUM_THREADS``, the processors it is bound to, and its container's
    share of them (cgroup v2 ``cpu.max``, v1 ``cpu.cfs_quota_us``), rounded up.

    Args:
        cgroups: where the system shows the process's control group.
    """
    limits = [
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    ]
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked.isdecimal() and int(asked) > 0:
        limits.append(int(asked))
    for files in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        try:
            quota, period = " ".join((cgroups / file).read_text("ascii") for file in files).split()
            share = int(quota) / int(period)
        except (OSError, ValueError, ZeroDivisionError):
            continue  # no such group, or no limit ("max")
        if share > 0:
            limits.append(ceil(share))
    return max(1, min(limits))


def training_precision(device: str) -> Precision:
    """Return the fastest precision that trains well on a device.

    bfloat16 on GPUs and CPUs that multiply in it, float16 on older GPUs, else float32.

    Args:
        device: a PyTorch device name, as `Runtime.device` holds it.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    if kind == "cpu":
        fast = (torch.cpu._is_amx_tile_supported(), torch.cpu._is_avx512_bf16_supported())
        return "bfloat16" if any(fast) else "float32"
    return "float32"


def _check_device(name: str) -> None:
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        present = ["cpu"]
        present += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        present += ["mps"] if torch.backends.mps.is_available() else []
        raise UsageError(
            f"device {name!r} cannot be used here. Present: {', '.join(present)}, or 'auto'."
        ) from error


class Stream(IntEnum):
    """What random numbers are drawn for: the one list of all purposes.

    The numbers never change: a stored seed stands for a sample. Those below 64 are the
    first ones. Some of these share a number, and a path is padded with zeros, so
    ``(LATENT, 0)`` is ``(LATENT,)``: kept, for no result may change. A new purpose takes
    the next number from 64 on; there, distinct paths give independent numbers.
    """

    LATENT = 0
    NOISE = 1
    TRAINING_STEP = 2
    PIXELS = 3
    PIXEL_ORDER = 5
    DROPOUT = 6
    KEYPOINT_PIXELS = 7
    KEYPOINT_ORDER = 8
    RANDOM_NETWORK = 16
    STANDARDISING_PHOTOS = 17
    KID_SUBSETS = 18
    CLASS_LABELS = 19
    SCORED_PHOTOS = 20
    REFERENCE_PHOTOS = 21
    MEAN_LATENT = 30
    CANDIDATE_ORDER = 40
    CANDIDATE_PHOTOS = 64
    # Purposes that got the number of another one.
    REGIONS = LATENT
    KEYPOINT_REGIONS = LATENT
    DATASET_ORDER = LATENT
    AUGMENTATION = NOISE
    CLASSIFIER_WEIGHTS = TRAINING_STEP
    SEGMENTER_WEIGHTS = TRAINING_STEP
    SEGMENTER_DROPOUT = PIXELS
    FOLDS = PIXEL_ORDER


_SOUND = 64  # the first stream whose paths do not run into each other


def random_state(seed: int, stream: Stream, *path: int) -> np.random.RandomState:
    """Return the random numbers named by a seed, a purpose and a path of integers below it.

    NumPy freezes `RandomState`'s streams for good (NEP 19), so the same numbers
    come out of every NumPy version and machine.

    Args:
        seed: a non-negative integer.
        stream: what the numbers are for; see there for what the first ones share.
        path: non-negative integers, for instance the index of a layer.

    Raises:
        UsageError: a negative seed.
    """
    if seed < 0:
        raise UsageError(f"a seed must not be negative, got {seed}.")
    names = [seed, int(stream), *path]
    if stream >= _SOUND:
        # SeedSequence pads with zeros and cuts large integers up, so (0, 5) would be
        # (0, 5, 0). A digest of the written path is of one length, and knows its length.
        text = ",".join(map(str, names))
        names = [int.from_bytes(sha256(text.encode()).digest(), "little")]
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(names)))
