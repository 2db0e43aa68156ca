"""What fixes a training run, beside the photographs; from Python, or from a file."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from datasetgan.choices import Augment, Compile, Symmetry
from datasetgan.errors import ConfigError, UsageError, check_literals, unknown_name
from datasetgan.serialization import from_plain, read_toml

__all__ = [
    "NoiseInputs",
    "RunSettings",
    "TrainingSettings",
    "default_warmup",
    "read_training_settings",
]

NoiseInputs = Literal["learned", "off"]

# A fresh discriminator beside a trained generator learns alone for so many steps.
_WARMUP_STEPS = 250


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
        check_literals(self)
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


@dataclass(frozen=True)
class RunSettings:
    """How a run goes: none of it changes the weights.

    Attributes:
        images: photographs drawn at the end of the run.
        snapshot_images: photographs between two snapshots.
        features: the feature network of the scores; see `build_feature_network`.
        num_samples: pictures that a snapshot is scored with.
        compile: see `GeneratorTrainer`.
    """

    images: int = 1_000_000
    snapshot_images: int = 50_000
    features: str = "random"
    num_samples: int = 2048
    compile: Compile = "auto"

    def __post_init__(self) -> None:
        check_literals(self)
        for what, value, least in (
            ("images", self.images, 1),
            ("snapshot_images", self.snapshot_images, 1),
            ("num_samples", self.num_samples, 2),
        ):
            if value < least:
                raise UsageError(f"{what} must be at least {least}, got {value}.")


def default_warmup(*, start: str | Path | None, discriminator: str | Path | None) -> int:
    """Return the steps in which D learns alone, where nobody says otherwise.

    Args:
        start: the generator that the training starts from; None for a fresh one.
        discriminator: the training state that D is taken from; None for a fresh one.
    """
    return _WARMUP_STEPS if start is not None and discriminator is None else 0


def read_training_settings(
    config: str | Path | None = None,
    *,
    overrides: Mapping[str, object] | None = None,
    start: str | Path | None = None,
    discriminator: str | Path | None = None,
) -> tuple[TrainingSettings, RunSettings]:
    """Return the settings of a training from a TOML file and from what overrides it.

    The file holds fields of `TrainingSettings` and `RunSettings`, without tables, for
    instance ``r1_interval = 8``. What neither says has its default; the warm-up has that
    of `default_warmup`.

    Args:
        config: the file; none where None.
        overrides: fields by name; None stands for one that is not given.
        start: see `default_warmup`.
        discriminator: see `default_warmup`.

    Raises:
        ConfigError: the file does not parse; a key is unknown, of another type or out of
            range. The message lists the valid keys.
    """
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    stated = {} if config is None else read_toml(Path(config), dict[str, object])
    of_training = {field.name for field in fields(TrainingSettings)}
    of_run = {field.name for field in fields(RunSettings)}
    for keys, source in ((stated, str(config)), (given, "the options")):
        for key in keys:
            if key not in of_training | of_run:
                message = unknown_name("key", key, sorted(of_training | of_run))
                raise ConfigError(f"{source}: {message}")
    values = {
        "discriminator_warmup": default_warmup(start=start, discriminator=discriminator),
        **stated,
        **given,
    }
    source = " and ".join(
        [str(config)] * (config is not None) + ["the options"] * (config is None or bool(given))
    )
    return (
        from_plain(TrainingSettings, _only(values, of_training), source=source),
        from_plain(RunSettings, _only(values, of_run), source=source),
    )


def _only(values: Mapping[str, object], names: set[str]) -> dict[str, object]:
    return {key: value for key, value in values.items() if key in names}
