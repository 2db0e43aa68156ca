"""StyleGAN2 by its most direct expression in PyTorch, for the benchmarks to compare with."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from datasetgan.generators.ops_reference import filter_and_resample

__all__ = ["grouped_modulated_conv2d", "nchw", "plain_operators"]


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

    def blur(x: Tensor, *, gain: float, padding: int) -> Tensor:
        return filter_and_resample(x, padding=(padding, padding), gain=gain)

    def upsample(x: Tensor) -> Tensor:
        return filter_and_resample(x, up=2, padding=(2, 1), gain=4.0)

    def downsample(x: Tensor) -> Tensor:
        return filter_and_resample(x, down=2, padding=(1, 1))

    generator, discriminator = (
        "datasetgan.generators.stylegan2",
        "datasetgan.gan_training.discriminator",
    )
    with (
        nchw(),
        mock.patch(f"{generator}.modulated_conv2d", grouped_modulated_conv2d),
        mock.patch(f"{generator}.upsample_2d", upsample),
        mock.patch(f"{discriminator}.blur_2d", blur),
        mock.patch(f"{discriminator}.downsample_2d", downsample),
    ):
        yield
