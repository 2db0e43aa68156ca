"""The same layers for all members at once, and the head that is built of them."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datasetgan.choices import HeadName
from datasetgan.errors import UsageError
from datasetgan.interpreter.ensemble.folded import FoldedHead, FoldedLayer
from datasetgan.runtime import Stream, random_state

__all__ = [
    "HeadName",
    "StackedBatchNorm",
    "StackedConvolution",
    "StackedDropout",
    "StackedHead",
    "StackedLinear",
    "check_members",
    "draw_weights",
]

WEIGHT_SCALE = 0.02


class StackedLinear(nn.Module):
    """One linear layer of every member, in one batched product."""

    def __init__(self, num_members: int, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_members, out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(num_members, out_features))

    def forward(self, x: Tensor) -> Tensor:
        """Return [M, *grid, O] from x [M, *grid, I]."""
        y = torch.baddbmm(self.bias[:, None], x.flatten(1, -2), self.weight.mT)
        return y.view(*x.shape[:-1], y.shape[2])

    def shared(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        """Return [M, *grid, O] from one x [*grid, I] for all members: a single product.

        Args:
            x: the input.
            scale: [M, I] that each member multiplies x by. The weights take it, which
                are far fewer than the values of M scaled inputs.
        """
        weight = self.weight if scale is None else self.weight * scale[:, None]
        y = F.linear(x.flatten(0, -2), weight.flatten(0, 1), self.bias.flatten())
        return y.view(*x.shape[:-1], *self.bias.shape).movedim(-2, 0)


class StackedConvolution(nn.Module):
    """A 3x3 convolution of every member, without padding."""

    def __init__(self, num_members: int, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_members, out_features, in_features, 3, 3))
        self.bias = nn.Parameter(torch.zeros(num_members, out_features))

    def forward(self, x: Tensor) -> Tensor:
        """Return [M, B, R - 2, S - 2, O] from crops x [M, B, R, S, I]."""
        members, outputs = self.bias.shape
        maps = x.permute(1, 0, 4, 2, 3).flatten(1, 2)  # [B, M * I, R, S]
        y = F.conv2d(maps, self.weight.flatten(0, 1), self.bias.flatten(), groups=members)
        return y.view(len(y), members, outputs, *y.shape[2:]).permute(1, 0, 3, 4, 2)


class StackedBatchNorm(nn.Module):
    """One batch normalisation of every member, each with statistics of its own batch."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_members: int, width: int) -> None:
        super().__init__()
        self.eps, self.momentum = 1e-5, 0.1  # BatchNorm1d's
        self.weight = nn.Parameter(torch.ones(num_members, width))
        self.bias = nn.Parameter(torch.zeros(num_members, width))
        self.register_buffer("running_mean", torch.zeros(num_members, width))
        self.register_buffer("running_var", torch.ones(num_members, width))

    def forward(self, x: Tensor) -> Tensor:
        """Return x [M, *grid, width] normalised over the grid."""
        grid = x.shape[1:-1]
        # A member's channel is one channel among M * width: they never mix.
        flat = F.batch_norm(
            x.flatten(1, -2).transpose(0, 1).flatten(1),  # [B, M * width]
            self.running_mean.view(-1),
            self.running_var.view(-1),
            self.weight.view(-1),
            self.bias.view(-1),
            training=self.training,
            momentum=self.momentum,
            eps=self.eps,
        )
        return flat.view(*grid, *self.bias.shape).movedim(-2, 0)

    def affine(self) -> tuple[Tensor, Tensor]:
        """Return scale and shift [M, width], float64 on the CPU, of its work at inference."""
        scale = _exact(self.weight) * (_exact(self.running_var) + self.eps).rsqrt()
        return scale, _exact(self.bias) - _exact(self.running_mean) * scale


class StackedDropout(nn.Module):
    """Dropout with random numbers of its own, so that a fit repeats itself.

    Args:
        share: of the values that become zero while training, in 1/256 steps.
        seed: of the masks.
    """

    def __init__(self, share: float, *, seed: int) -> None:
        super().__init__()
        self.dropped = round(share * 256)
        self._seed = seed
        self._generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return x with zeros strewn in and the rest scaled up; x itself at inference."""
        if not self.training or not self.dropped:
            return x
        if self._generator is None or self._generator.device != x.device:
            self._generator = torch.Generator(x.device).manual_seed(self._seed)
        # One draw of 64 bits serves eight values: drawing is what dropout costs.
        draws = torch.empty(-(-x.numel() // 8), dtype=torch.int64, device=x.device)
        draws.random_(torch.iinfo(torch.int64).min, None, generator=self._generator)
        kept = draws.view(torch.uint8)[: x.numel()] >= self.dropped
        mask = kept.to(x.dtype).mul_(256 / (256 - self.dropped))
        # The mask has the order of x's memory: no copy where members lie inside the grid.
        return x * mask.as_strided(x.shape, x.stride()) if _dense(x) else x * mask.view(x.shape)


def _dense(x: Tensor) -> bool:
    strides = sorted(zip(x.stride(), x.shape, strict=True))
    expected = 1
    for stride, length in strides:
        if length > 1 and stride != expected:
            return False
        expected *= length
    return True


class StackedHead(nn.Module):
    """All members of an ensemble, fitted and applied together.

    Built of stacked layers in this order: a `StackedLinear`; then any number of times
    a ReLU, optionally a `StackedBatchNorm` and a `StackedDropout`, and a
    `StackedLinear` or `StackedConvolution`.

    Attributes:
        name: of its kind.
        num_members: M.
        in_channels: C, length of a pixel's feature vector.
        num_outputs: K, outputs per member and pixel.
        layers: the stacked layers.
    """

    def __init__(self, layers: nn.Sequential, *, name: HeadName) -> None:
        super().__init__()
        self.name: HeadName = name
        first, last = layers[0], layers[-1]
        assert isinstance(first, StackedLinear)
        assert isinstance(last, (StackedLinear, StackedConvolution))
        self.num_members, _, self.in_channels = first.weight.shape
        self.num_outputs = last.bias.shape[1]
        self.layers = layers

    @property
    def halo(self) -> int:
        """Pixels around a crop that its outputs depend on."""
        return sum(isinstance(layer, StackedConvolution) for layer in self.layers)

    def forward(self, x: Tensor, *, input_scale: Tensor | None = None) -> Tensor:
        """Return the outputs of all members.

        Args:
            x: pixel features [B, C] that all members share; [M, B, C], one batch per
                member; or shared crops [B, R, S, C], the only form for a head with a
                halo.
            input_scale: [M, C] that each member multiplies shared features by; none by
                default.

        Returns:
            [M, B, K]; of crops [M, B, R - 2 halo, S - 2 halo, K].
        """
        first, *rest = self.layers
        assert isinstance(first, StackedLinear)
        y: Tensor = first(x) if x.ndim == 3 else first.shared(x, input_scale)
        for layer in rest:
            y = layer(y)
        return y

    @torch.no_grad()
    def fold(self) -> FoldedHead:
        """Fold each normalisation into the layer behind it.

        ``W (s x + t) + b = (W s) x + (W t + b)``; computed in float64 once.
        """
        first, *rest = self.layers
        assert isinstance(first, StackedLinear)
        layers = []
        affine: tuple[Tensor, Tensor] | None = None
        for layer in rest:
            if isinstance(layer, StackedBatchNorm):
                affine = layer.affine()
            elif isinstance(layer, (StackedLinear, StackedConvolution)):
                layers.append(_folded(layer, affine))
                affine = None
        return FoldedHead(
            num_members=self.num_members,
            first_weight=first.weight.detach().flatten(0, 1).clone(),
            first_bias=first.bias.detach().flatten().clone(),
            layers=tuple(layers),
        )


def draw_weights(head: StackedHead, *, seed: int) -> None:
    """Give every member a start of its own: weights N(0, 0.02), biases 0 (official code).

    Member m's numbers come from the stream of the seed and m, layer after layer.
    """
    randoms = [random_state(seed, Stream.CLASSIFIER_WEIGHTS, m) for m in range(head.num_members)]
    with torch.no_grad():
        for layer in head.layers:
            if isinstance(layer, (StackedLinear, StackedConvolution)):
                for member, random in zip(layer.weight, randoms, strict=True):
                    values = random.standard_normal(tuple(member.shape)).astype(np.float32)
                    member.copy_(torch.from_numpy(values) * WEIGHT_SCALE)


def check_members(num_members: int) -> None:
    """Raise `UsageError` unless there is at least one member."""
    if num_members < 1:
        raise UsageError(f"an ensemble needs at least one member, got {num_members}.")


def _folded(
    layer: "StackedLinear | StackedConvolution", affine: tuple[Tensor, Tensor] | None
) -> FoldedLayer:
    weight, bias = _exact(layer.weight), _exact(layer.bias)
    if affine is not None:
        scale, shift = affine
        taps = weight.flatten(3).sum(dim=3) if weight.ndim == 5 else weight  # [M, O, I]
        bias = bias + (taps @ shift[..., None]).squeeze(-1)
        weight = weight * scale.view(scale.shape[0], 1, -1, *[1] * (weight.ndim - 3))
    device = layer.weight.device
    return FoldedLayer(weight.float().to(device), bias.float().to(device))


def _exact(tensor: Tensor) -> Tensor:
    # On the CPU: not every accelerator knows float64.
    return tensor.detach().cpu().double()
