"""What a trained network makes of a photo."""

from contextlib import AbstractContextManager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from datasetgan.downstream.data import normalize, resize_image
from datasetgan.errors import UsageError
from datasetgan.runtime import Runtime

__all__ = ["autocast", "network_outputs"]


def autocast(runtime: Runtime) -> AbstractContextManager[object]:
    """Return the context in which convolutions run in the runtime's precision."""
    return torch.autocast(
        runtime.torch_device.type, runtime.dtype, enabled=runtime.dtype != torch.float32
    )


def network_outputs(
    module: nn.Module, photo: NDArray[np.uint8], *, image_size: tuple[int, int], runtime: Runtime
) -> Tensor:
    """Run a network on a photo stretched, antialiased, to the size that it works at.

    Args:
        module: in evaluation mode, on the runtime's device.
        photo: [H, W, 3] uint8 RGB of any size.
        image_size: (height, width) to stretch to.

    Returns:
        [1, outputs, height, width] float32.

    Raises:
        UsageError: the photo has another shape or type.
    """
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8 or not photo.size:
        raise UsageError(
            f"a photo must be [H, W, 3] uint8 RGB, got {list(photo.shape)} {photo.dtype}."
        )
    image = resize_image(photo, image_size).float() / 255
    images = normalize(image)[None].to(runtime.torch_device)
    with torch.inference_mode(), autocast(runtime):
        outputs: Tensor = module(images.contiguous(memory_format=torch.channels_last))
    return outputs.float()
