"""One machine-made pair of image and label map."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasetgan.errors import UsageError
from datasetgan.keypoints import Keypoints

__all__ = ["LabelledSample"]


@dataclass(frozen=True, eq=False)
class LabelledSample:
    """One image with its label map.

    Attributes:
        key: its name in the dataset, for instance ``"000012"``.
        seed: of the latent and of the noise inputs that made it; of a photo, its number.
        image: [H, W, 3] uint8 RGB.
        label_map: [h, w] uint8 class ids; it covers the image on a grid of its own.
        uncertainty: [h, w] float32, Jensen-Shannon divergence per pixel in nats, if kept.
        uncertainty_score: of the whole image, in nats; higher is less certain.
        keypoints: the named points in pixels of the image, where the dataset has any.

    Raises:
        UsageError: label map and uncertainty map differ in size.
    """

    key: str
    seed: int
    image: NDArray[np.uint8]
    label_map: NDArray[np.uint8]
    uncertainty: NDArray[np.float32] | None
    uncertainty_score: float
    keypoints: Keypoints | None = None

    def __post_init__(self) -> None:
        if self.uncertainty is not None and self.uncertainty.shape != self.label_map.shape:
            raise UsageError(
                f"sample {self.key}: its label map is {self.label_map.shape}, its uncertainty map "
                f"{self.uncertainty.shape}. Both must be of one size."
            )
