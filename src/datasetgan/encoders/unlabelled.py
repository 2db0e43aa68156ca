"""A network of timm taught on a user's own photos, which nobody has labelled."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from datasetgan.encoders.encoder import Encoder, EncoderConfig
from datasetgan.encoders.pictures import to_float
from datasetgan.encoders.self_supervised import SelfSupervision, train_without_labels
from datasetgan.encoders.timm_networks import build_network
from datasetgan.errors import UsageError
from datasetgan.runtime import Runtime, training_precision

__all__ = ["DEFAULT_SIDE", "SUPERVISION", "square_photos", "teach_encoder"]

DEFAULT_SIDE = 128
"""The short side of photos that a network taught here reads, unless it is told another."""

SUPERVISION = SelfSupervision(steps=300, batch=48)
"""How long an encoder is taught: longer than one that merely compares pictures."""

_TAUGHT_AT = 64


class _Pooled(nn.Module):
    """An encoder's network as the trainer takes it: pictures in [-1, 1] to one vector each."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pictures: Tensor) -> Tensor:
        found: Tensor = self.encoder.network(self.encoder.normalise(pictures))
        return found


def teach_encoder(
    name: str,
    photos: Iterable[NDArray[np.uint8]],
    *,
    side: int = DEFAULT_SIDE,
    supervision: SelfSupervision = SUPERVISION,
    seed: int = 0,
    runtime: Runtime | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Encoder:
    """Teach a network of timm which two crops came from one photo (Chen et al. 2020, SimCLR).

    It starts from random weights and sees the photos' central squares at 64 pixels.

    Args:
        name: of the network; see `network_name`.
        photos: [H, W, 3] uint8 each, of any sizes; a thousand are better than ten. They
            are read once, and one at a time.
        side: see `EncoderConfig.of`.
        supervision: how long.
        seed: of weights, batches and crops.
        runtime: where it runs; the CPU by default.
        on_step: called after every step with the number done and the total.

    Returns:
        The encoder on the runtime's device, frozen; the same for one CPU thread count.

    Raises:
        UsageError: fewer than 2 photos, or timm cannot build the network.
    """
    runtime = runtime or Runtime()
    squares = square_photos(photos, side=_TAUGHT_AT)
    if len(squares) < 2:
        raise UsageError(f"teaching a network needs at least 2 photos, got {len(squares)}.")
    with torch.random.fork_rng(devices=[]):
        config = EncoderConfig.of(name, build_network(name), side=side)
    module = train_without_labels(
        lambda: _Pooled(Encoder(config)),
        squares,
        width=_vector_length(config),
        largest=_TAUGHT_AT,
        settings=supervision,
        seed=seed,
        device=runtime.torch_device,
        precision=training_precision(runtime.device),
        on_step=on_step,
    )
    assert isinstance(module, _Pooled)
    return module.encoder.place(runtime)


def _vector_length(config: EncoderConfig) -> int:
    with torch.random.fork_rng(devices=[]):
        network = build_network(config.network)
    with torch.inference_mode():
        shape = network(torch.zeros(1, 3, config.side, config.side)).shape
    return int(shape[1])


def square_photos(photos: Iterable[NDArray[np.uint8]], *, side: int) -> NDArray[np.uint8]:
    """Return the photos' central squares at one size: [N, side, side, 3] uint8."""
    squares = []
    for photo in photos:
        short = min(photo.shape[:2])
        top, left = (photo.shape[0] - short) // 2, (photo.shape[1] - short) // 2
        square = to_float(photo[None, top : top + short, left : left + short])
        if short != side:
            square = F.interpolate(square, size=(side, side), mode="bilinear", antialias=True)
        pixels = (square[0].clamp(-1, 1) * 127.5 + 127.5).round().to(torch.uint8)
        squares.append(pixels.permute(1, 2, 0).numpy())  # [HWC]
    return np.array(squares)
