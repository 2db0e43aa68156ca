"""StyleGAN1 written as its definition, for tests and benchmarks.

Weights go by the names of the PyTorch port that DatasetGAN's official code uses and
lie as published. Slow on purpose: sizes are doubled before they are filtered, and
every step of a layer is a pass of its own.
"""

from collections.abc import Mapping, Sequence
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["map_latents", "synthesize"]

# From this size on the official network doubles and convolves in one step.
_FUSED_FROM = 128


def map_latents(tensors: Mapping[str, Tensor], z: Tensor) -> Tensor:
    """Return w [N, w_dim] from z [N, z_dim] (Karras et al. 2019, sec. 2)."""
    x = z / (z.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    layers = sum(name.startswith("g_mapping.") and name.endswith(".weight") for name in tensors)
    for i in range(layers):
        weight, bias = (tensors[f"g_mapping.dense{i}.{part}"] for part in ("weight", "bias"))
        # He's scale sqrt(2 / fan in), and a learning rate a hundred times smaller.
        x = F.linear(x, weight * (sqrt(2 / weight.shape[1]) * 0.01), bias * 0.01)
        x = F.leaky_relu(x, 0.2)
    return x


def synthesize(
    tensors: Mapping[str, Tensor], ws: Tensor, noise: Sequence[Tensor], *, epsilon: float = 1e-5
) -> tuple[Tensor, list[Tensor]]:
    """Return the image and per block: first AdaIN, bare second convolution, second AdaIN.

    Args:
        tensors: `g_synthesis.*`.
        ws: [N, num_ws, w_dim].
        noise: one map [N or 1, 1, R, R] per layer.
        epsilon: added to the variance of an instance norm.
    """
    features: list[Tensor] = []
    x = ws
    for i in range(len(noise) // 2):
        resolution = 4 * 2**i
        block = {
            name.removeprefix(f"g_synthesis.blocks.{resolution}x{resolution}."): tensor
            for name, tensor in tensors.items()
        }
        if i == 0:
            x = block["const"].expand(ws.shape[0], -1, -1, -1) + block["bias"][:, None, None]
        else:
            x = _double_and_convolve(x, block["conv0_up.weight"])
            x = _blur(x) + block["conv0_up.bias"][:, None, None]
        x = _epilogue(x, block, "epi1", ws[:, 2 * i], noise[2 * i], epsilon)
        features.append(x)
        conv = "conv" if i == 0 else "conv1"
        x = F.conv2d(x, _he(block[f"{conv}.weight"]), block[f"{conv}.bias"], padding=1)
        features.append(x)
        x = _epilogue(x, block, "epi2", ws[:, 2 * i + 1], noise[2 * i + 1], epsilon)
        features.append(x)
    weight = tensors["g_synthesis.torgb.weight"]
    image = F.conv2d(x, weight / sqrt(weight.shape[1]), tensors["g_synthesis.torgb.bias"])
    return image, features


def _he(weight: Tensor) -> Tensor:
    return weight * sqrt(2 / weight[0].numel())


def _double_and_convolve(x: Tensor, weight: Tensor) -> Tensor:
    weight = _he(weight)
    if 2 * x.shape[2] < _FUSED_FROM:
        x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        return F.conv2d(x, weight, padding=1)
    # Zeros between the pixels, a true convolution (not a correlation), a box of 2x2.
    n, channels, height, width = x.shape
    grid = x.new_zeros(n, channels, height, 2, width, 2)
    grid[:, :, :, 0, :, 0] = x
    grid = F.pad(grid.reshape(n, channels, 2 * height, 2 * width), (2, 2, 2, 2))
    y = F.conv2d(grid, weight.flip(2, 3))  # [N, O, 2H+2, 2W+2], from row -1 to row 2H
    y = y[:, :, :-1, :-1] + y[:, :, 1:, :-1] + y[:, :, :-1, 1:] + y[:, :, 1:, 1:]
    return y[:, :, :-1, :-1]


def _blur(x: Tensor) -> Tensor:
    taps = torch.tensor([1.0, 2.0, 1.0], dtype=x.dtype) / 4
    kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(x, kernel, padding=1, groups=x.shape[1])


def _epilogue(
    x: Tensor, block: Mapping[str, Tensor], name: str, w: Tensor, noise: Tensor, epsilon: float
) -> Tensor:
    x = x + noise * block[f"{name}.top_epi.noise.weight"][:, None, None]
    x = F.leaky_relu(x, 0.2)
    mean = x.mean(dim=(2, 3), keepdim=True)
    variance = x.var(dim=(2, 3), correction=0, keepdim=True)
    x = (x - mean) / (variance + epsilon).sqrt()
    weight = block[f"{name}.style_mod.lin.weight"]
    style = F.linear(w, weight / sqrt(weight.shape[1]), block[f"{name}.style_mod.lin.bias"])
    style = style.reshape(w.shape[0], 2, -1, 1, 1)
    return x * (style[:, 0] + 1) + style[:, 1]
