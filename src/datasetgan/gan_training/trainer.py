"""One training step of StyleGAN2, exactly resumable (Karras et al. 2020, 2020b)."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from math import isfinite
from pathlib import Path
from time import monotonic
from typing import Literal

import torch
from torch import Tensor

from datasetgan.checkpoints.state_tensors import restore
from datasetgan.choices import Compile
from datasetgan.errors import TrainingError, UsageError
from datasetgan.gan_training.augment.transform import AdaptiveProbability, augment_images
from datasetgan.gan_training.discriminator import Discriminator
from datasetgan.gan_training.generator_inputs import draw_noise, draw_normal, draw_ws
from datasetgan.gan_training.losses import (
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    move_mean_length,
    path_length_penalty,
)
from datasetgan.gan_training.photos.images import RealBatch, TrainingImages, sample_batch
from datasetgan.gan_training.processes import ProcessGroup
from datasetgan.gan_training.settings import TrainingSettings
from datasetgan.gan_training.step_report import StepReport
from datasetgan.gan_training.training_state import Counters, read_tensors, write_state
from datasetgan.generators import Generator, Synthesis
from datasetgan.runtime import Runtime, Stream, random_state

__all__ = ["GeneratorTrainer"]

_MEAN_LATENT_RATE = 0.002  # of the running mean of w: 0.998 of it stay at every step
_SIGN_INTERVAL = 4  # steps between two moves of ADA's probability (Karras et al. 2020b)


class GeneratorTrainer:
    """Both networks, both optimisers and the running average, one step at a time.

    Args:
        generator: its weights are the first ones; they are trained in place.
        images: photographs of the generator's resolution.
        settings: the recipe.
        runtime: where it runs; activations are of its type, weights stay float32.
        processes: that share every batch.
        compile: ``torch.compile`` on the passes without second derivatives; ``"auto"``
            on CUDA only: on a CPU it costs minutes and brings a tenth.

    Raises:
        UsageError: photographs of another resolution or other classes, or a batch that
            the processes cannot share evenly.
    """

    def __init__(
        self,
        generator: Generator,
        images: TrainingImages,
        *,
        settings: TrainingSettings,
        runtime: Runtime,
        processes: ProcessGroup | None = None,
        compile: Compile = "auto",
    ) -> None:
        processes = processes or ProcessGroup()
        _check_fit(generator, images, settings, processes)
        self.settings, self.images, self.runtime = settings, images, runtime
        self.processes = processes
        device = runtime.torch_device
        self.generator = generator.to(device).train().requires_grad_(True)
        self.generator.compute_dtype = runtime.dtype
        # The first weights are drawn on the CPU: the same on every device.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.discriminator = Discriminator(
                generator.resolution,
                image_channels=generator.image_channels,
                channel_base=generator.config.channel_base,
                channel_max=generator.config.channel_max,
                label_dim=generator.label_dim,
            ).to(device)
        self.average = deepcopy(self.generator).requires_grad_(False).eval()
        self.average.compute_dtype = torch.float32  # it is scored as users will run it
        if settings.noise == "off":
            for layer in self.generator.noise_layers:
                layer.noise_strength.requires_grad_(False)
        self.counters = Counters()
        self.augment = AdaptiveProbability(
            settings.augment_target, _SIGN_INTERVAL, settings.augment_images
        )
        self.generator_optimizer = _adam(
            self.generator,
            settings.learning_rate,
            settings.path_length_interval if settings.path_length_weight else None,
        )
        self.discriminator_optimizer = _adam(
            self.discriminator,
            settings.learning_rate,
            settings.r1_interval if settings.r1_gamma else None,
        )
        # The compiled twins share the weights; double derivatives need the plain ones.
        self._discriminate: Callable[..., Tensor] = self.discriminator
        self._synthesize: Callable[..., Synthesis] = self.generator.synthesize
        if compile == "on" or (compile == "auto" and device.type == "cuda"):
            self._discriminate = torch.compile(self.discriminator)
            self._synthesize = torch.compile(self.generator.synthesize)

    def step(self) -> StepReport:
        """Draw one batch and update both networks.

        Raises:
            TrainingError: a loss is not finite.
        """
        start = monotonic()
        s, step = self.settings, self.counters.steps
        random = self._random(step)
        share = s.batch // self.processes.count
        reals = sample_batch(self.images, share, generator=random, symmetry=s.symmetry)
        rounds = [self._on_device(real) for real in _split(reals, s.accumulate)]

        d_loss, sign = self._train_discriminator(rounds, random)
        r1, mean_length = d_loss.new_tensor([self.counters.r1, self.counters.mean_length])
        if s.r1_gamma and step % s.r1_interval == 0:
            r1 = self._penalize_discriminator(rounds, random)
        alone = step < s.discriminator_warmup
        g_loss = self._train_generator(rounds, random, learning="off" if alone else "on")
        if s.path_length_weight and step % s.path_length_interval == 0:
            mean_length = self._penalize_generator(rounds, random)

        values = torch.stack([d_loss, g_loss, r1, mean_length, sign])
        self.processes.average_([values])
        d, g, r, length, mean_sign = values.tolist()
        if s.augment == "ada":
            self.augment.update(mean_sign, s.batch)
        self.counters = Counters(
            images_seen=self.counters.images_seen + s.batch,
            steps=step + 1,
            r1=r,
            mean_length=length,
            augment=self.augment.state(),
        )
        self._update_average()
        report = StepReport(
            images_seen=self.counters.images_seen,
            generator_loss=g,
            discriminator_loss=d,
            r1=r,
            real_sign=mean_sign,
            augment_probability=self.augment.value,
            path_length=length,
            images_per_second=s.batch / (monotonic() - start),
        )
        if not isfinite(d + g + r + length):
            raise TrainingError(
                f"training diverged at {report.images_seen} images: a loss is not finite."
            )
        return report

    def _train_discriminator(
        self, rounds: list[RealBatch], random: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        losses, signs = [], []
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        for real in rounds:
            with torch.no_grad():
                fake, _ = self._pictures(real, random)
            both = torch.cat(
                [self._augmented(real.pictures, random), self._augmented(fake, random)]
            )
            labels = real.class_labels
            labels = None if labels is None else torch.cat([labels, labels])
            logits = self._discriminate(both, labels, dtype=self.runtime.dtype)
            real_logits, fake_logits = logits.chunk(2)
            loss = discriminator_loss(real_logits, fake_logits) / len(rounds)
            torch.autograd.backward(loss)
            losses.append(loss.detach())
            signs.append(real_logits.detach().sign().mean() / len(rounds))
        self._descend(self.discriminator_optimizer)
        return torch.stack(losses).sum(), torch.stack(signs).sum()

    def _penalize_discriminator(self, rounds: list[RealBatch], random: torch.Generator) -> Tensor:
        s, total = self.settings, []
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        for real in rounds:
            probe = real.pictures.detach().requires_grad_()
            seen = self._augmented(probe, random)
            logits = self.discriminator(seen, real.class_labels, dtype=self.runtime.dtype)
            r1 = gradient_penalty(probe, logits) / len(rounds)
            # Lazy: the weight makes up for the steps in between.
            torch.autograd.backward(r1 * (s.r1_gamma / 2 * s.r1_interval))
            total.append(r1.detach())
        self._descend(self.discriminator_optimizer)
        return torch.stack(total).sum()

    def _train_generator(
        self,
        rounds: list[RealBatch],
        random: torch.Generator,
        *,
        learning: Literal["on", "off"],
    ) -> Tensor:
        losses = []
        self.discriminator.requires_grad_(False)
        self.generator_optimizer.zero_grad(set_to_none=True)
        # Where it does not learn, the loss is told and the mean latent moves all the same.
        with torch.set_grad_enabled(learning == "on"):
            for real in rounds:
                fake, mean = self._pictures(real, random)
                self.processes.average_([mean])
                self.generator.move_mean_latent(mean, rate=_MEAN_LATENT_RATE)
                seen = self._augmented(fake, random)
                logits = self._discriminate(seen, real.class_labels, dtype=self.runtime.dtype)
                loss = generator_loss(logits) / len(rounds)
                if learning == "on":
                    torch.autograd.backward(loss)
                losses.append(loss.detach())
        self.discriminator.requires_grad_(True)
        if learning == "on":
            self._descend(self.generator_optimizer)
        return torch.stack(losses).sum()

    def _penalize_generator(self, rounds: list[RealBatch], random: torch.Generator) -> Tensor:
        s = self.settings
        mean_length = torch.tensor(self.counters.mean_length, device=self.runtime.torch_device)
        self.generator_optimizer.zero_grad(set_to_none=True)
        for real in rounds:
            # Half of the pictures are enough, and second derivatives are dear.
            count = max(len(real.pictures) // 2, 1)
            labels = None if real.class_labels is None else real.class_labels[:count]
            ws, _ = draw_ws(self.generator, count, labels, style_mixing=0.0, random=random)
            noise_inputs = draw_noise(self.generator, count, s.noise, random=random)
            image = self.generator.synthesize(ws, noise=noise_inputs).image
            noise = draw_normal(random, *image.shape, device=image.device)
            penalty, lengths = path_length_penalty(image, ws, noise=noise, mean_length=mean_length)
            mean_length = move_mean_length(mean_length, lengths)
            weight = s.path_length_weight * s.path_length_interval / len(rounds)
            torch.autograd.backward(penalty * weight)
        self._descend(self.generator_optimizer)
        return mean_length

    def _pictures(self, real: RealBatch, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return as many fresh pictures, and the mean of their first latents' w."""
        s, count = self.settings, len(real.pictures)
        ws, mean = draw_ws(
            self.generator, count, real.class_labels, style_mixing=s.style_mixing, random=random
        )
        noise = draw_noise(self.generator, count, s.noise, random=random)
        return self._synthesize(ws, noise=noise).image, mean

    def _augmented(self, images: Tensor, random: torch.Generator) -> Tensor:
        if self.settings.augment == "none":
            return images
        return augment_images(images, probability=self.augment.value, generator=random)

    def _random(self, step: int) -> torch.Generator:
        """Return the random stream of a step and process: continuing needs no other state."""
        numbers = random_state(self.settings.seed, Stream.TRAINING_STEP, step, self.processes.rank)
        return torch.Generator().manual_seed(int(numbers.randint(2**62, dtype="int64")))

    def _on_device(self, real: RealBatch) -> RealBatch:
        device, labels = self.runtime.torch_device, real.class_labels
        return RealBatch(real.pictures.to(device), None if labels is None else labels.to(device))

    def _descend(self, optimizer: torch.optim.Optimizer) -> None:
        gradients = [
            p.grad
            for group in optimizer.param_groups
            for p in group["params"]
            if p.grad is not None
        ]
        self.processes.average_(gradients)
        if self.runtime.precision == "float16":
            # An overflow of one element must not end the run; a loss that is not finite does.
            for gradient in gradients:
                torch.nan_to_num(gradient, nan=0.0, posinf=1e5, neginf=-1e5, out=gradient)
        optimizer.step()

    @torch.no_grad()
    def _update_average(self) -> None:
        # The half-life grows with the run at first (EMA ramp-up).
        s = self.settings
        half_life = min(s.ema_images, s.ema_ramp * self.counters.images_seen)
        keep = 0.5 ** (s.batch / max(half_life, 1e-8))
        torch._foreach_lerp_(
            list(self.average.parameters()), list(self.generator.parameters()), 1 - keep
        )
        for mean, now in zip(self.average.buffers(), self.generator.buffers(), strict=True):
            mean.copy_(now)

    def save_state(self, path: Path) -> None:
        """Write everything that an exact continuation needs, atomically."""
        write_state(
            path, modules=self._modules, optimizers=self._optimizers, counters=self.counters
        )

    def load_state(self, path: Path) -> None:
        """Continue from a file of `save_state` of the same networks and settings.

        Raises:
            CheckpointError: the file is truncated, or of other networks.
        """
        tensors, counters = read_tensors(path)
        restore(tensors, modules=self._modules, optimizers=self._optimizers, source=path)
        self.counters = counters
        if counters.augment:
            self.augment.load(counters.augment)

    def load_discriminator(self, path: Path) -> None:
        """Take only the discriminator out of a file of `save_state`.

        Raises:
            CheckpointError: the file is truncated, or its discriminator of another size.
        """
        tensors, _ = read_tensors(path)
        restore(tensors, modules={"discriminator": self.discriminator}, optimizers={}, source=path)

    @property
    def _modules(self) -> dict[str, torch.nn.Module]:
        return {
            "generator": self.generator,
            "average": self.average,
            "discriminator": self.discriminator,
        }

    @property
    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }


def _adam(module: torch.nn.Module, rate: float, interval: int | None) -> torch.optim.Adam:
    # A lazy penalty counts as a fraction of a step (Karras et al. 2020, app. B).
    ratio = 1.0 if interval is None else interval / (interval + 1)
    parameters = [p for p in module.parameters() if p.requires_grad]
    return torch.optim.Adam(parameters, lr=rate * ratio, betas=(0.0, 0.99**ratio), fused=True)


def _split(reals: RealBatch, rounds: int) -> Iterator[RealBatch]:
    labels = reals.class_labels
    label_rounds = [None] * rounds if labels is None else list(labels.chunk(rounds))
    for pictures, own in zip(reals.pictures.chunk(rounds), label_rounds, strict=True):
        yield RealBatch(pictures, own)


def _check_fit(
    generator: Generator,
    images: TrainingImages,
    settings: TrainingSettings,
    processes: ProcessGroup,
) -> None:
    side = images.pixels.shape[1]
    if side != generator.resolution:
        raise UsageError(
            f"the photographs are {side} px, the generator makes {generator.resolution} px."
        )
    if images.num_classes != generator.label_dim:
        raise UsageError(
            f"the photographs have {images.num_classes} classes, the generator is conditioned "
            f"on {generator.label_dim}. Choose the labels accordingly, or start afresh."
        )
    if settings.batch % (processes.count * settings.accumulate):
        raise UsageError(
            f"a batch of {settings.batch} does not divide evenly among {processes.count} processes "
            f"in {settings.accumulate} rounds."
        )
