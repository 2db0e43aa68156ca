"""What a snapshot consists of: a checkpoint with its card, scores, pictures."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from datasetgan.checkpoints.generator_files import save_generator
from datasetgan.checkpoints.native import WeightCard
from datasetgan.choices import Symmetry
from datasetgan.gan_training.photos.images import TrainingImages
from datasetgan.gan_training.quality import (
    Neighbours,
    RealFeatures,
    aligned_photographs,
    measure_quality,
    nearest_photographs,
    sample_pictures,
)
from datasetgan.gan_training.run_files import RunFiles, RunPlan, SnapshotRecord
from datasetgan.gan_training.sheets import write_neighbour_sheet, write_sheet
from datasetgan.gan_training.step_report import StepReport
from datasetgan.generators import ARCHITECTURES, Generator

__all__ = ["measure_snapshot", "write_neighbours"]

_SHEET = 64  # pictures of a sheet, eight by eight


def measure_snapshot(
    average: Generator,
    images: TrainingImages,
    *,
    files: RunFiles,
    report: StepReport,
    features: RealFeatures,
    plan: RunPlan,
    card: WeightCard,
    num_samples: int,
    seconds: float,
) -> SnapshotRecord:
    """Score the running average, write it as a native checkpoint, and 64 samples as a sheet.

    Args:
        average: the running average of the generator's weights.
        card: title, licence and attribution; data, settings and scores are added.
        seconds: since the snapshot before.

    Raises:
        StorageError: the disk is full or the place cannot be written.
    """
    scores = measure_quality(
        average, features, num_samples=num_samples, class_probabilities=_class_counts(images)
    )
    record = SnapshotRecord(
        images_seen=report.images_seen,
        kid=scores.kid,
        kid_deviation=scores.kid_deviation,
        fid=scores.fid,
        features=scores.features,
        num_samples=scores.num_samples,
        seconds=round(seconds, 1),
    )
    s = plan.settings
    own = replace(
        card,
        data=f"{len(images.pixels)} photographs at {average.resolution} px, "
        f"sha256 of their pixels {images.digest}",
        paper=ARCHITECTURES[plan.architecture].paper.citation,
        settings=", ".join(f"{key}={value}" for key, value in vars(s).items()),
        images_seen=report.images_seen,
        scores={"kid": scores.kid, "kid_deviation": scores.kid_deviation, "fid": scores.fid},
        notes=" ".join(
            part for part in (card.notes, f"KID and FID over {scores.features}.") if part
        ),
    )
    save_generator(files.generator(report.images_seen), average, card=own)
    write_sheet(files.samples(report.images_seen), _samples(average, images), columns=8, zoom=2)
    return record


def write_neighbours(
    generator: Generator,
    images: TrainingImages,
    *,
    files: RunFiles,
    features: RealFeatures,
    symmetry: Symmetry,
) -> Neighbours:
    """Write 64 samples beside their nearest photographs, and return how near they are.

    Args:
        symmetry: a photograph may be turned as in training to be near.
    """
    samples = _samples(generator, images)
    neighbours = nearest_photographs(samples, images.pixels, real=features, symmetry=symmetry)
    write_neighbour_sheet(
        files.neighbours, samples, aligned_photographs(neighbours, images.pixels), columns=4, zoom=2
    )
    return neighbours


def _samples(generator: Generator, images: TrainingImages) -> NDArray[np.uint8]:
    batches = sample_pictures(generator, _SHEET, class_probabilities=_class_counts(images))
    return np.concatenate(list(batches))


def _class_counts(images: TrainingImages) -> list[float] | None:
    if images.class_ids is None:
        return None
    counts = np.bincount(images.class_ids, minlength=images.num_classes)
    return [float(count) for count in counts]
