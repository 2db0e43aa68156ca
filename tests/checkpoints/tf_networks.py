"""TensorFlow networks by their variables: drawn, and evaluated step by step in HWIO."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from datasetgan.checkpoints.layouts.base import LayoutSpec
from datasetgan.runtime import Runtime

Z_DIM, W_DIM = 6, 5


class Writer:
    """Variables of a TensorFlow network, drawn in the shapes that TensorFlow gives them."""

    def __init__(self, seed: int) -> None:
        self._draw = np.random.RandomState(seed)
        self.variables: dict[str, Tensor] = {}

    def add(self, name: str, *shape: int, scale: float = 1.0) -> None:
        values = self._draw.standard_normal(shape) * scale
        self.variables[name] = torch.from_numpy(np.asarray(values, dtype=np.float32))

    def add_mapping(self, *, label_features: int = 0) -> None:
        self.add("dlatent_avg", W_DIM)
        self.add("mapping/Dense0/weight", Z_DIM + label_features, W_DIM, scale=100)
        self.add("mapping/Dense0/bias", W_DIM, scale=10)
        self.add("mapping/Dense1/weight", W_DIM, W_DIM, scale=100)
        self.add("mapping/Dense1/bias", W_DIM, scale=10)


def stylegan1_variables(*, labels: int = 0) -> dict[str, Tensor]:
    """A StyleGAN1 of 16 px: 8, 4 and 2 channels (fmap_base 16)."""
    tf = Writer(1)
    tf.add_mapping(label_features=Z_DIM if labels else 0)
    if labels:
        tf.add("mapping/LabelConcat/weight", labels, Z_DIM)
    tf.variables["synthesis/lod"] = torch.zeros([])
    before = 0
    for i, (size, channels) in enumerate({4: 8, 8: 4, 16: 2}.items()):
        block = f"synthesis/{size}x{size}"
        names = ("Const", "Conv") if size == 4 else ("Conv0_up", "Conv1")
        if size == 4:
            tf.add(f"{block}/Const/const", 1, channels, 4, 4)
        else:
            tf.add(f"{block}/Conv0_up/weight", 3, 3, before, channels)
        tf.add(f"{block}/{names[1]}/weight", 3, 3, channels, channels)
        for j, name in enumerate(names):
            tf.add(f"{block}/{name}/bias", channels)
            tf.add(f"{block}/{name}/Noise/weight", channels)
            tf.add(f"{block}/{name}/StyleMod/weight", W_DIM, 2 * channels)
            tf.add(f"{block}/{name}/StyleMod/bias", 2 * channels)
            tf.add(f"synthesis/noise{2 * i + j}", 1, 1, size, size)
        tf.add(f"synthesis/ToRGB_lod{2 - i}/weight", 1, 1, channels, 3)
        tf.add(f"synthesis/ToRGB_lod{2 - i}/bias", 3)
        before = channels
    return tf.variables


def stylegan2_variables(architecture: str = "skip", *, labels: int = 0) -> dict[str, Tensor]:
    """A StyleGAN2 of 16 px: 8, 4 and 2 channels (fmap_base 16)."""
    tf = Writer(2)
    tf.add_mapping(label_features=W_DIM if labels else 0)
    if labels:
        tf.add("mapping/LabelEmbed/weight", labels, W_DIM)
        tf.add("mapping/LabelEmbed/bias", W_DIM)
    before, number = 8, 0
    tf.add("synthesis/4x4/Const/const", 1, 8, 4, 4)
    for size, channels in {4: 8, 8: 4, 16: 2}.items():
        block = f"synthesis/{size}x{size}"
        for name in ("Conv",) if size == 4 else ("Conv0_up", "Conv1"):
            tf.add(f"{block}/{name}/weight", 3, 3, before, channels)
            tf.add(f"{block}/{name}/mod_weight", W_DIM, before)
            tf.add(f"{block}/{name}/mod_bias", before)
            tf.add(f"{block}/{name}/bias", channels)
            tf.add(f"{block}/{name}/noise_strength")
            tf.add(f"synthesis/noise{number}", 1, 1, size, size)
            if name == "Conv0_up" and architecture == "resnet":
                tf.add(f"{block}/Skip/weight", 1, 1, before, channels)
            before, number = channels, number + 1
        if architecture == "skip" or size == 16:
            tf.add(f"{block}/ToRGB/weight", 1, 1, channels, 3)
            tf.add(f"{block}/ToRGB/mod_weight", W_DIM, channels)
            tf.add(f"{block}/ToRGB/mod_bias", channels)
            tf.add(f"{block}/ToRGB/bias", 3)
    return tf.variables


# The networks evaluated step by step in float64, in TensorFlow's own order of axes:
# images [N, H, W, C], kernels [k, k, I, O].


def correlate(x: Tensor, kernel: Tensor) -> Tensor:
    """Sum over every offset of the kernel, zeros beyond the edge."""
    size, reach = x.shape[1], kernel.shape[0] // 2
    padded = F.pad(x, (0, 0, reach, reach, reach, reach))
    y = x.new_zeros(*x.shape[:3], kernel.shape[3])
    for dy in range(kernel.shape[0]):
        for dx in range(kernel.shape[1]):
            y = y + padded[:, dy : dy + size, dx : dx + x.shape[2]] @ kernel[dy, dx]
    return y


def filtered(x: Tensor, taps: list[float], before: int) -> Tensor:
    """Filter with taps x taps; output pixel i begins at input pixel i - before."""
    size = x.shape[1]
    after = len(taps) - 1 - before
    padded = F.pad(x, (0, 0, before, after, before, after))
    y = torch.zeros_like(x)
    for dy, a in enumerate(taps):
        for dx, b in enumerate(taps):
            y = y + padded[:, dy : dy + size, dx : dx + size] * (a * b)
    return y


def with_zeros(x: Tensor) -> Tensor:
    n, h, w, c = x.shape
    grid = x.new_zeros(n, 2 * h, 2 * w, c)
    grid[:, ::2, ::2] = x
    return grid


def he(kernel: Tensor, gain: float = 1.0) -> Tensor:
    return kernel * (gain / np.sqrt(np.prod(kernel.shape[:-1])))


def normalized(z: Tensor) -> Tensor:
    return z / z.square().mean(dim=1, keepdim=True).sqrt()


def literal_mapping(v: dict[str, Tensor], x: Tensor) -> Tensor:
    for i in range(2):
        x = x @ he(v[f"mapping/Dense{i}/weight"] * 0.01) + v[f"mapping/Dense{i}/bias"] * 0.01
        x = F.leaky_relu(x, 0.2) * np.sqrt(2)
    return x


def literal_mapping1(v: dict[str, Tensor], x: Tensor) -> Tensor:
    for i in range(2):
        x = x @ he(v[f"mapping/Dense{i}/weight"] * 0.01, np.sqrt(2))
        x = F.leaky_relu(x + v[f"mapping/Dense{i}/bias"] * 0.01, 0.2)
    return x


def literal_stylegan1(v: dict[str, Tensor], w: Tensor, *, fused: bool = False) -> Tensor:
    x, number = w, 0
    for size in (4, 8, 16):
        for name in ("Const", "Conv") if size == 4 else ("Conv0_up", "Conv1"):
            layer = f"synthesis/{size}x{size}/{name}"
            if name == "Const":
                x = v[f"{layer}/const"].permute(0, 2, 3, 1).expand(w.shape[0], -1, -1, -1)
            elif name == "Conv0_up" and not fused:
                x = x.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
                x = correlate(x, he(v[f"{layer}/weight"], np.sqrt(2)))
            elif name == "Conv0_up":
                # Every input pixel paints the kernel onto each of its four output pixels.
                x = x.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
                x = correlate(x, he(v[f"{layer}/weight"], np.sqrt(2)).flip(0, 1))
            else:
                x = correlate(x, he(v[f"{layer}/weight"], np.sqrt(2)))
            if name == "Conv0_up":
                x = filtered(x, [0.25, 0.5, 0.25], 1)
            noise = v[f"synthesis/noise{number}"][0, 0, :, :, None]
            x = F.leaky_relu(x + noise * v[f"{layer}/Noise/weight"] + v[f"{layer}/bias"], 0.2)
            x = x - x.mean(dim=(1, 2), keepdim=True)
            x = x / (x.square().mean(dim=(1, 2), keepdim=True) + 1e-8).sqrt()
            style = w @ he(v[f"{layer}/StyleMod/weight"]) + v[f"{layer}/StyleMod/bias"]
            style = style.reshape(w.shape[0], 2, 1, 1, -1)
            x = x * (style[:, 0] + 1) + style[:, 1]
            number += 1
    rgb = correlate(x, he(v["synthesis/ToRGB_lod0/weight"])) + v["synthesis/ToRGB_lod0/bias"]
    return rgb.permute(0, 3, 1, 2)


FIR = [1 / 8, 3 / 8, 3 / 8, 1 / 8]


def doubled(x: Tensor) -> Tensor:
    return filtered(with_zeros(x), [2 * t for t in FIR], 2)


def modulated(
    v: dict[str, Tensor], layer: str, x: Tensor, w: Tensor, *, demodulate: bool
) -> Tensor:
    kernel = he(v[f"{layer}/weight"])
    style = w @ he(v[f"{layer}/mod_weight"]) + v[f"{layer}/mod_bias"] + 1
    images = []
    for image, s in zip(x, style, strict=True):
        own = kernel * s[:, None]  # [kkIO]
        if demodulate:
            own = own / (own.square().sum(dim=(0, 1, 2)) + 1e-8).sqrt()
        one = image[None]
        if layer.endswith("Conv0_up"):
            # Zeros, a correlation whose result begins one pixel early, and the filter.
            n = 2 * one.shape[1]
            grid = F.pad(with_zeros(one), (0, 0, 2, 2, 2, 2))
            y = correlate(grid, own)[:, 1 : n + 2, 1 : n + 2]  # [1, 2H+1, 2W+1, O]
            y = F.pad(y, (0, 0, 1, 1, 1, 1))
            one = sum(
                y[:, dy : dy + n, dx : dx + n] * (4 * FIR[dy] * FIR[dx])
                for dy in range(4)
                for dx in range(4)
            )
        else:
            one = correlate(one, own)
        images.append(one)
    return torch.cat(images)


def literal_stylegan2(v: dict[str, Tensor], w: Tensor, architecture: str) -> Tensor:
    x = v["synthesis/4x4/Const/const"].permute(0, 2, 3, 1).expand(w.shape[0], -1, -1, -1)
    image = x.new_zeros(1)
    number = 0
    for size in (4, 8, 16):
        block, shortcut = f"synthesis/{size}x{size}", x
        for name in ("Conv",) if size == 4 else ("Conv0_up", "Conv1"):
            layer = f"{block}/{name}"
            x = modulated(v, layer, x, w, demodulate=True)
            noise = v[f"synthesis/noise{number}"][0, 0, :, :, None]
            x = x + noise * v[f"{layer}/noise_strength"] + v[f"{layer}/bias"]
            x = F.leaky_relu(x, 0.2) * np.sqrt(2)
            number += 1
        if architecture == "resnet" and size > 4:
            x = (x + doubled(correlate(shortcut, he(v[f"{block}/Skip/weight"])))) / np.sqrt(2)
        if size > 4 and architecture == "skip":
            image = doubled(image)
        if f"{block}/ToRGB/weight" in v:
            rgb = modulated(v, f"{block}/ToRGB", x, w, demodulate=False)
            image = image + rgb + v[f"{block}/ToRGB/bias"]
    return image.permute(0, 3, 1, 2)


def exact(variables: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.double() for name, tensor in variables.items()}


def build(layout: LayoutSpec, variables: dict[str, Tensor], **config: Any) -> Any:
    return layout.build(variables, config).place(Runtime())


def relative(actual: Tensor, expected: Tensor) -> float:
    return ((actual - expected).abs().max() / expected.abs().max()).item()
