"""Random convolution features: no training, no download, the same on every machine."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datasetgan.runtime import Stream, random_state

__all__ = ["RandomNetwork"]

_SCALES = (1, 2, 4)
_CHANNELS = (24, 56)
_SMALLEST = 4
_LARGEST = 128


class RandomNetwork(nn.Module):
    """Two random convolutions at up to three scales, pooled to means and deviations.

    At every scale (the image, and its halves by averaging while 4 pixels remain):
    5x5 convolution to 24 channels, ReLU, halving by averaging, 3x3 convolution to 56
    channels, ReLU. Every channel gives its mean and its standard deviation over the
    picture. So the features see colours, local contrast and textures of up to 40
    pixels, but no arrangement of parts. Images beyond 128 pixels are averaged down to it.

    Args:
        resolution: height and width of the images, from 4 on.
        seed: of the weights.
    """

    def __init__(self, resolution: int, *, seed: int) -> None:
        super().__init__()
        size = min(resolution, _LARGEST)
        self.scales = tuple(s for s in _SCALES if size // s >= _SMALLEST) or (1,)
        first, second = _CHANNELS
        for scale in self.scales:
            self._draw(f"{scale}_0", (first, 3, 5, 5), seed=seed, path=(scale, 0))
            self._draw(f"{scale}_1", (second, first, 3, 3), seed=seed, path=(scale, 1))

    def _draw(self, name: str, shape: tuple[int, ...], *, seed: int, path: tuple[int, int]) -> None:
        random = random_state(seed, Stream.RANDOM_NETWORK, *path)
        weight = random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        bias = random.standard_normal(shape[0]) * 0.25
        self.register_buffer(f"weight{name}", torch.from_numpy(weight).float())
        self.register_buffer(f"bias{name}", torch.from_numpy(bias).float())

    def forward(self, images: Tensor) -> Tensor:
        """Return features [N, D], D at most 480, from images [N, 3, R, R] in [-1, 1]."""
        if images.shape[2] > _LARGEST:
            images = F.interpolate(images, size=(_LARGEST, _LARGEST), mode="area")
        pooled: list[Tensor] = []
        for scale in self.scales:
            x = F.avg_pool2d(images, scale) if scale > 1 else images
            x = self._layer(x, f"{scale}_0", padding=2)
            pooled += _mean_and_deviation(x)
            x = self._layer(F.avg_pool2d(x, 2), f"{scale}_1", padding=1)
            pooled += _mean_and_deviation(x)
        return torch.cat(pooled, dim=1)  # [ND]

    def _layer(self, x: Tensor, name: str, *, padding: int) -> Tensor:
        weight, bias = self.get_buffer(f"weight{name}"), self.get_buffer(f"bias{name}")
        x = F.pad(x, (padding,) * 4, mode="replicate")
        return F.relu(F.conv2d(x, weight, bias))


def _mean_and_deviation(x: Tensor) -> list[Tensor]:
    variance, mean = torch.var_mean(x, dim=(2, 3), unbiased=False)  # [NC]
    return [mean, variance.clamp(min=0).sqrt()]
