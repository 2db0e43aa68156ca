"""What fixes a training run, beside the photographs."""

from dataclasses import dataclass
from typing import Literal, get_args

from datasetgan.errors import UsageError, unknown_name
from datasetgan.gan_training.photos.symmetry import Symmetry
from datasetgan.generators import StyleGAN2Config

__all__ = ["Augment", "NetworkSize", "NoiseInputs", "TrainingSettings", "network_config"]

Augment = Literal["ada", "none"]
NoiseInputs = Literal["learned", "off"]
NetworkSize = Literal["small", "standard", "paper"]


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that fixes a run, beside the networks and the photographs.

    The recipe is that of Karras et al. 2020 (StyleGAN2) and Karras et al. 2020b (ADA).

    Attributes:
        batch: photographs of one step, over all processes.
        accumulate: rounds that a step's batch is worked off in; more take less memory.
        learning_rate: of both networks (Adam, beta 0 and 0.99).
        r1_gamma: weight of the gradient penalty on photographs.
        r1_interval: steps between two gradient penalties (lazy regularisation, sec. 3.1).
        path_length_weight: of the path-length penalty, 0 for none; the paper takes 2.
        path_length_interval: steps between two path-length penalties.
        style_mixing: share of pictures whose finer layers take a second latent's style
            (Karras et al. 2019, sec. 3.1).
        ema_images: half-life of the running average of the weights, in images.
        ema_ramp: the half-life is at most this share of the images seen so far.
        symmetry: exact symmetries under which a photograph stays a photograph.
        augment: adaptive discriminator augmentation, or none.
        augment_target: mean sign of D on photographs that ADA steers to.
        augment_images: images in which ADA's probability may move from 0 to 1.
        noise: learn the strength of the noise inputs, or leave them at zero.
        discriminator_warmup: first steps in which D learns alone. A fresh one beside a
            trained generator otherwise stays at chance.
        seed: of everything that is drawn.
    """

    batch: int = 32
    accumulate: int = 1
    learning_rate: float = 0.002
    r1_gamma: float = 0.5
    r1_interval: int = 16
    path_length_weight: float = 0.0
    path_length_interval: int = 4
    style_mixing: float = 0.9
    ema_images: float = 10_000
    ema_ramp: float = 0.05
    symmetry: Symmetry = "none"
    augment: Augment = "ada"
    augment_target: float = 0.6
    augment_images: int = 500_000
    noise: NoiseInputs = "learned"
    discriminator_warmup: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for what, value, valid in (
            ("symmetry", self.symmetry, get_args(Symmetry)),
            ("augment", self.augment, get_args(Augment)),
            ("noise", self.noise, get_args(NoiseInputs)),
        ):
            if value not in valid:
                raise UsageError(unknown_name(what, value, valid))
        for what, number, least in (
            ("batch", self.batch, 2),
            ("accumulate", self.accumulate, 1),
            ("r1_interval", self.r1_interval, 1),
            ("path_length_interval", self.path_length_interval, 1),
            ("augment_images", self.augment_images, 1),
            ("discriminator_warmup", self.discriminator_warmup, 0),
            ("seed", self.seed, 0),
        ):
            if number < least:
                raise UsageError(f"{what} must be at least {least}, got {number}.")
        if self.batch % self.accumulate:
            raise UsageError(
                f"accumulate must divide the batch: {self.batch} images, {self.accumulate} rounds."
            )
        if not self.learning_rate > 0:
            raise UsageError(f"learning_rate must be above 0, got {self.learning_rate}.")
        for what, weight in (
            ("r1_gamma", self.r1_gamma),
            ("path_length_weight", self.path_length_weight),
            ("ema_images", self.ema_images),
            ("ema_ramp", self.ema_ramp),
        ):
            if not weight >= 0:
                raise UsageError(f"{what} must not be negative, got {weight}.")
        if not 0 <= self.style_mixing <= 1:
            raise UsageError(f"style_mixing is a share from 0 to 1, got {self.style_mixing}.")


def network_config(size: NetworkSize, *, resolution: int, num_classes: int = 0) -> StyleGAN2Config:
    """Return the StyleGAN2 of a named size.

    ``"small"`` is for CPUs and a few thousand photographs, ``"standard"`` for one GPU up to
    256 px (that of StyleGAN2-ADA), ``"paper"`` that of Karras et al. 2020 (config F).

    Args:
        resolution: of the square pictures, a power of two from 8 on.
        num_classes: class labels it is conditioned on, 0 for none.

    Raises:
        UsageError: an unknown size, or a resolution that is no power of two from 8 on.
    """
    # z and w, mapping layers, channels times resolution, their cap
    sizes = {
        "small": (128, 2, 2048, 128),
        "standard": (512, 2, 16384, 512),
        "paper": (512, 8, 32768, 512),
    }
    if size not in sizes:
        raise UsageError(unknown_name("network size", size, sizes))
    if resolution < 8 or resolution & (resolution - 1):
        raise UsageError(f"the resolution must be a power of two from 8 on, got {resolution}.")
    latent, layers, base, most = sizes[size]
    return StyleGAN2Config(
        resolution=resolution,
        z_dim=latent,
        w_dim=latent,
        label_dim=num_classes,
        mapping_layers=layers,
        channel_base=max(base, 32 * resolution),  # at least 32 at the finest level
        channel_max=most,
    )
