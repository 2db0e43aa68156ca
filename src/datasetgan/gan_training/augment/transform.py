"""Adaptive discriminator augmentation (Karras et al. 2020b): few photographs suffice.

Photographs and pictures pass through the same random transformations before the
discriminator sees them, each with a probability that follows its over-fitting.
"""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite

import torch
from torch import Tensor

from datasetgan.errors import UsageError
from datasetgan.gan_training.augment.draws import (
    ALL_TRANSFORMS,
    Transform,
    TransformDraws,
    color_matrices,
    draw_transforms,
    source_matrices,
)
from datasetgan.gan_training.augment.sampling import move_pixels, resample

__all__ = ["ALL_TRANSFORMS", "AdaptiveProbability", "Transform", "augment_images"]


def augment_images(
    images: Tensor,
    *,
    probability: float,
    generator: torch.Generator,
    transforms: Sequence[Transform] = ALL_TRANSFORMS,
) -> Tensor:
    """Transform every image at random (Karras et al. 2020b, app. B, the set "bgc").

    Linear in the images and differentiable any number of times. Colours may leave [-1, 1].
    An image for which only flips, turns and whole shifts were drawn keeps its values
    exactly: unlike in the paper it does not pass the filters.

    Args:
        images: [N, 1 or 3, S, S], float, on any device; half precision is computed in float32.
        probability: of each transformation of each image, 0 to 1. With 0 the images come back
            as they are and nothing is drawn.
        generator: on the CPU, so that every device gets the same transformations.
        transforms: those that are allowed.

    Raises:
        UsageError: images of another shape, a probability out of range or an unknown name.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3) or images.shape[2] < 2:
        raise UsageError(
            f"augmentation needs images [N, 1 or 3, S, S] with S > 1, got {list(images.shape)}."
        )
    if images.shape[2] != images.shape[3]:
        raise UsageError(
            f"augmentation needs square images, got {images.shape[2]}x{images.shape[3]}."
        )
    if probability == 0:
        return images
    draws = draw_transforms(
        len(images), probability=probability, generator=generator, transforms=transforms
    )
    return apply_transforms(images, draws)


def apply_transforms(images: Tensor, draws: TransformDraws) -> Tensor:
    """Apply drawn transformations; images without any keep their values exactly.

    Args:
        images: [N, 1 or 3, S, S], float.
        draws: of N images.
    """
    x = images if images.dtype == torch.float64 else images.float()
    maps = source_matrices(draws, images.shape[2])
    moved = _differs(maps, torch.eye(3))
    x = _on_rows(x, moved & ~draws.resampled, move_pixels, maps)
    x = _on_rows(x, draws.resampled, resample, maps)
    colors = color_matrices(draws)
    x = _on_rows(x, _differs(colors, torch.eye(3, 4)), _recolor, colors)
    return x.to(images.dtype)


def _differs(matrices: Tensor, neutral: Tensor) -> Tensor:
    return (matrices != neutral).flatten(1).any(dim=1)


def _on_rows(
    x: Tensor, chosen: Tensor, change: Callable[[Tensor, Tensor], Tensor], matrices: Tensor
) -> Tensor:
    """Change the chosen images only; the others are neither computed nor rounded."""
    rows = chosen.nonzero()[:, 0]
    if len(rows) == 0:
        return x
    here = rows.to(x.device)
    return x.index_copy(0, here, change(x.index_select(0, here), matrices[rows]))


def _recolor(images: Tensor, matrices: Tensor) -> Tensor:
    if images.shape[1] == 1:
        # A grey picture is (g, g, g), and every step here leaves the grey axis in place.
        matrices = torch.stack([matrices[..., :3].sum(dim=2), matrices[..., 3]], dim=2)  # [N32]
        matrices = matrices.mean(dim=1, keepdim=True)  # [N12]
    linear, offset = matrices.to(images).tensor_split([-1], dim=2)
    return torch.baddbmm(offset, linear, images.flatten(2)).view_as(images)


class AdaptiveProbability:
    """The augmentation's probability, led by the discriminator's over-fitting.

    The sign of its logits on photographs, in the mean, is 0 where it knows nothing and 1
    where it knows them by heart (r_t of Karras et al. 2020b, sec. 3.1). Every few steps the
    probability moves by a fixed amount towards the side that brings it to the target.

    Args:
        target_sign: the mean sign to hold, -1 to 1.
        interval: updates between two moves; the sign is averaged over them.
        adjust_images: images in which the probability can go from 0 to 1.

    Attributes:
        value: the probability, 0 to 1.

    Raises:
        UsageError: a setting is out of range.
    """

    def __init__(
        self, target_sign: float = 0.6, interval: int = 4, adjust_images: int = 500_000
    ) -> None:
        if not -1 <= target_sign <= 1:
            raise UsageError(f"the target sign must be within -1 to 1, got {target_sign}.")
        if interval < 1 or adjust_images < 1:
            raise UsageError(
                f"the interval and the images of an adjustment must be at least 1, "
                f"got {interval} and {adjust_images}."
            )
        self.target_sign, self.interval, self.adjust_images = target_sign, interval, adjust_images
        self.value = 0.0
        self._signs = 0.0
        self._images = 0
        self._updates = 0

    def update(self, mean_real_sign: float, images: int) -> None:
        """Take in one step.

        Args:
            mean_real_sign: mean sign of the logits on this step's photographs, -1 to 1.
            images: how many photographs that were.
        """
        self._signs += mean_real_sign * images
        self._images += images
        self._updates += 1
        if self._updates < self.interval:
            return
        excess = self._signs - self.target_sign * self._images
        direction = (excess > 0) - (excess < 0)
        moved = self.value + direction * self._images / self.adjust_images
        self.value = min(max(moved, 0.0), 1.0)
        self._signs, self._images, self._updates = 0.0, 0, 0

    def state(self) -> dict[str, float]:
        """Return what continuing needs."""
        return {
            "value": self.value,
            "signs": self._signs,
            "images": float(self._images),
            "updates": float(self._updates),
        }

    def load(self, state: Mapping[str, float]) -> None:
        """Continue from a dictionary of `state`.

        Raises:
            UsageError: a number is missing, or the probability is out of range.
        """
        expected = set(self.state())
        if set(state) != expected:
            raise UsageError(
                f"an augmentation state holds {', '.join(sorted(expected))}; "
                f"got {', '.join(sorted(state)) or 'nothing'}."
            )
        if not (all(map(isfinite, state.values())) and 0 <= state["value"] <= 1):
            raise UsageError(f"an augmentation state must be finite and its value 0 to 1: {state}.")
        self.value, self._signs = float(state["value"]), float(state["signs"])
        self._images, self._updates = int(state["images"]), int(state["updates"])
