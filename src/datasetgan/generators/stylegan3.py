"""StyleGAN3, t and r (Karras et al. 2021, "Alias-free generative adversarial networks").

Parameters carry the names of NVIDIA's PyTorch networks. The filters follow from the
configuration and are no part of the state dict.
"""

from math import pi, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datasetgan.features import FeatureLevel
from datasetgan.generators.base import Generator
from datasetgan.generators.filters import (
    filtered_leaky_relu,
    lowpass_filter,
    radial_lowpass_filter,
    separable_terms,
)
from datasetgan.generators.layers import FullyConnected, MappingNetwork
from datasetgan.generators.ops import demodulation
from datasetgan.generators.stylegan3_schedule import (
    FilterPlan,
    LayerPlan,
    StyleGAN3Config,
    plan_layers,
)

__all__ = ["StyleGAN3", "StyleGAN3Config", "design_filter"]


def design_filter(plan: FilterPlan) -> Tensor:
    """Return the filter of a plan: [taps], or [taps, taps] for a radial one."""
    design = radial_lowpass_filter if plan.shape == "radial" else lowpass_filter
    return design(
        plan.num_taps,
        cutoff=plan.cutoff,
        half_width=plan.half_width,
        sampling_rate=plan.sampling_rate,
    )


class FourierInput(nn.Module):
    """Fourier features, turned and moved by the latent (Karras et al. 2021, sec. 3.2, app. D).

    `transform` is a [3, 3] matrix in units of the picture's width: set it to move the
    picture under the window. It maps places on the canvas to places in the scene.
    """

    freqs: Tensor
    phases: Tensor
    transform: Tensor

    def __init__(
        self, *, w_dim: int, channels: int, size: int, sampling_rate: int, bandwidth: float
    ) -> None:
        super().__init__()
        self.size, self.sampling_rate, self.bandwidth = size, sampling_rate, bandwidth
        # Frequencies evenly spread over a disc: a normal draw, its radius evened out.
        freqs = torch.randn(channels, 2)
        radii = freqs.square().sum(dim=1, keepdim=True).sqrt()
        freqs = freqs / (radii * radii.square().exp().pow(0.25)) * bandwidth
        self.weight = nn.Parameter(torch.randn(channels, channels))
        self.affine = FullyConnected(w_dim, 4)
        with torch.no_grad():  # untrained, the latent neither turns nor moves
            self.affine.weight.zero_()
            self.affine.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))
        self.register_buffer("transform", torch.eye(3))
        self.register_buffer("freqs", freqs)
        self.register_buffer("phases", torch.rand(channels) - 0.5)

    def forward(self, w: Tensor) -> Tensor:
        """Return [N, C, size, size] float32 from w [N, w_dim]."""
        # 1. A rotation (cosine, sine) and a translation from the latent.
        t = self.affine(w)
        t = t / t[:, :2].norm(dim=1, keepdim=True)
        zero, one = torch.zeros_like(t[:, 0]), torch.ones_like(t[:, 0])
        rotation = torch.stack(
            [t[:, 0], -t[:, 1], zero, t[:, 1], t[:, 0], zero, zero, zero, one], dim=1
        )
        shift = torch.stack([one, zero, -t[:, 2], zero, one, -t[:, 3], zero, zero, one], dim=1)
        # Inverse matrices, so the last transformation of the canvas stands on the right.
        moved = rotation.view(-1, 3, 3) @ shift.view(-1, 3, 3) @ self.transform  # [N33]
        # 2. Moving the places that a wave is read at changes its frequency and phase.
        phases = self.phases + (self.freqs @ moved[:, :2, 2:]).squeeze(2)  # [NC]
        freqs = self.freqs @ moved[:, :2, :2]  # [NC2]
        # 3. A wave that the grid cannot hold any more fades out.
        excess = (freqs.norm(dim=2) - self.bandwidth) / (self.sampling_rate / 2 - self.bandwidth)
        amplitudes = (1 - excess).clamp(0, 1)  # [NC]
        # 4. Read the waves at the samples' centres, the picture's centre at 0.
        places = torch.arange(self.size, device=w.device, dtype=freqs.dtype)
        places = (places + 0.5 - self.size / 2) / self.sampling_rate
        across = freqs[:, :, None, :1] * places[None, None, None, :]  # [NC1W]
        down = freqs[:, :, 1:, None] * places[None, None, :, None]  # [NCH1]
        waves = torch.sin((across + down + phases[:, :, None, None]) * (2 * pi))  # [NCHW]
        # 5. Mix the channels, amplitudes included.
        mix = self.weight * (1 / sqrt(self.weight.shape[1])) * amplitudes[:, None, :]  # [NOC]
        mixed: Tensor = mix @ waves.flatten(2)
        return mixed.view_as(waves)


class SynthesisLayer(nn.Module):
    """Modulated convolution, bias, filtered leaky ReLU; the RGB layer has no activation."""

    magnitude_ema: Tensor

    def __init__(self, plan: LayerPlan, *, w_dim: int) -> None:
        super().__init__()
        self.plan = plan
        kernel = plan.conv_kernel
        self.affine = FullyConnected(w_dim, plan.in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(plan.out_channels, plan.in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(plan.out_channels))
        # Running mean square of the input, kept in training.
        self.register_buffer("magnitude_ema", torch.ones([]))
        # Constants of the plan, no weights: small tensors that stay on the CPU.
        self._up_filter: Tensor | None = None
        self._down_terms: Tensor | None = None
        if plan.up_filter is not None and plan.down_filter is not None:
            self._up_filter = design_filter(plan.up_filter)
            self._down_terms = separable_terms(design_filter(plan.down_filter))

    def forward(self, x: Tensor, w: Tensor, *, clamp: float | None) -> Tensor:
        """Return [N, O, out_size, out_size] from x [N, I, in_size, in_size] and w [N, w_dim]."""
        styles = self.affine(w)  # [NI]
        gain = self.magnitude_ema.rsqrt()
        if self._up_filter is None or self._down_terms is None:
            scale = gain / sqrt(self.plan.in_channels)
            y = self._convolve(x, self.weight, styles, scale)
            return y if clamp is None else y.clamp(-clamp, clamp)
        weight, styles, scale = demodulation(self.weight, styles)
        return filtered_leaky_relu(
            self._convolve(x, weight, styles, (scale * gain)[:, :, None, None]),
            up_filter=self._up_filter,
            down_terms=self._down_terms,
            up=self.plan.up,
            down=self.plan.down,
            padding=self.plan.padding,
            out_size=self.plan.out_size,
            clamp=clamp,
        )

    def _convolve(self, x: Tensor, weight: Tensor, styles: Tensor, scale: Tensor) -> Tensor:
        # One convolution for the whole batch: the style scales the input channels.
        # The canvas grows by the kernel, so that no sample at its border is lost.
        x = x * styles.to(x.dtype)[:, :, None, None]
        x = F.conv2d(x, weight.to(x.dtype), padding=self.plan.conv_kernel - 1)
        return torch.addcmul(self.bias.to(x.dtype)[:, None, None], x, scale.to(x.dtype))


class SynthesisNetwork(nn.Module):
    """`input`, then the layers `L0_...` to the RGB layer."""

    def __init__(self, config: StyleGAN3Config) -> None:
        super().__init__()
        self.config = config
        plans = plan_layers(config)
        self.input = FourierInput(
            w_dim=config.w_dim,
            channels=plans[0].in_channels,
            size=plans[0].in_size,
            sampling_rate=plans[0].sampling_rate,
            bandwidth=config.first_cutoff,
        )
        for plan in plans:
            self.add_module(plan.name, SynthesisLayer(plan, w_dim=config.w_dim))

    @property
    def layers(self) -> list[SynthesisLayer]:
        """The layers in order, the RGB layer last."""
        return [layer for layer in self.children() if isinstance(layer, SynthesisLayer)]

    def forward(
        self, ws: Tensor, noise: list[Tensor | None], dtype: torch.dtype
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the image, float32, and the output of every layer, in `dtype`.

        Args:
            noise: of no layer: an empty list.
        """
        x = self.input(ws[:, 0]).to(dtype)
        features = []
        for row, layer in enumerate(self.layers, start=1):
            x = layer(x, ws[:, row], clamp=self.config.conv_clamp)
            features.append(x)
        return x.float() * self.config.output_scale, features


class StyleGAN3(Generator):
    """The StyleGAN3 generator.

    Features are the outputs of every synthesis layer on their whole canvases, the RGB
    layer last; a level's margin lies beyond the picture. There are no noise inputs.
    """

    config: StyleGAN3Config
    mapping: MappingNetwork
    synthesis: SynthesisNetwork

    def __init__(self, config: StyleGAN3Config) -> None:
        super().__init__(config)
        self.synthesis = SynthesisNetwork(config)
        plans = [layer.plan for layer in self.synthesis.layers]
        self.feature_levels = tuple(
            FeatureLevel(p.name, p.out_channels, p.out_size, p.out_size, p.margin) for p in plans
        )
        self.num_ws = len(plans) + 1  # the Fourier input reads one too
        self.mapping = MappingNetwork(
            z_dim=config.z_dim,
            w_dim=config.w_dim,
            label_dim=config.label_dim,
            num_layers=config.mapping_layers,
        )

    @property
    def noise_layers(self) -> tuple[()]:
        """None: every kind of noise gives the same image."""
        return ()
