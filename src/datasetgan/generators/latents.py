"""Latents drawn from seeds: the same seed gives the same sample on every machine."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from datasetgan.errors import UsageError
from datasetgan.generators.base import Generator, NoiseSeed
from datasetgan.runtime import Stream, random_state

__all__ = ["Latents", "draw_z", "sample_latents"]


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


@torch.inference_mode()
def sample_latents(
    generator: Generator,
    seeds: Sequence[int],
    *,
    truncation_psi: float = 0.7,
    truncation_cutoff: int | None = None,
    class_labels: Tensor | None = None,
) -> Latents:
    """Draw one sample per seed and map it to W+.

    Each row depends on its own seed alone, so a sample is the same in any batch.
    A seed also seeds the sample's noise inputs.

    Args:
        generator: maps the latents; ws lie on its device.
        seeds: non-negative integers.
        truncation_psi: 1 for none; the paper uses 0.7.
        truncation_cutoff: truncate the first so many rows; all by default.
        class_labels: [N, label_dim] one-hot, for a conditional generator.

    Raises:
        UsageError: no seeds, a negative seed, or class labels that do not fit.
    """
    if not seeds:
        raise UsageError("sampling needs at least one seed.")
    z = draw_z(seeds, generator.z_dim).to(generator.device)
    ws = generator.map(
        z, class_labels, truncation_psi=truncation_psi, truncation_cutoff=truncation_cutoff
    )
    return Latents(ws, NoiseSeed(tuple(seeds)))
