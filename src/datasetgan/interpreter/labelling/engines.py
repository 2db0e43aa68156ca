"""Which engine labels: the fastest one that is at hand and says what plain PyTorch says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from time import perf_counter
from typing import Literal

import torch
from torch import Tensor

from datasetgan.interpreter.ensemble.folded import FoldedHead
from datasetgan.interpreter.labelling.base import Area, LabelMaps
from datasetgan.interpreter.labelling.gpu import kernel_fits, label_on_gpu, triton_available
from datasetgan.interpreter.labelling.plain import label_plainly

__all__ = ["EngineChoice", "LabelEngine", "fastest_engine", "tried_kernel", "verified_engine"]

LabelEngine = Literal["plain", "numba", "triton"]
"""Plain PyTorch, Numba's loops on a CPU, or Triton's kernel on an NVIDIA GPU."""

# What two ways to the same maps may differ by. Members that are torn between two classes
# decide by rounding; an error of the kernel changes far more.
_CHANGED_SHARE = 0.001
_TOLERANCE = 1e-3
_ROUNDS = 3
# The trial picture: small, but with enough tiles to fill a GPU.
_TRIAL = Area.whole((128, 128))
_TRIAL_GRIDS = 6  # 128, 64, and so on down to 4


@dataclass(frozen=True)
class EngineChoice:
    """An engine and why it is taken.

    Attributes:
        engine: that labels.
        reason: one sentence.
    """

    engine: LabelEngine
    reason: str


def fastest_engine(head: FoldedHead, channels: Sequence[int]) -> EngineChoice:
    """Return the fastest engine that is at hand for a head, on the device where it is.

    Triton's kernel has to prove itself for every head and in every process: see
    `tried_kernel`.

    Args:
        head: that is to label.
        channels: of the feature levels, in the order of the head's columns.
    """
    device = head.first_bias.device
    if device.type == "cpu":
        if find_spec("numba") is not None:
            return EngineChoice("numba", "Numba's loops are the fastest engine on a CPU.")
        return EngineChoice("plain", "Numba is not installed.")
    if not triton_available(device):
        return EngineChoice("plain", f"Triton's kernel does not run on {device}.")
    if not kernel_fits(head):
        return EngineChoice("plain", "Triton's kernel does not know this head.")
    return tried_kernel(head, channels)


def tried_kernel(head: FoldedHead, channels: Sequence[int]) -> EngineChoice:
    """Label a small picture of random features by plain PyTorch and by Triton's kernel.

    It takes seconds, for the kernel is compiled. Arguments as of `fastest_engine`; what
    is chosen, and when, says `verified_engine`.
    """
    levels = _trial_levels(channels, head.first_bias.device)

    @torch.inference_mode()
    def plain() -> LabelMaps:
        out = _trial_maps(head)
        label_plainly([levels], head, _TRIAL, out=out)
        return _finished(out)

    def triton() -> LabelMaps:
        out = _trial_maps(head)
        label_on_gpu([levels], head, _TRIAL, out=out, precision="float32")
        return _finished(out)

    return verified_engine(plain, triton)


def verified_engine(
    plain: Callable[[], LabelMaps],
    triton: Callable[[], LabelMaps],
    *,
    clock: Callable[[], float] = perf_counter,
) -> EngineChoice:
    """Choose Triton's kernel if it gives plain PyTorch's maps, and gives them sooner.

    Args:
        plain: labels a trial picture; returns finished maps, with probabilities.
        triton: the same with the kernel.
        clock: seconds.

    Returns:
        ``"plain"`` too if the kernel fails, whatever it raises.
    """
    expected = plain()
    try:
        difference = _difference(triton(), expected)
        kernel = float("inf") if difference else _seconds(triton, clock)
    except Exception as error:
        return EngineChoice("plain", f"Triton's kernel failed: {type(error).__name__}: {error}")
    if difference:
        return EngineChoice("plain", f"Triton's kernel differs from plain PyTorch: {difference}.")
    ours = _seconds(plain, clock)
    times = f"{1000 * kernel:.1f} ms where plain PyTorch takes {1000 * ours:.1f} ms"
    if kernel >= ours:
        return EngineChoice("plain", f"Triton's kernel is no faster: {times}.")
    return EngineChoice("triton", f"Triton's kernel gives the same labels in {times}.")


def _difference(given: LabelMaps, expected: LabelMaps) -> str:
    """Return what is beyond rounding, or nothing."""
    changed = float((given.label_map != expected.label_map).double().mean())
    if changed > _CHANGED_SHARE:
        return f"{100 * changed:.2f} % of labels"
    pairs = {"divergence": (given.uncertainty, expected.uncertainty)}
    if given.probabilities is not None and expected.probabilities is not None:
        pairs["probabilities"] = (given.probabilities, expected.probabilities)
    for name, (ours, theirs) in pairs.items():
        mean = float((ours - theirs).abs().mean())
        if not mean <= _TOLERANCE:  # NaN is beyond it too
            return f"{name} by {mean:.2g} on average"
    return ""


def _seconds(label: Callable[[], LabelMaps], clock: Callable[[], float]) -> float:
    """Return the seconds of the best of a few rounds."""
    best = float("inf")
    for _ in range(_ROUNDS):
        start = clock()
        label()
        best = min(best, clock() - start)
    return best


def _trial_levels(channels: Sequence[int], device: torch.device) -> list[Tensor]:
    """Return features [C_l, s, s] of a small picture, from coarse to fine as a generator's."""
    random = torch.Generator().manual_seed(0)
    levels = []
    for i, count in enumerate(channels):
        halvings = _TRIAL_GRIDS * (len(channels) - 1 - i) // len(channels)
        grid = [side >> halvings for side in _TRIAL.size]
        levels.append(torch.randn(count, *grid, generator=random).to(device))
    return levels


def _trial_maps(head: FoldedHead) -> LabelMaps:
    device = head.first_bias.device
    return LabelMaps.empty(1, _TRIAL, num_classes=head.num_outputs, device=device)


def _finished(maps: LabelMaps) -> LabelMaps:
    """Bring maps to the CPU: a GPU goes on working after the call that asked it to."""
    probabilities = None if maps.probabilities is None else maps.probabilities.cpu()
    return LabelMaps(maps.label_map.cpu(), maps.uncertainty.cpu(), probabilities)
