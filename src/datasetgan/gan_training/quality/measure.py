"""How far a generator's pictures are from the photographs, in numbers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasetgan.encoders.pictures import to_float
from datasetgan.errors import UsageError
from datasetgan.gan_training.quality.feature_networks import FeatureNetwork, extract_features
from datasetgan.gan_training.quality.picture_batches import (
    check_pictures,
    picture_batches,
    seeded_rows,
)
from datasetgan.gan_training.quality.scores import frechet_distance, kernel_inception_distance
from datasetgan.generators import Generator, Sampling, sample_images
from datasetgan.runtime import Stream, random_state

__all__ = [
    "MAX_REAL",
    "QualityScores",
    "RealFeatures",
    "draw_class_labels",
    "measure_quality",
    "read_real_features",
    "sample_pictures",
]

MAX_REAL = 50_000
"""Photographs whose features are held in memory at most: 96 MB at 480 features."""


@dataclass(frozen=True)
class RealFeatures:
    """Features of the photographs: computed once, used at every snapshot.

    Attributes:
        values: [N, D] float32 on the CPU.
        rows: [N] the photograph of each feature vector, ascending.
        network: what made them.
    """

    values: Tensor
    rows: NDArray[np.int64]
    network: FeatureNetwork


@dataclass(frozen=True)
class QualityScores:
    """How far pictures are from photographs; smaller is better, for one feature network.

    Attributes:
        kid: kernel distance, about 0 for pictures that cannot be told from photographs.
        kid_deviation: standard deviation of `kid` over its subsets.
        fid: Frechet distance.
        num_real: photographs compared with.
        num_samples: pictures drawn.
        features: what the features are, in words.
    """

    kid: float
    kid_deviation: float
    fid: float
    num_real: int
    num_samples: int
    features: str


def read_real_features(
    images: NDArray[np.uint8],
    *,
    network: FeatureNetwork,
    batch: int = 64,
    limit: int = MAX_REAL,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> RealFeatures:
    """Compute the features of the photographs, or of a seeded sample where there are more.

    Args:
        images: uint8 [N, R, R, 3], may be memory-mapped; read one batch at a time.
        limit: photographs at most.
        seed: of the sample.
        on_progress: called with the photographs done and their total.

    Raises:
        UsageError: misshapen images, `batch` < 1 or `limit` < 2.
    """
    check_pictures("photographs", images)
    if limit < 2:
        raise UsageError(f"scores need at least 2 photographs, got limit {limit}.")
    rows = seeded_rows(len(images), limit, seed=seed, stream=Stream.SCORED_PHOTOS)

    def batches() -> Iterator[Tensor]:
        done = 0
        for pictures in picture_batches(images, batch=batch, rows=rows):
            yield pictures
            done += len(pictures)
            if on_progress is not None:
                on_progress(done, len(rows))

    values = extract_features(network, batches())
    return RealFeatures(values, rows, network)


def draw_class_labels(class_probabilities: Sequence[float], count: int, *, seed: int) -> Tensor:
    """Draw one-hot class labels [count, K] float32.

    Args:
        class_probabilities: [K], 0 or more; they are scaled to the sum 1, so counts will do.

    Raises:
        UsageError: a probability is negative or not finite, or none is above 0.
    """
    weights = np.asarray(class_probabilities, dtype=np.float64)
    if not np.isfinite(weights).all() or (weights < 0).any() or weights.sum() <= 0:
        raise UsageError(
            "class probabilities must be finite, 0 or more, and one above 0, "
            f"got {weights.tolist()}."
        )
    edges = np.cumsum(weights) / weights.sum()
    draws = random_state(seed, Stream.CLASS_LABELS).random_sample(count)
    classes = np.searchsorted(edges, draws, side="right")
    return torch.from_numpy(np.eye(len(weights), dtype=np.float32)[classes])


@torch.inference_mode()
def sample_pictures(
    generator: Generator,
    count: int,
    *,
    batch: int = 32,
    seed: int = 0,
    class_probabilities: Sequence[float] | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """Yield batches of pictures uint8 [B, R, R, 3] without truncation, as files would hold them.

    The samples have the seeds `seed`, `seed` + 1, ...

    Args:
        class_probabilities: of a class-conditional generator's labels, [label_dim].

    Raises:
        UsageError: a count or batch below 1, or class probabilities that do not fit.
    """
    if count < 1 or batch < 1:
        raise UsageError(f"expected samples and a batch of at least 1, got {count} and {batch}.")
    came = 0 if class_probabilities is None else len(class_probabilities)
    if came != generator.label_dim:
        raise UsageError(
            f"the generator has {generator.label_dim} classes, got {came} class probabilities."
        )
    labels = (
        None
        if class_probabilities is None
        else draw_class_labels(class_probabilities, count, seed=seed).to(generator.device)
    )
    for start in range(0, count, batch):
        stop = min(start + batch, count)
        _, synthesis = sample_images(
            generator,
            range(seed + start, seed + stop),
            Sampling(truncation_psi=1.0),
            class_labels=None if labels is None else labels[start:stop],
        )
        yield synthesis.to_uint8()


def measure_quality(
    generator: Generator,
    real: RealFeatures,
    *,
    num_samples: int = 2048,
    batch: int = 32,
    seed: int = 0,
    class_probabilities: Sequence[float] | None = None,
) -> QualityScores:
    """Score a generator's pictures against the photographs.

    Pictures are drawn without truncation and rounded to 8 bits first; one batch is held
    at a time. The same arguments draw the same samples, so snapshots differ in their
    weights alone.

    Args:
        real: see `read_real_features`.
        num_samples: pictures; scores of different numbers do not compare (FID).
        batch: pictures of a batch; has no influence on the scores but rounding.
        seed: of the first picture, and of KID's subsets.
        class_probabilities: of a class-conditional generator's labels, [label_dim]; the
            photographs' frequencies, as counts or shares.

    Raises:
        UsageError: fewer than 2 samples, `batch` < 1, or class probabilities that do not fit.
    """
    pictures = sample_pictures(
        generator, num_samples, batch=batch, seed=seed, class_probabilities=class_probabilities
    )
    fake = extract_features(real.network, (to_float(p) for p in pictures))
    kid = kernel_inception_distance(real.values, fake, seed=seed)
    return QualityScores(
        kid=kid.mean,
        kid_deviation=kid.deviation,
        fid=frechet_distance(real.values, fake),
        num_real=len(real.values),
        num_samples=num_samples,
        features=real.network.description,
    )
