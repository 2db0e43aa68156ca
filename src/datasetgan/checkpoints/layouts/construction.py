"""Generators built in memory only where the tensors at hand could fill them."""

from collections.abc import Mapping
from itertools import pairwise

from torch import Tensor

from datasetgan.errors import CheckpointError
from datasetgan.generators.stylegan1 import StyleGAN1Config
from datasetgan.generators.stylegan2 import StyleGAN2Config

__all__ = ["check_extent", "described_weights"]

# Room for settings that are wrong in an honest way: every difference is then listed.
_SLACK, _ROOM = 4, 1 << 24


def check_extent(described: int, tensors: Mapping[str, Tensor], *, source: str) -> None:
    """Refuse settings that describe far more weights than there are, before there is memory.

    PyTorch's meta device would tell the shapes without memory as well, but its first use
    imports half of the compiler: seconds.

    Args:
        described: weights of the network that the settings describe, or fewer.
        tensors: what lies in the file.
        source: names the state dict in the message.

    Raises:
        CheckpointError: more than four times what the tensors hold, and 16 million.
    """
    held = sum(tensor.numel() for tensor in tensors.values())
    if described > _SLACK * held + _ROOM:
        raise CheckpointError(
            f"{source} does not fit its settings: they describe at least {described} weights, "
            f"the tensors hold {held}. Is the configuration that of these weights?"
        )


def described_weights(config: StyleGAN1Config | StyleGAN2Config, *, embed_dim: int) -> int:
    """Count the weights of a StyleGAN1 or StyleGAN2, or nearly: no biases, no noise.

    Args:
        embed_dim: length of the vector that a class label becomes.
    """
    channels = [config.channels_at(resolution) for resolution in config.block_resolutions]
    convolved = channels[0] ** 2 + sum(o * (i + o) for i, o in pairwise(channels))
    inputs = config.z_dim + (embed_dim if config.label_dim else 0)
    inputs += (config.mapping_layers - 1) * config.w_dim
    return (
        9 * convolved
        + sum(channels) * config.w_dim
        + channels[-1] * config.image_channels
        + inputs * config.w_dim
        + config.label_dim * embed_dim
    )
