"""One machine-made pair of image and label map."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasetgan.dataset.keypoints import Keypoints

__all__ = ["LabelledSample"]


@dataclass(frozen=True, eq=False)
class LabelledSample:
    """One image with its label map.

    Attributes:
        key: its name in the dataset, for instance ``"000012"``.
        seed: of the latent and of the noise inputs that made it.
        image: [H, W, 3] uint8 RGB.
        label_map: [H, W] uint8 class ids.
        uncertainty: [H, W] float32, Jensen-Shannon divergence per pixel in nats, if kept.
        uncertainty_score: of the whole image, in nats; higher is less certain.
        keypoints: the named points, where the dataset has any.
    """

    key: str
    seed: int
    image: NDArray[np.uint8]
    label_map: NDArray[np.uint8]
    uncertainty: NDArray[np.float32] | None
    uncertainty_score: float
    keypoints: Keypoints | None = None
