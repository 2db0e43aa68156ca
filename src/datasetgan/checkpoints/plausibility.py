"""Whether an imported generator behaves as a trained one does.

Names and shapes that fit do not prove a conversion: a transposed matrix, a flipped
kernel or a lost gain fits as well. What such a mistake gives can be seen, in the
pictures and in the activations: nearly one colour, values far out of range, noise,
the same picture for every seed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datasetgan.generators import Generator, Sampling, Synthesis, draw_z, sample_images
from datasetgan.serialization import write_atomic

__all__ = [
    "LevelStatistics",
    "PictureStatistics",
    "PlausibilityReport",
    "check_plausibility",
    "render_samples",
]

_SEEDS = tuple(range(16))
_MEAN_LATENT_DRAWS = 1024
# Bounds with room: trained networks of the family lie far inside.
_WEAKEST, _STRONGEST = 1e-3, 1e3
_MOST_CONSTANT = 0.9
_LEAST_DEVIATION = 0.05
_LEAST_DIVERSITY = 0.02
_RANGE = 1.5
_MOST_BEYOND = 0.25
_LEAST_SMOOTHNESS = 0.3
_FARTHEST_MEAN = 0.5
# The mean is over the photographs' classes, which need not be equally frequent.
_FARTHEST_CONDITIONAL_MEAN = 1.5


@dataclass(frozen=True)
class LevelStatistics:
    """Activations of one feature level over all pictures.

    Attributes:
        name: of the level.
        magnitude: root mean square.
        constant_share: share of the channels that hold a single value everywhere.
    """

    name: str
    magnitude: float
    constant_share: float


@dataclass(frozen=True)
class PictureStatistics:
    """The pictures, whose values lie nominally in [-1, 1].

    Attributes:
        deviation: standard deviation within a picture, the median over pictures.
        diversity: standard deviation of a pixel between pictures, the mean over pixels.
        beyond_range: share of the values beyond 1.5 either way.
        smoothness: correlation of a pixel with its neighbours within a picture, -1 to 1.
    """

    deviation: float
    diversity: float
    beyond_range: float
    smoothness: float


@dataclass(frozen=True)
class PlausibilityReport:
    """What a generator shows, and what no trained generator would show.

    Attributes:
        ok: whether there are no warnings.
        warnings: one sentence each.
        levels: activations, coarse to fine.
        picture: of the pictures; None if they are not finite.
        mean_latent_distance: from the mean latent to the mean of mapped latents, in
            standard deviations of w; None if the mean latent is missing.
    """

    ok: bool
    warnings: tuple[str, ...]
    levels: tuple[LevelStatistics, ...]
    picture: PictureStatistics | None
    mean_latent_distance: float | None


@torch.inference_mode()
def check_plausibility(
    generator: Generator, *, seeds: Sequence[int] = _SEEDS, batch: int = 2
) -> PlausibilityReport:
    """Synthesize some pictures without truncation and judge them and their activations.

    Args:
        generator: placed for use.
        seeds: of the pictures, at least two.
        batch: pictures at once, which bounds the memory.
    """
    levels, images = _measured(generator, seeds, batch)
    warnings = list(_level_warnings(levels))
    picture = None
    if images.isfinite().all():
        picture = _picture_statistics(images)
        warnings += _picture_warnings(picture)
    else:
        warnings.append("the pictures hold NaN or infinite values.")
    distance = _mean_latent_distance(generator)
    farthest = _FARTHEST_CONDITIONAL_MEAN if generator.label_dim else _FARTHEST_MEAN
    warnings += _mean_latent_warnings(distance, farthest)
    return PlausibilityReport(not warnings, tuple(warnings), levels, picture, distance)


def _batches(
    generator: Generator, seeds: Sequence[int], batch: int, sampling: Sampling
) -> Iterator[Synthesis]:
    for first in range(0, len(seeds), batch):
        own = seeds[first : first + batch]
        labels = _class_labels(generator, own)
        yield sample_images(generator, own, sampling, class_labels=labels)[1]


def _class_labels(generator: Generator, seeds: Sequence[int]) -> Tensor | None:
    """Let seeds take turns through the classes: [N, label_dim], or None without classes."""
    if not generator.label_dim:
        return None
    classes = torch.tensor(seeds) % generator.label_dim
    labels = torch.nn.functional.one_hot(classes, generator.label_dim)
    return labels.float().to(generator.device)


def _measured(
    generator: Generator, seeds: Sequence[int], batch: int
) -> tuple[tuple[LevelStatistics, ...], Tensor]:
    squares = [0.0] * len(generator.feature_levels)
    counts = [0] * len(generator.feature_levels)
    ranges: list[tuple[Tensor, Tensor] | None] = [None] * len(generator.feature_levels)
    images = []
    for synthesis in _batches(generator, seeds, batch, Sampling(truncation_psi=1.0)):
        images.append(synthesis.image.cpu())
        for i, tensor in enumerate(synthesis.features.tensors):
            squares[i] += tensor.double().square().sum().item()
            counts[i] += tensor.numel()
            least, most = tensor.amin(dim=(0, 2, 3)), tensor.amax(dim=(0, 2, 3))  # [C]
            if (before := ranges[i]) is not None:
                least, most = torch.minimum(least, before[0]), torch.maximum(most, before[1])
            ranges[i] = (least, most)
    levels = []
    for level, square, count, extremes in zip(
        generator.feature_levels, squares, counts, ranges, strict=True
    ):
        assert extremes is not None  # there is at least one batch
        constant = (extremes[1] - extremes[0]) <= 1e-5 * extremes[1].abs().clamp_min(1e-20)
        share = constant.double().mean().item()
        levels.append(LevelStatistics(level.name, (square / count) ** 0.5, share))
    return tuple(levels), torch.cat(images)


def _level_warnings(levels: Sequence[LevelStatistics]) -> Iterator[str]:
    for level in levels:
        if not level.magnitude <= _STRONGEST:  # NaN too
            yield (
                f"{level.name} explodes: its activations have a root mean square of "
                f"{level.magnitude:.3g}; a trained network's is between 0.01 and 100."
            )
        elif level.magnitude < _WEAKEST or level.constant_share > _MOST_CONSTANT:
            yield (
                f"{level.name} is dead: root mean square {level.magnitude:.3g}, "
                f"{level.constant_share:.0%} of its channels hold one value everywhere."
            )


def _picture_statistics(images: Tensor) -> PictureStatistics:
    pixels = images.double()  # [N, C, H, W]
    return PictureStatistics(
        deviation=pixels.flatten(2).std(dim=2).mean(dim=1).median().item(),
        diversity=pixels.std(dim=0).mean().item(),
        beyond_range=(pixels.abs() > _RANGE).double().mean().item(),
        smoothness=min(
            _correlation(pixels[..., 1:, :], pixels[..., :-1, :]),
            _correlation(pixels[..., 1:], pixels[..., :-1]),
        ),
    )


def _correlation(one: Tensor, other: Tensor) -> float:
    """Correlate two [N, C, H, W] around the mean of every picture's channel; 0 if constant."""
    one = one - one.mean(dim=(2, 3), keepdim=True)
    other = other - other.mean(dim=(2, 3), keepdim=True)
    energy = (one.square().sum() * other.square().sum()).sqrt()
    return ((one * other).sum() / energy.clamp_min(1e-30)).item()


def _picture_warnings(picture: PictureStatistics) -> Iterator[str]:
    if picture.deviation < _LEAST_DEVIATION:
        yield (
            f"the pictures are nearly one colour (standard deviation {picture.deviation:.3f} "
            "within a picture, of a range from -1 to 1)."
        )
    if picture.diversity < _LEAST_DIVERSITY:
        yield (
            "every seed gives nearly the same picture (standard deviation "
            f"{picture.diversity:.3f} between pictures)."
        )
    if picture.beyond_range > _MOST_BEYOND:
        yield (
            f"the pictures are saturated: {picture.beyond_range:.0%} of their values lie beyond "
            f"{_RANGE} either way; a trained network's lie within -1 to 1."
        )
    if picture.smoothness < _LEAST_SMOOTHNESS and picture.deviation >= _LEAST_DEVIATION:
        yield (
            "the pictures look like noise (correlation of neighbouring pixels "
            f"{picture.smoothness:.2f}; photographs show 0.8 and more)."
        )


def _mean_latent_distance(generator: Generator) -> float | None:
    """Compare the mean latent, where truncation leads, with what the mapping gives."""
    seeds = range(_MEAN_LATENT_DRAWS)
    z = draw_z(seeds, generator.z_dim).to(generator.device)
    labels = _class_labels(generator, seeds)
    w = generator.map(z, labels)[:, 0]  # [N, w_dim]
    first = None if labels is None else labels[:1]
    mean_latent = generator.map(z[:1], first, truncation_psi=0.0)[0, 0]  # [w_dim]
    if not mean_latent.any():
        return None
    spread = w.var(dim=0).mean().sqrt().clamp_min(1e-12)
    return ((mean_latent - w.mean(dim=0)).square().mean().sqrt() / spread).item()


def _mean_latent_warnings(distance: float | None, farthest: float) -> Iterator[str]:
    if distance is None:
        yield (
            "the mean latent is missing (all zeros): truncation would lead astray. "
            "Give it with the mean latent's .npy file, or sample without truncation."
        )
    elif not distance <= farthest:
        yield (
            f"the mean latent lies {distance:.1f} standard deviations from the mean of mapped "
            "latents: it belongs to another network, or the mapping is wrong."
        )


@torch.inference_mode()
def render_samples(
    path: Path,
    generator: Generator,
    *,
    seeds: Sequence[int] = _SEEDS,
    columns: int = 4,
    sampling: Sampling = Sampling(),  # noqa: B008 - frozen
) -> None:
    """Write a grid of samples as one PNG, atomically, for eyes to judge.

    Args:
        seeds: of the samples, row by row.

    Raises:
        StorageError: the disk is full or the place cannot be written.
    """
    size = generator.resolution
    rows = -(-len(seeds) // columns)
    grid = np.zeros((rows * size, columns * size, 3), np.uint8)
    index = 0
    for synthesis in _batches(generator, seeds, 2, sampling):
        for picture in synthesis.to_uint8():
            top, left = index // columns * size, index % columns * size
            grid[top : top + size, left : left + size] = picture
            index += 1
    buffer = BytesIO()
    Image.fromarray(grid).save(buffer, "PNG")
    write_atomic(path, buffer.getvalue())
