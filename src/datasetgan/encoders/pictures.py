"""Photos as encoders take them."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["to_float"]


def to_float(pictures: NDArray[np.uint8]) -> Tensor:
    """Turn pictures [N, R, R, 3], 0 to 255, into float32 [N, 3, R, R] in [-1, 1]."""
    # Copied: PyTorch does not take read-only memory, and a memory map is just that.
    pixels = torch.from_numpy(np.array(pictures, order="C")).permute(0, 3, 1, 2)  # [NCHW]
    return pixels.float() / 127.5 - 1
