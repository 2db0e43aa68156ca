"""What fixes the training of a network."""

from dataclasses import dataclass, field
from typing import Literal

from datasetgan.downstream.augment import NO_AUGMENTATION, AugmentationSettings
from datasetgan.downstream.models import DEFAULT_SEGMENTER, SEGMENTERS, SIZE_MULTIPLE
from datasetgan.errors import UsageError, check_literals, unknown_name
from datasetgan.keypoints.heat_maps import SIGMA_SHARE

__all__ = [
    "KeypointNetworkSettings",
    "NetworkTraining",
    "SegmenterSettings",
    "check_image_size",
    "paper_settings",
]


@dataclass(frozen=True)
class NetworkTraining:
    """What fixes the training of any network, beside the dataset.

    Attributes:
        model: name of the network, a key of `SEGMENTERS`.
        steps: updates of the weights; ``steps * batch`` images are drawn, every image
            of the dataset once before any comes again.
        batch: images of each step, at least 2.
        learning_rate: the highest one (AdamW).
        weight_decay: of AdamW; 0 makes it Adam.
        schedule: ``"cosine"`` rises over the first twentieth and falls to zero at the
            end; ``"constant"`` stays.
        image_size: (height, width) that images are stretched to, multiples of 16; the
            dataset's own by default.
        augmentation: random changes to the training images.
        max_seconds: end earlier, the schedule shortened to match. A run that the clock
            cuts short is not repeatable to the bit.
        seed: of the first weights, the order of images, augmentation and dropout.

    Raises:
        UsageError: a value is out of range, or the model is unknown.
    """

    model: str = DEFAULT_SEGMENTER
    steps: int = 500
    batch: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    schedule: Literal["cosine", "constant"] = "cosine"
    image_size: tuple[int, int] | None = None
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)
    max_seconds: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_literals(self)
        if self.model not in SEGMENTERS:
            raise UsageError(unknown_name("segmenter", self.model, SEGMENTERS))
        if self.steps < 1:
            raise UsageError(f"steps must be at least 1, got {self.steps}.")
        if self.batch < 2:
            raise UsageError(
                f"batch must be at least 2 (the networks normalise over it), got {self.batch}."
            )
        if not self.learning_rate > 0:
            raise UsageError(f"learning_rate must be positive, got {self.learning_rate}.")
        if self.weight_decay < 0:
            raise UsageError(f"weight_decay must not be negative, got {self.weight_decay}.")
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise UsageError(f"max_seconds must be positive, got {self.max_seconds}.")
        if self.seed < 0:
            raise UsageError(f"a seed must not be negative, got {self.seed}.")
        if self.image_size is not None:
            check_image_size(self.image_size)


@dataclass(frozen=True)
class SegmenterSettings(NetworkTraining):
    """What fixes the training of a segmenter, beside the dataset: nothing more than of any."""


def _unflipped() -> NetworkTraining:
    return NetworkTraining(augmentation=AugmentationSettings(orientation="fixed"))


@dataclass(frozen=True)
class KeypointNetworkSettings:
    """What fixes the training of a heat-map network, beside the dataset.

    Attributes:
        sigma_share: standard deviation of a heat map's bump as a share of the picture's
            longer side.
        threshold: heat from which on a point counts as visible.
        training: the rest; its pictures are not flipped by default: flips leave the names
            of points, and names often tell left from right.

    Raises:
        UsageError: a value is not between 0 and 1.
    """

    sigma_share: float = SIGMA_SHARE
    threshold: float = 0.1
    training: NetworkTraining = field(default_factory=_unflipped)

    def __post_init__(self) -> None:
        for name in ("sigma_share", "threshold"):
            if not 0 < getattr(self, name) < 1:
                raise UsageError(f"{name} must be between 0 and 1, got {getattr(self, name)}.")


def check_image_size(size: tuple[int, int]) -> None:
    """Check a (height, width) to train at.

    Raises:
        UsageError: a side is no positive multiple of `SIZE_MULTIPLE`.
    """
    if any(side < SIZE_MULTIPLE or side % SIZE_MULTIPLE for side in size):
        near = [max(1, round(side / SIZE_MULTIPLE)) * SIZE_MULTIPLE for side in size]
        raise UsageError(
            f"images to train on must be multiples of {SIZE_MULTIPLE} pixels high and wide, "
            f"got {size[0]} x {size[1]}. Set image_size = {near}: images are stretched to it."
        )


def paper_settings(num_images: int, *, image_size: tuple[int, int]) -> SegmenterSettings:
    """Return the training of the official code, but from random weights.

    DeepLab-V3 with ResNet-101, Adam at 1e-3 without a schedule, batches of 8, the
    incomplete one left out, 20 epochs, no augmentation. The official code starts from
    an ImageNet backbone, which is not shipped here.

    Args:
        num_images: in the dataset, after filtering; at least 8.
        image_size: the official code takes a square: 512 for cars and faces, 256 for cats.

    Raises:
        UsageError: fewer than 8 images, or the size is no multiple of 16.
    """
    if num_images < 8:
        raise UsageError(f"the paper's batches hold 8 images, the dataset only {num_images}.")
    return SegmenterSettings(
        model="deeplabv3_resnet101",
        steps=20 * (num_images // 8),
        batch=8,
        weight_decay=0.0,
        schedule="constant",
        image_size=image_size,
        augmentation=NO_AUGMENTATION,
    )
