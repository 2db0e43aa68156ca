"""The smallest honest StyleGAN2 trainer: losses, lazy R1, running average, resume."""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from datasetgan.errors import CheckpointError
from datasetgan.generators import StyleGAN2, StyleGAN2Config
from datasetgan.runtime import Runtime
from datasetgan.training.discriminator import Discriminator
from datasetgan.training.images import TrainingImages, sample_batch
from datasetgan.training.losses import discriminator_loss, generator_loss, gradient_penalty

__all__ = ["GeneratorTrainer", "StepReport", "TrainingSettings"]


@dataclass(frozen=True)
class TrainingSettings:
    """What fixes a run, beside the network's configuration and the photographs.

    Attributes:
        batch: images of each step.
        learning_rate: of both networks (Adam, beta 0 and 0.99).
        r1_gamma: weight of the gradient penalty.
        r1_interval: steps between two penalties (lazy regularisation, sec. 3.1).
        ema_images: half-life of the running average of the weights, in images.
        dihedral: photographs may be turned by quarters and mirrored.
        discriminator_warmup: first steps in which the discriminator learns alone. A
            fresh one beside a trained generator otherwise never leaves chance.
        train_noise: learn the strength of the noise inputs; else they stay at zero.
        style_mixing: share of pictures whose finer layers take a second latent's style
            (Karras et al. 2019, sec. 3.1).
        seed: of everything that is drawn.
    """

    batch: int = 16
    learning_rate: float = 0.0025
    r1_gamma: float = 0.1
    r1_interval: int = 16
    ema_images: float = 10_000
    dihedral: bool = False
    discriminator_warmup: int = 0
    train_noise: bool = True
    style_mixing: float = 0.9
    seed: int = 0


@dataclass(frozen=True)
class StepReport:
    """What one step tells.

    Attributes:
        images_seen: photographs drawn so far.
        generator_loss: mean softplus(-D(G(z))).
        discriminator_loss: both terms.
        r1: the last gradient penalty, without its weight.
        real_sign: mean sign of D on photographs: 1 means it knows them by heart.
        images_per_second: of this step.
    """

    images_seen: int
    generator_loss: float
    discriminator_loss: float
    r1: float
    real_sign: float
    images_per_second: float


class GeneratorTrainer:
    """Both networks, both optimisers and the running average, one step at a time."""

    def __init__(
        self,
        config: StyleGAN2Config,
        images: TrainingImages,
        *,
        settings: TrainingSettings,
        runtime: Runtime,
    ) -> None:
        self.settings, self.images, self.runtime = settings, images, runtime
        device = runtime.torch_device
        # The first weights are drawn on the CPU: the same on every device.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.generator = StyleGAN2(config).to(device)
            self.discriminator = Discriminator(
                config.resolution,
                image_channels=config.image_channels,
                channel_base=config.channel_base,
                channel_max=config.channel_max,
            ).to(device)
        self.generator.compute_dtype = runtime.dtype
        self.average = deepcopy(self.generator).requires_grad_(False).eval()
        if not settings.train_noise:
            for name, parameter in self.generator.named_parameters():
                if name.endswith("noise_strength"):
                    parameter.requires_grad_(False)
        self.images_seen = 0
        self.steps = 0
        self.last_r1 = 0.0
        self.random = torch.Generator().manual_seed(settings.seed)
        # Lazy regularisation: D's penalty counts as a fraction of a step (app. B).
        ratio = settings.r1_interval / (settings.r1_interval + 1)
        rate = settings.learning_rate
        self.generator_optimizer = torch.optim.Adam(
            [p for p in self.generator.parameters() if p.requires_grad], lr=rate, betas=(0.0, 0.99)
        )
        self.discriminator_optimizer = torch.optim.Adam(
            self.discriminator.parameters(), lr=rate * ratio, betas=(0.0, 0.99**ratio)
        )

    def start_from(self, generator: StyleGAN2) -> None:
        """Take the weights of a generator of the same configuration."""
        self.generator.load_state_dict(generator.state_dict())
        self.average.load_state_dict(generator.state_dict())

    def step(self) -> StepReport:
        """Draw one batch and update both networks.

        Raises:
            CheckpointError: a loss is not finite.
        """
        start = monotonic()
        s = self.settings
        real = sample_batch(self.images, s.batch, generator=self.random, dihedral=s.dihedral)
        real = real.to(self.runtime.torch_device)

        # 1. The discriminator, on photographs and on pictures together.
        with torch.no_grad():
            fake = self._pictures()
        logits = self.discriminator(torch.cat([real, fake]), dtype=self.runtime.dtype)
        real_logits, fake_logits = logits.chunk(2)
        d_loss = discriminator_loss(real_logits, fake_logits)
        self._descend(self.discriminator_optimizer, d_loss)

        # 2. Its gradient penalty, now and then.
        if self.steps % s.r1_interval == 0:
            probe = real.detach().requires_grad_()
            r1 = gradient_penalty(probe, self.discriminator(probe, dtype=self.runtime.dtype))
            self.last_r1 = r1.item()
            self._descend(self.discriminator_optimizer, r1 * (s.r1_gamma / 2 * s.r1_interval))

        # 3. The generator, while the discriminator's weights rest.
        self.discriminator.requires_grad_(False)
        g_loss = generator_loss(self.discriminator(self._pictures(), dtype=self.runtime.dtype))
        if self.steps >= s.discriminator_warmup:
            self._descend(self.generator_optimizer, g_loss)
        self.discriminator.requires_grad_(True)

        self.steps += 1
        self.images_seen += s.batch
        self._update_average()
        report = StepReport(
            images_seen=self.images_seen,
            generator_loss=g_loss.item(),
            discriminator_loss=d_loss.item(),
            r1=self.last_r1,
            real_sign=real_logits.detach().sign().mean().item(),
            images_per_second=s.batch / (monotonic() - start),
        )
        if not torch.isfinite(g_loss + d_loss):
            raise CheckpointError(
                f"training diverged at {self.images_seen} images: a loss is not finite. "
                "Go on from the last snapshot with a larger r1_gamma or a smaller learning rate."
            )
        return report

    def _pictures(self) -> Tensor:
        batch, generator = self.settings.batch, self.generator
        w = generator.mapping(self._normal(batch, generator.z_dim))  # [N, w_dim]
        if torch.is_grad_enabled():
            generator.mapping.w_avg.lerp_(w.detach().mean(dim=0), 0.002)
        ws = w[:, None, :].repeat(1, generator.num_ws, 1)
        if self.settings.style_mixing:
            self._mix_styles(ws)
        if not self.settings.train_noise:
            return generator.synthesize(ws, noise="none").image
        noise = [self._normal(batch, 1, x.height, x.width) for x in generator.feature_levels]
        return generator.synthesize(ws, noise=noise).image

    def _mix_styles(self, ws: Tensor) -> None:
        """Give some images the styles of a second latent from a random layer on (in place)."""
        batch, rows = ws.shape[:2]
        other = self.generator.mapping(self._normal(batch, self.generator.z_dim))
        first = torch.randint(1, rows, (batch,), generator=self.random)
        mixed = torch.rand(batch, generator=self.random) < self.settings.style_mixing
        first = torch.where(mixed, first, rows)
        for image, row in enumerate(first.tolist()):
            ws[image, row:] = other[image]

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.random).to(self.runtime.torch_device)

    @staticmethod
    def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def _update_average(self) -> None:
        # The half-life grows with the run at first (EMA ramp-up).
        half_life = min(self.settings.ema_images, 0.05 * self.images_seen)
        keep = 0.5 ** (self.settings.batch / max(half_life, 1e-8))
        with torch.no_grad():
            for mean, now in zip(
                self.average.parameters(), self.generator.parameters(), strict=True
            ):
                mean.lerp_(now, 1 - keep)
            pairs = zip(self.average.buffers(), self.generator.buffers(), strict=True)
            for buffer, source in pairs:
                buffer.copy_(source)

    def save_state(self, path: Path) -> None:
        """Write everything that continuing needs, by atomic rename."""
        tensors: dict[str, Tensor] = {"random": self.random.get_state()}
        for prefix, module in self._modules().items():
            tensors |= {f"{prefix}.{k}": v for k, v in module.state_dict().items()}
        for prefix, optimizer in self._optimizers().items():
            for i, state in optimizer.state_dict()["state"].items():
                tensors |= {f"{prefix}.{i}.{k}": v for k, v in state.items()}
        temporary = path.with_suffix(".partial")
        counters = {"images_seen": str(self.images_seen), "steps": str(self.steps)}
        save_file({k: v.contiguous() for k, v in tensors.items()}, temporary, metadata=counters)
        temporary.replace(path)

    def load_state(self, path: Path) -> None:
        """Continue from a file of `save_state` of the same configuration."""
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            counters = file.metadata()
        self.images_seen, self.steps = int(counters["images_seen"]), int(counters["steps"])
        self.random.set_state(tensors.pop("random"))
        for prefix, module in self._modules().items():
            module.load_state_dict(_below(tensors, prefix))
        for prefix, optimizer in self._optimizers().items():
            state: dict[int, dict[str, Tensor]] = {}
            for name, value in _below(tensors, prefix).items():
                index, key = name.split(".")
                state.setdefault(int(index), {})[key] = value
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": state, "param_groups": groups})

    def _modules(self) -> dict[str, torch.nn.Module]:
        return {
            "generator": self.generator,
            "average": self.average,
            "discriminator": self.discriminator,
        }

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = prefix + "."
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
