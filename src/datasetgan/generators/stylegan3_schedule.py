"""The schedule of StyleGAN3's layers: cut-offs, sampling rates, canvases, filters, channels.

Karras et al. 2021 ("Alias-free generative adversarial networks"), sec. 3.2 and app. C, D.
Frequencies are in cycles, sampling rates in samples, per width of the picture.
"""

from dataclasses import dataclass
from math import ceil, log2
from typing import Literal

from datasetgan.errors import UsageError, check_literals

__all__ = [
    "DownFilter",
    "FilterPlan",
    "LayerPlan",
    "StyleGAN3Config",
    "plan_layers",
    "signal_cutoff",
]

DownFilter = Literal["separable", "radial"]


@dataclass(frozen=True)
class StyleGAN3Config:
    """Everything that fixes the network; the defaults are those of StyleGAN3-T.

    StyleGAN3-R has `conv_kernel` 1, `down_filter` ``"radial"`` and, as published, twice
    the `channel_base` and `channel_max`.

    Attributes:
        resolution: height and width of the image, a power of two from 16 on.
        z_dim: length of z.
        w_dim: length of w.
        label_dim: classes the mapping is conditioned on, 0 for none.
        image_channels: 3 for RGB.
        mapping_layers: fully connected layers of the mapping network.
        channel_base: twice the channels times the cut-off, before the cap.
        channel_max: cap on the channels of a layer.
        num_layers: synthesis layers, the RGB layer not counted.
        num_critical: last layers that are sampled critically, at the full cut-off.
        first_cutoff: cut-off of the first layer.
        first_stopband: frequency from which the first layer is to be silent.
        last_stopband_rel: the same for the last layer, as a multiple of its cut-off.
        margin: samples that a canvas reaches beyond the picture, on each side.
        output_scale: factor from the RGB layer to the image.
        conv_kernel: width of the convolutions.
        filter_size: taps of a filter per sample of the coarser of its two grids.
        activation_upsampling: how much finer the grid of the activation is.
        down_filter: shape of the filter behind the activation.
        conv_clamp: bound on activations, which keeps float16 finite.
    """

    resolution: int
    z_dim: int = 512
    w_dim: int = 512
    label_dim: int = 0
    image_channels: int = 3
    mapping_layers: int = 2
    channel_base: int = 32768
    channel_max: int = 512
    num_layers: int = 14
    num_critical: int = 2
    first_cutoff: float = 2.0
    first_stopband: float = 2**2.1
    last_stopband_rel: float = 2**0.3
    margin: int = 10
    output_scale: float = 0.25
    conv_kernel: int = 3
    filter_size: int = 6
    activation_upsampling: int = 2
    down_filter: DownFilter = "separable"
    conv_clamp: float | None = 256.0

    def __post_init__(self) -> None:
        check_literals(self)
        if self.resolution < 16 or self.resolution & (self.resolution - 1):
            raise UsageError(
                f"a StyleGAN3's resolution must be a power of two from 16 on, "
                f"got {self.resolution}."
            )
        if not 1 <= self.num_critical < self.num_layers:
            raise UsageError(
                "a StyleGAN3 needs at least one critically sampled layer and one other: "
                f"got num_critical={self.num_critical} of num_layers={self.num_layers}."
            )
        if not 1 <= self.first_cutoff < self.first_stopband <= self.resolution / 2:
            raise UsageError(
                "a StyleGAN3 needs 1 <= first_cutoff < first_stopband <= resolution / 2: "
                f"got {self.first_cutoff} and {self.first_stopband}."
            )
        if self.last_stopband_rel <= 1 or self.margin < 0:
            raise UsageError(
                "a StyleGAN3 needs last_stopband_rel above 1 and margin from 0 on: "
                f"got {self.last_stopband_rel} and {self.margin}."
            )
        if self.channel_base < self.resolution or self.channel_max < 1:
            raise UsageError(
                "a StyleGAN3 needs a channel in every layer: channel_base must be at least "
                f"{self.resolution} and channel_max 1, got {self.channel_base} and "
                f"{self.channel_max}."
            )
        if self.activation_upsampling < 2 or self.filter_size < 1 or self.conv_kernel % 2 == 0:
            raise UsageError(
                "a StyleGAN3 needs activation_upsampling from 2 on, filter_size from 1 on and an "
                f"odd conv_kernel: got {self.activation_upsampling}, {self.filter_size} and "
                f"{self.conv_kernel}."
            )
        if self.down_filter == "radial" and self.filter_size * self.activation_upsampling % 2:
            raise UsageError(
                "a radial filter has an even number of taps: filter_size times "
                f"activation_upsampling is {self.filter_size * self.activation_upsampling}."
            )


@dataclass(frozen=True)
class FilterPlan:
    """A low-pass filter to design; see `filters.lowpass_filter`."""

    num_taps: int
    cutoff: float
    half_width: float
    sampling_rate: float
    shape: DownFilter = "separable"


@dataclass(frozen=True)
class LayerPlan:
    """One synthesis layer.

    Attributes:
        name: as NVIDIA's networks call it: index, canvas size, channels.
        in_channels: channels read.
        out_channels: channels returned.
        in_size: height and width of the canvas read.
        out_size: height and width of the canvas returned.
        sampling_rate: of the canvas returned.
        margin: samples of it on each side that lie beyond the picture.
        conv_kernel: width of the convolution.
        up: factor to the grid of the activation.
        down: factor from there to the canvas returned.
        padding: zeros before the canvas on that grid; negative where it is cropped.
        up_filter: low-pass filter after inserting zeros; none in the RGB layer.
        down_filter: low-pass filter before dropping samples; none in the RGB layer.
    """

    name: str
    in_channels: int
    out_channels: int
    in_size: int
    out_size: int
    sampling_rate: int
    margin: int
    conv_kernel: int
    up: int
    down: int
    padding: int
    up_filter: FilterPlan | None
    down_filter: FilterPlan | None


@dataclass(frozen=True)
class _Signal:
    """What one layer returns."""

    cutoff: float
    half_width: float
    sampling_rate: int
    size: int
    channels: int


def plan_layers(config: StyleGAN3Config) -> tuple[LayerPlan, ...]:
    """Lay out all synthesis layers, the RGB layer last (Karras et al. 2021, app. D)."""
    signals = [_signal(config, index) for index in range(config.num_layers + 1)]
    # The first layer reads the Fourier features, which are sampled as it is itself.
    return tuple(
        _plan(config, index, before=signals[max(index - 1, 0)], after=signals[index])
        for index in range(config.num_layers + 1)
    )


def signal_cutoff(config: StyleGAN3Config, index: int) -> float:
    """Return the frequency that layer `index` passes by half: geometric, then the picture's."""
    last_cutoff = config.resolution / 2
    ratio: float = (last_cutoff / config.first_cutoff) ** _progress(config, index)
    return config.first_cutoff * ratio


def _progress(config: StyleGAN3Config, index: int) -> float:
    return min(index / (config.num_layers - config.num_critical), 1.0)


def _signal(config: StyleGAN3Config, index: int) -> _Signal:
    # 1. The stop band grows geometrically up to the first critical layer, as the cut-off does.
    cutoff = signal_cutoff(config, index)
    progress = _progress(config, index)
    last_stopband = config.resolution / 2 * config.last_stopband_rel
    stopband = config.first_stopband * (last_stopband / config.first_stopband) ** progress
    # 2. The sampling rate is the power of two that holds the stop band, up to the picture's.
    rate = 2 ** ceil(log2(min(stopband * 2, config.resolution)))
    half_width = max(stopband, rate / 2) - cutoff
    # 3. The last layers have no margin: nothing that lies beyond the picture is needed any more.
    size = config.resolution if index >= config.num_layers - 1 else rate + 2 * config.margin
    channels = round(min(config.channel_base / 2 / cutoff, config.channel_max))
    if index == config.num_layers:
        channels = config.image_channels
    return _Signal(cutoff, half_width, rate, size, channels)


def _plan(config: StyleGAN3Config, index: int, *, before: _Signal, after: _Signal) -> LayerPlan:
    rgb = index == config.num_layers
    critical = index >= config.num_layers - config.num_critical
    finer = 1 if rgb else config.activation_upsampling
    fine_rate = max(before.sampling_rate, after.sampling_rate) * finer
    up, down = fine_rate // before.sampling_rate, fine_rate // after.sampling_rate
    kernel = 1 if rgb else config.conv_kernel
    up_taps, down_taps = (1, 1) if rgb else (config.filter_size * up, config.filter_size * down)
    # Zeros around the convolved canvas, so that both filters' borders lie outside the result.
    # Half a sample more in front keeps the centres of both grids in one place.
    total = (after.size - 1) * down + 1 + up_taps + down_taps - 2
    total -= (before.size + kernel - 1) * up
    shape: DownFilter = "separable" if critical else config.down_filter
    return LayerPlan(
        name=f"L{index}_{after.size}_{after.channels}",
        in_channels=before.channels,
        out_channels=after.channels,
        in_size=before.size,
        out_size=after.size,
        sampling_rate=after.sampling_rate,
        margin=(after.size - after.sampling_rate) // 2,
        conv_kernel=kernel,
        up=up,
        down=down,
        padding=(total + up) // 2,
        up_filter=None if rgb else FilterPlan(up_taps, before.cutoff, before.half_width, fine_rate),
        down_filter=None
        if rgb
        else FilterPlan(down_taps, after.cutoff, after.half_width, fine_rate, shape),
    )
