"""Random changes to an image and its label map together."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from datasetgan.errors import UsageError
from datasetgan.taxonomy import IGNORE_INDEX

__all__ = ["NO_AUGMENTATION", "AugmentationSettings", "Orientation", "augment"]

Orientation = Literal["any", "mirrored", "fixed"]
"""How a picture may be turned: all flips and quarter turns, left-right only, or not at all."""

# What an affine map uncovers: a neutral grey, whose label is ignored.
_FILL = 124


@dataclass(frozen=True)
class AugmentationSettings:
    """How much training images vary. A zero switches a change off.

    Attributes:
        orientation: ``"any"`` suits microscopy and views from above, ``"mirrored"``
            scenes with an up and a down, ``"fixed"`` classes that tell left from right.
        rotation: largest turn either way, in degrees.
        translation: largest shift, as a share of height and width.
        scale: smallest and largest factor of size.
        brightness: largest relative change.
        contrast: largest relative change.
        saturation: largest relative change.
        hue: largest shift, as a share of the colour circle, at most 0.5.
        blur: share of the images that are blurred slightly (sigma 0.1 to 1 pixel).
        noise: largest standard deviation of added noise, as a share of white.

    Raises:
        UsageError: a value is out of range.
    """

    orientation: Orientation = "any"
    rotation: float = 20.0
    translation: float = 0.05
    scale: tuple[float, float] = (0.9, 1.15)
    brightness: float = 0.15
    contrast: float = 0.15
    saturation: float = 0.15
    hue: float = 0.02
    blur: float = 0.2
    noise: float = 0.03

    def __post_init__(self) -> None:
        limits = {
            "rotation": 180.0,
            "translation": 1.0,
            "brightness": 1.0,
            "contrast": 1.0,
            "saturation": 1.0,
            "hue": 0.5,
            "blur": 1.0,
            "noise": 1.0,
        }
        for name, limit in limits.items():
            if not 0 <= getattr(self, name) <= limit:
                raise UsageError(
                    f"augmentation {name} must be within 0 to {limit:g}, got {getattr(self, name)}."
                )
        if not 0 < self.scale[0] <= self.scale[1]:
            raise UsageError(
                f"augmentation scale must be a smaller and a larger positive factor, "
                f"got {list(self.scale)}."
            )


NO_AUGMENTATION = AugmentationSettings(
    orientation="fixed",
    rotation=0,
    translation=0,
    scale=(1, 1),
    brightness=0,
    contrast=0,
    saturation=0,
    hue=0,
    blur=0,
    noise=0,
)
"""The paper's official code: images as they are."""


def augment(
    image: Tensor, label_map: Tensor, *, settings: AugmentationSettings, seed: int
) -> tuple[Tensor, Tensor]:
    """Change an image and its label map by the same random geometry, and the image's look.

    The arguments alone decide the result; torch's global random state is left as it was.

    Args:
        image: [3, H, W] uint8.
        label_map: [H, W] integers.
        seed: of everything that is drawn.

    Returns:
        The image, [3, H, W] float32 in [0, 1], and its label map, [H, W]: nearest
        neighbours, `IGNORE_INDEX` where the image shows nothing.
    """
    # torchvision's transforms draw from the global stream: give them one of their own.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        image, label_map = _turn(image, label_map, settings.orientation)
        image, label_map = _warp(image, label_map, settings)
        return _recolor(image.float() / 255, settings), label_map


def _turn(image: Tensor, label_map: Tensor, orientation: Orientation) -> tuple[Tensor, Tensor]:
    mirror, upend, transpose = (torch.rand(3) < 0.5).tolist()
    dims = []
    if orientation != "fixed" and mirror:
        dims.append(-1)
    if orientation == "any" and upend:
        dims.append(-2)
    image, label_map = image.flip(dims), label_map.flip(dims)
    # With both flips, transposing gives all eight symmetries of a square.
    if orientation == "any" and transpose and image.shape[-1] == image.shape[-2]:
        image, label_map = image.mT, label_map.mT
    return image.contiguous(), label_map.contiguous()


def _warp(
    image: Tensor, label_map: Tensor, settings: AugmentationSettings
) -> tuple[Tensor, Tensor]:
    if settings.rotation == 0 and settings.translation == 0 and settings.scale == (1, 1):
        return image, label_map
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    affine = v2.RandomAffine(
        settings.rotation,
        translate=(settings.translation, settings.translation),
        scale=settings.scale,
        interpolation=v2.InterpolationMode.BILINEAR,  # of images; masks take the nearest
        fill={tv_tensors.Image: _FILL, tv_tensors.Mask: IGNORE_INDEX},
    )
    warped, mask = affine(tv_tensors.Image(image), tv_tensors.Mask(label_map))
    return warped.as_subclass(Tensor), mask.as_subclass(Tensor)


def _recolor(image: Tensor, settings: AugmentationSettings) -> Tensor:
    steps: list[Any] = []
    jitter = (settings.brightness, settings.contrast, settings.saturation, settings.hue)
    if any(jitter):
        from torchvision.transforms import v2

        steps.append(v2.ColorJitter(*jitter))
    if torch.rand(()) < settings.blur:
        from torchvision.transforms import v2

        steps.append(v2.GaussianBlur(5, sigma=(0.1, 1.0)))
    for step in steps:
        image = step(image)
    if settings.noise:
        image = image + torch.randn(image.shape) * (torch.rand(()) * settings.noise)
    return image.clamp(0, 1)
