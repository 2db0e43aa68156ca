"""Which painted pixels an interpreter is fitted on, and the class ids that they carry."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasetgan.features import InputSpec, PaintedImages
from datasetgan.interpreter.fitting.pixel_source import ChosenPixels, PixelSource
from datasetgan.interpreter.fitting.recipe import Sampling
from datasetgan.interpreter.fitting.regions import label_regions, select_pixels
from datasetgan.runtime import random_state
from datasetgan.taxonomy import IGNORE_INDEX

__all__ = ["painted_pixels"]

# The first number of every random path says what the numbers are for.
_PIXEL_STREAM = 3

_CROP_SIDE = 8


def painted_pixels(
    painted: PaintedImages,
    images: Sequence[int],
    *,
    inputs: InputSpec,
    pixels_per_image: int | None,
    sampling: Sampling,
    halo: int,
    seed: int,
    device: torch.device,
) -> PixelSource:
    """Choose painted pixels of some images, or crops around them.

    Args:
        painted: all images.
        images: numbers of those to read; the others are held out.
        inputs: what is read of a pixel.
        pixels_per_image: wanted of each; None takes all that are painted.
        sampling: which of them are drawn more often.
        halo: pixels around a crop that a head reads; single pixels where it reads none.
        seed: of the choice.
        device: where batches go.
    """
    side = _CROP_SIDE if halo else 1
    inner = torch.arange(side) - side // 2
    chosen: list[ChosenPixels] = []
    regions = 0
    for image in images:
        label_map = painted.label_maps[image]
        wanted = label_map.numel() if pixels_per_image is None else pixels_per_image
        # The stream is the image's own: folds choose alike.
        own = int(random_state(seed, _PIXEL_STREAM, image).randint(2**31))
        points = select_pixels(label_map, count=max(1, wanted // side**2), seed=own)
        # One byte each: label maps are read here, not pixel by pixel in every step.
        targets = _labels(label_map, points, torch.cartesian_prod(inner, inner)).to(torch.uint8)
        groups: NDArray[np.int64] | None = None
        if sampling == "regions":
            groups = label_regions(label_map.numpy())[points[:, 0], points[:, 1]] + regions
            regions = int(groups.max(initial=regions)) + 1
        elif sampling == "balanced":
            groups = label_map.numpy()[points[:, 0], points[:, 1]]
        shown = frozenset(np.unique(targets.numpy()).tolist()) - {IGNORE_INDEX}
        size = (label_map.shape[0], label_map.shape[1])
        chosen.append(ChosenPixels(image, size, points, targets, shown, groups))
    window = torch.arange(-halo, side + halo) - side // 2 if halo else None
    return PixelSource(painted.cache, chosen, inputs=inputs, window=window, device=device)


def _labels(label_map: Tensor, points: Tensor, offsets: Tensor) -> Tensor:
    """Return the class ids [P, len(offsets)] at offsets from points; 255 off the map."""
    places = points[:, None] + offsets
    limit = torch.tensor(label_map.shape)
    inside = ((places >= 0) & (places < limit)).all(dim=2)
    rows, columns = places.clamp(min=torch.zeros(2).long(), max=limit - 1).unbind(dim=2)
    return torch.where(inside, label_map[rows, columns], IGNORE_INDEX)
