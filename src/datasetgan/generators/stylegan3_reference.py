"""StyleGAN3's synthesis written as its definition, for tests and benchmarks.

Weights are scaled per image, zeros are really inserted, filters are dense where they
are radial. The Fourier input is read wave by wave in float64.
"""

from math import pi, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from datasetgan.generators.filters_reference import filtered_leaky_relu
from datasetgan.generators.ops_reference import modulated_conv2d
from datasetgan.generators.stylegan3 import FourierInput, StyleGAN3, SynthesisLayer, design_filter

__all__ = ["fourier_features", "synthesize"]


def synthesize(generator: StyleGAN3, ws: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return the image and the output of every layer, as `StyleGAN3.synthesize` does."""
    x = fourier_features(generator.synthesis.input, ws[:, 0])
    features = []
    for row, layer in enumerate(generator.synthesis.layers, start=1):
        x = _layer(layer, x, ws[:, row], clamp=generator.config.conv_clamp)
        features.append(x)
    return x * generator.config.output_scale, features


def fourier_features(module: FourierInput, w: Tensor) -> Tensor:
    """Return the input [N, C, size, size]: sin(2 pi (f . M p + phase)) at every place p."""
    images = []
    for cosine, sine, right, low in module.affine(w).double().tolist():
        length = sqrt(cosine**2 + sine**2)
        turn = torch.tensor([[cosine, -sine], [sine, cosine]], dtype=torch.float64) / length
        shift = torch.tensor([right, low], dtype=torch.float64) / length
        user = module.transform.double()
        steps = torch.arange(module.size, dtype=torch.float64) + 0.5 - module.size / 2
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        places = torch.stack([x, y], dim=-1) / module.sampling_rate  # [HW2]
        # The user's transform first, then the latent's shift, then its turn.
        moved = places @ user[:2, :2].t() + user[:2, 2]
        moved = (moved - shift) @ turn.t()
        channels = []
        for frequency, phase in zip(module.freqs.double(), module.phases.double(), strict=True):
            seen = frequency @ turn @ user[:2, :2]
            excess = (seen.norm() - module.bandwidth) / (
                module.sampling_rate / 2 - module.bandwidth
            )
            wave = torch.sin(2 * pi * (moved @ frequency + phase))
            channels.append(wave * (1 - excess).clamp(0, 1))
        mix = module.weight.double() / sqrt(len(channels))
        images.append(torch.einsum("oc,chw->ohw", mix, torch.stack(channels)))
    return torch.stack(images).to(w.dtype)


def _layer(layer: SynthesisLayer, x: Tensor, w: Tensor, *, clamp: float | None) -> Tensor:
    plan = layer.plan
    styles = layer.affine(w)
    x = x * layer.magnitude_ema.rsqrt()
    if plan.up_filter is None or plan.down_filter is None:
        styles = styles / sqrt(plan.in_channels)
        y = modulated_conv2d(x, layer.weight, styles, demodulate=False)
        y = y + layer.bias[:, None, None]
        return y if clamp is None else y.clamp(-clamp, clamp)
    # The twin keeps the size, and this network lets the canvas grow by the kernel.
    y = modulated_conv2d(F.pad(x, (plan.conv_kernel // 2,) * 4), layer.weight, styles)
    return filtered_leaky_relu(
        y + layer.bias[:, None, None],
        up_filter=design_filter(plan.up_filter),
        down_filter=design_filter(plan.down_filter),
        up=plan.up,
        down=plan.down,
        padding=plan.padding,
        out_size=plan.out_size,
        clamp=clamp,
    )
