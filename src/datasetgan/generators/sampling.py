"""Samples drawn from seeds: the same seed gives the same sample on every machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from datasetgan.errors import UsageError
from datasetgan.generators.base import Generator, Synthesis
from datasetgan.generators.noise import NoiseSeed
from datasetgan.runtime import Stream, random_state

__all__ = ["Latents", "Sampling", "draw_z", "sample_images", "sample_latents"]


@dataclass(frozen=True)
class Sampling:
    """How samples are drawn, beside their seeds.

    Attributes:
        truncation_psi: pulls latents towards the mean latent, 1 not at all, 0 wholly
            (Karras et al. 2019, app. B); the paper uses 0.7.
        truncation_cutoff: truncates the first so many rows of ws; all by default.
        class_label: class of every sample, from 0, for a class-conditional generator.

    Raises:
        UsageError: a value is out of range.
    """

    truncation_psi: float = 0.7
    truncation_cutoff: int | None = None
    class_label: int | None = None

    def __post_init__(self) -> None:
        if not isfinite(self.truncation_psi):
            raise UsageError(f"truncation_psi must be finite, got {self.truncation_psi}.")
        if self.truncation_cutoff is not None and self.truncation_cutoff < 0:
            raise UsageError(
                "truncation_cutoff must not be negative: 0 or more rows, "
                f"got {self.truncation_cutoff}."
            )
        if self.class_label is not None and self.class_label < 0:
            raise UsageError(f"class_label must be 0 or more, got {self.class_label}.")


@dataclass(frozen=True)
class Latents:
    """Everything that fixes a batch of samples, beside the generator.

    Attributes:
        ws: [N, num_ws, w_dim] float32, truncation applied.
        noise: the seed of each image's noise inputs.
    """

    ws: Tensor
    noise: NoiseSeed

    def __len__(self) -> int:
        return self.ws.shape[0]


def draw_z(seeds: Sequence[int], z_dim: int) -> Tensor:
    """Draw one standard normal latent per seed: [N, z_dim] float32 on the CPU."""
    rows = [random_state(seed, Stream.LATENT).standard_normal(z_dim) for seed in seeds]
    return torch.from_numpy(np.asarray(rows, dtype=np.float32))


def sample_images(
    generator: Generator,
    seeds: Sequence[int],
    sampling: Sampling,
    *,
    class_labels: Tensor | None = None,
) -> tuple[Latents, Synthesis]:
    """Draw one sample per seed and synthesize it, without gradients.

    Each sample depends on its own seed alone, so it is the same in any batch.

    Args:
        generator: placed for use.
        seeds: non-negative integers; of the latents and of the noise inputs.
        sampling: truncation and class.
        class_labels: [N, label_dim] one-hot, where samples are of different classes.

    Returns:
        What fixes the samples, and their images [N, C, H, W] with all features.

    Raises:
        UsageError: no seeds, a negative seed, or a class that does not fit.
    """
    latents = _draw_latents(generator, seeds, sampling, class_labels)
    # Not inference_mode: features may go into a training graph.
    with torch.no_grad():
        return latents, generator.synthesize(latents.ws, noise=latents.noise)


def sample_latents(
    generator: Generator,
    seeds: Sequence[int],
    *,
    truncation_psi: float = 0.7,
    truncation_cutoff: int | None = None,
    class_label: int | None = None,
    class_labels: Tensor | None = None,
) -> Latents:
    """Draw one sample per seed and map it to W+; see `Sampling` and `sample_images`.

    Raises:
        UsageError: no seeds, a negative seed, or a value or class that does not fit.
    """
    sampling = Sampling(truncation_psi, truncation_cutoff, class_label)
    return _draw_latents(generator, seeds, sampling, class_labels)


@torch.inference_mode()
def _draw_latents(
    generator: Generator, seeds: Sequence[int], sampling: Sampling, class_labels: Tensor | None
) -> Latents:
    if not seeds:
        raise UsageError("sampling needs at least one seed.")
    z = draw_z(seeds, generator.z_dim).to(generator.device)
    if sampling.class_label is not None:
        if class_labels is not None:
            raise UsageError("give class_label, one for all samples, or class_labels, not both.")
        class_labels = _one_hot(generator, sampling.class_label).expand(len(seeds), -1)
    ws = generator.map(
        z,
        class_labels,
        truncation_psi=sampling.truncation_psi,
        truncation_cutoff=sampling.truncation_cutoff,
    )
    return Latents(ws, NoiseSeed(tuple(seeds)))


def _one_hot(generator: Generator, class_label: int) -> Tensor:
    if class_label >= generator.label_dim:
        raise UsageError(
            f"class_label is {class_label}, but this generator has {generator.label_dim} classes, "
            "counted from 0."
            if generator.label_dim
            else "this generator is not class-conditional: leave class_label out."
        )
    label = torch.tensor(class_label, device=generator.device)
    return F.one_hot(label, generator.label_dim).float()
