"""Keypoints to heat maps and back.

A keypoint's heat map is a Gaussian bump of height 1 around its place; networks
regress it, and its highest place is the keypoint again (Zhang et al. 2021, sec. 3.4).
"""

import torch
from torch import Tensor

from datasetgan.errors import UsageError
from datasetgan.keypoints import Keypoints

__all__ = ["SIGMA_SHARE", "find_maxima", "gaussian_heat_maps", "sigma_in_pixels"]

SIGMA_SHARE = 0.02
"""Standard deviation of the bump as a share of the picture's longer side; the paper states none."""

# Below this share of its highest value a heat map carries no shape, only rounding.
_FLOOR = 1e-6


def sigma_in_pixels(share: float, size: tuple[int, int]) -> float:
    """Return the standard deviation in pixels on a grid of (height, width)."""
    return share * max(size)


def gaussian_heat_maps(keypoints: Keypoints, *, size: tuple[int, int], sigma: float) -> Tensor:
    """Draw a Gaussian bump of height 1 around each point.

    Args:
        keypoints: in pixels of the grid.
        size: (height, width) of the grid.
        sigma: standard deviation in pixels.

    Returns:
        [J, H, W] float32, 0 to 1; all 0 for a point that is not visible.

    Raises:
        UsageError: `sigma` is not above 0.
    """
    if not sigma > 0:
        raise UsageError(f"sigma of a heat map must be above 0, got {sigma}.")
    x, y = torch.from_numpy(keypoints.points).unbind(dim=1)
    columns = torch.arange(size[1], dtype=torch.float64) + 0.5
    rows = torch.arange(size[0], dtype=torch.float64) + 0.5
    # A round Gaussian is the product of one along each axis.
    across = (-((columns - x[:, None]) ** 2) / (2 * sigma**2)).exp()  # [J, W]
    down = (-((rows - y[:, None]) ** 2) / (2 * sigma**2)).exp()  # [J, H]
    down *= torch.from_numpy(keypoints.visible)[:, None]
    return down.float()[:, :, None] * across.float()[:, None, :]  # [J, H, W]


def find_maxima(heat: Tensor, *, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
    """Find the highest place of each heat map, finer than a pixel.

    Along each axis a parabola through the logarithm of three pixels gives the place
    within the highest pixel: the logarithm of a Gaussian is a parabola, so it is exact
    there, at the picture's edge too, for bumps of half a pixel's standard deviation and more.

    Args:
        heat: [N, J, H, W]; values below 0 count as 0.
        threshold: heat from which on a point is visible.

    Returns:
        Points [N, J, 2] float64 on the CPU, (x, y) in pixels; scores [N, J], the heat of
        the highest pixel; visible [N, J] bool. Of equal pixels the first in reading order
        counts.

    Raises:
        UsageError: `heat` is not [N, J, H, W] with at least one pixel.
    """
    if heat.ndim != 4 or not heat.shape[2] * heat.shape[3]:
        raise UsageError(f"heat maps must be [N, J, H, W], got {list(heat.shape)}.")
    height, width = heat.shape[2:]
    scores, place = heat.flatten(2).max(dim=2)  # [N, J]
    row, column = place // width, place % width
    on_row = heat.gather(2, row[..., None, None].expand(-1, -1, 1, width))[:, :, 0]  # [N, J, W]
    on_column = heat.gather(3, column[..., None, None].expand(-1, -1, height, 1))[..., 0]
    # On the CPU: not every accelerator knows float64.
    x = _refined(on_row.cpu(), column.cpu())
    y = _refined(on_column.cpu(), row.cpu())
    return torch.stack([x, y], dim=-1), scores, scores >= threshold


def _refined(line: Tensor, peak: Tensor) -> Tensor:
    """Return the place [N, J] of the maximum on lines [N, J, L] whose highest pixel is known."""
    middle = peak.double() + 0.5
    length = line.shape[2]
    if length < 3:
        return middle
    # The three pixels around the peak; at an end of the line, the last three.
    first = (peak - 1).clamp(min=0, max=length - 3)
    taps = line.double().gather(2, first[..., None] + torch.arange(3))  # [N, J, 3]
    highest = taps.amax(dim=2, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    left, center, right = (taps / highest).clamp(min=_FLOOR).log().unbind(dim=2)
    bend = left - 2 * center + right
    offset = torch.where(bend < 0, (left - right) / (2 * bend), 0.0)
    vertex = torch.where(bend < 0, first.double() + 1.5 + offset, middle)
    return torch.minimum(torch.maximum(vertex, middle - 0.5), middle + 0.5)
