"""Device, precision, threads and seeding as one value."""

import os
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch

from datasetgan.errors import UsageError, unknown_name

__all__ = ["Precision", "Runtime", "random_state", "resolve_runtime", "training_precision"]

Precision = Literal["float32", "bfloat16", "float16"]

_DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True)
class Runtime:
    """Where and how networks run.

    Attributes:
        device: a PyTorch device name, for instance ``"cpu"``, ``"cuda:0"`` or ``"mps"``.
        precision: the type of activations; weights stay float32.
        threads: CPU threads that PyTorch may use.
    """

    device: str = "cpu"
    precision: Precision = "float32"
    threads: int = 1

    @property
    def dtype(self) -> torch.dtype:
        """The torch type of `precision`."""
        return _DTYPES[self.precision]

    @property
    def torch_device(self) -> torch.device:
        """The torch device of `device`."""
        return torch.device(self.device)


def resolve_runtime(
    device: str = "auto", *, precision: str = "auto", threads: int | None = None
) -> Runtime:
    """Choose a runtime; its thread count, and flushing of denormals, apply to this process.

    Args:
        device: ``"auto"`` takes CUDA, then MPS, then the CPU; else a PyTorch device name.
        precision: ``"auto"`` is float32 everywhere, so that results agree between machines.
        threads: CPU threads; all that this process may use by default.

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
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
        threads = threads or os.cpu_count() or 1
    if threads < 1:
        raise UsageError(f"threads must be at least 1, got {threads}.")
    torch.set_num_threads(threads)
    # Denormals arise in small gradients and slow some CPUs ten times over. Threads
    # take this over when they start, so it is set before any work begins.
    torch.set_flush_denormal(True)
    return Runtime(device=device, precision=precision, threads=threads)  # type: ignore[arg-type]


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


def random_state(seed: int, *path: int) -> np.random.RandomState:
    """Return the random stream named by a seed and a path of integers below it.

    NumPy freezes `RandomState`'s streams for good (NEP 19), so the same numbers
    come out of every NumPy version and machine. Distinct paths give independent
    streams (`numpy.random.SeedSequence`).

    Args:
        seed: a non-negative integer.
        path: non-negative integers, for instance a purpose and a layer index.

    Raises:
        UsageError: a negative seed.
    """
    if seed < 0:
        raise UsageError(f"a seed must not be negative, got {seed}.")
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence([seed, *path])))
