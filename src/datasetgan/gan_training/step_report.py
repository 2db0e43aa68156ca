"""What one step of a training tells."""

from dataclasses import dataclass

__all__ = ["StepReport"]


@dataclass(frozen=True)
class StepReport:
    """What one step tells.

    Attributes:
        images_seen: photographs drawn so far.
        generator_loss: mean softplus(-D(G(z))).
        discriminator_loss: both terms.
        r1: the last gradient penalty, without its weight.
        real_sign: mean sign of D on photographs: 1 means it knows them by heart.
        augment_probability: of ADA, 0 to 1.
        path_length: running mean of the path lengths, 0 without that penalty.
        images_per_second: of this step.
    """

    images_seen: int
    generator_loss: float
    discriminator_loss: float
    r1: float
    real_sign: float
    augment_probability: float
    path_length: float
    images_per_second: float
