"""Random changes to an image and its label map, or its keypoints, together."""

from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from datasetgan.dataset import Keypoints
from datasetgan.downstream.geometry import Orientation, draw_geometry
from datasetgan.errors import UsageError, check_literals

__all__ = [
    "NO_AUGMENTATION",
    "AugmentationSettings",
    "Orientation",
    "augment",
]

T = TypeVar("T", Tensor, Keypoints)


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
        check_literals(self)
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
    image: Tensor, target: T, *, settings: AugmentationSettings, seed: int
) -> tuple[Tensor, T]:
    """Change an image and what is known of it by the same random geometry, and the image's look.

    The arguments alone decide the result; torch's global random state is left as it was.

    Args:
        image: [3, H, W] uint8.
        target: a label map, [H, W] integers, or keypoints in pixels of the image.
        seed: of everything that is drawn.

    Returns:
        The image, [3, H, W] float32 in [0, 1], and its target: of a label map nearest
        neighbours, `IGNORE_INDEX` where the image shows nothing; of points all names, one
        that leaves the image no longer visible.
    """
    size = (image.shape[-2], image.shape[-1])
    # torchvision's transforms draw from the global stream: give them one of their own.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        geometry = draw_geometry(
            size,
            orientation=settings.orientation,
            rotation=settings.rotation,
            translation=settings.translation,
            scale=settings.scale,
        )
        changed = _recolor(geometry.image(image).float() / 255, settings)
    found: Any = (
        geometry.label_map(target)
        if isinstance(target, Tensor)
        else geometry.keypoints(target, size=size)
    )
    return changed, found


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
