"""Images as files hold them."""

import numpy as np
import torch

from datasetgan.features import FeaturePyramid
from datasetgan.generators import Synthesis


def test_pixels_are_rounded_clamped_and_grey_becomes_rgb() -> None:
    image = torch.tensor([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0]).reshape(1, 1, 2, 3)
    pixels = Synthesis(image, FeaturePyramid.from_tensors([image])).to_uint8()
    assert pixels.dtype == np.uint8
    assert pixels.shape == (1, 2, 3, 3)
    assert pixels[0, ..., 0].tolist() == [[0, 0, 128], [191, 255, 255]]
    assert (pixels == pixels[..., :1]).all()
