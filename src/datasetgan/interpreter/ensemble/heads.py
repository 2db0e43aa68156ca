"""The kinds of pixel classifiers that an ensemble can be made of, by name."""

from collections.abc import Callable

from torch import nn

from datasetgan.errors import UsageError, unknown_name
from datasetgan.interpreter.ensemble.classifier import StackedClassifiers, hidden_widths
from datasetgan.interpreter.ensemble.stacked import (
    HeadName,
    StackedBatchNorm,
    StackedConvolution,
    StackedDropout,
    StackedHead,
    StackedLinear,
    check_members,
    draw_weights,
)

__all__ = ["HEADS", "HeadName", "build_head", "head_halo"]

_DROPOUT = (0.5, 0.25)
_CONV_WIDTH = 32


def _paper(num_members: int, in_channels: int, num_outputs: int, seed: int) -> StackedHead:
    return StackedClassifiers(num_members, in_channels, num_outputs)


def _linear(num_members: int, in_channels: int, num_outputs: int, seed: int) -> StackedHead:
    return StackedHead(
        nn.Sequential(StackedLinear(num_members, in_channels, num_outputs)), name="linear"
    )


def _mlp(num_members: int, in_channels: int, num_outputs: int, seed: int) -> StackedHead:
    """The paper's layers, with dropout behind each of the two hidden ones."""
    first, second = hidden_widths(num_outputs)
    return StackedHead(
        nn.Sequential(
            *_two_hidden_layers(num_members, in_channels, (first, second), seed),
            StackedLinear(num_members, second, num_outputs),
        ),
        name="mlp",
    )


def _conv(num_members: int, in_channels: int, num_outputs: int, seed: int) -> StackedHead:
    """The paper's first layer, reduced to few channels, then a look at the neighbours."""
    first, _ = hidden_widths(num_outputs)
    return StackedHead(
        nn.Sequential(
            *_two_hidden_layers(num_members, in_channels, (first, _CONV_WIDTH), seed),
            StackedConvolution(num_members, _CONV_WIDTH, _CONV_WIDTH),
            nn.ReLU(),
            StackedBatchNorm(num_members, _CONV_WIDTH),
            StackedLinear(num_members, _CONV_WIDTH, num_outputs),
        ),
        name="conv",
    )


def _two_hidden_layers(
    num_members: int, in_channels: int, widths: tuple[int, int], seed: int
) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for i, (width, before) in enumerate(zip(widths, (in_channels, widths[0]), strict=True)):
        layers += [
            StackedLinear(num_members, before, width),
            nn.ReLU(),
            StackedBatchNorm(num_members, width),
            StackedDropout(_DROPOUT[i], seed=seed + i),
        ]
    return layers


HEADS: dict[str, Callable[[int, int, int, int], StackedHead]] = {
    "paper": _paper,
    "linear": _linear,
    "mlp": _mlp,
    "conv": _conv,
}
"""Name to a function of members, input channels, outputs and the seed of its dropout."""


def build_head(
    name: HeadName, *, num_members: int, in_channels: int, num_outputs: int, seed: int = 0
) -> StackedHead:
    """Build all members of an ensemble, each with a start of its own.

    Args:
        name: a key of `HEADS`.
        num_members: M.
        in_channels: length of a pixel's feature vector.
        num_outputs: classes of label maps, or keypoints of heat maps.
        seed: of initial weights and of dropout; a non-negative integer.

    Raises:
        UsageError: an unknown name, or a number below 1.
    """
    if name not in HEADS:
        raise UsageError(unknown_name("head", name, HEADS))
    check_members(num_members)
    if min(in_channels, num_outputs) < 1:
        raise UsageError(
            f"a head needs at least one input channel and one output, got {in_channels} "
            f"and {num_outputs}."
        )
    head = HEADS[name](num_members, in_channels, num_outputs, seed)
    draw_weights(head, seed=seed)
    return head


def head_halo(name: HeadName) -> int:
    """Return the pixels around a crop that a kind of head reads."""
    return int(name == "conv")
