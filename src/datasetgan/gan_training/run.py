"""A whole training run: a folder with snapshots that can be stopped and resumed at any time."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import torch

from datasetgan.checkpoints.generator_files import load_generator
from datasetgan.checkpoints.native import WeightCard
from datasetgan.choices import Symmetry
from datasetgan.errors import TrainingError
from datasetgan.gan_training.photos.images import TrainingImages
from datasetgan.gan_training.processes import ProcessGroup
from datasetgan.gan_training.quality import RealFeatures, build_feature_network, read_real_features
from datasetgan.gan_training.run_files import RunFiles, RunPlan, SnapshotRecord
from datasetgan.gan_training.settings import RunSettings, TrainingSettings
from datasetgan.gan_training.snapshots import measure_snapshot, write_neighbours
from datasetgan.gan_training.step_report import StepReport
from datasetgan.gan_training.trainer import GeneratorTrainer
from datasetgan.generators import Generator, GeneratorConfig, architecture_of, build_generator
from datasetgan.runtime import Runtime
from datasetgan.serialization import to_plain, write_atomic

__all__ = ["TrainingResult", "train_generator"]


@dataclass(frozen=True)
class TrainingResult:
    """What a finished run leaves.

    Attributes:
        checkpoint: the snapshot with the lowest KID, copied to where it was wanted.
        best: the record of that snapshot.
        snapshots: the records of all.
        memorised_share: share of 64 samples that are as near to a photograph as a copy.
        photograph_share: share of photographs that are as near to another one.
        neighbours: PNG of samples beside their nearest photographs.
    """

    checkpoint: Path
    best: SnapshotRecord
    snapshots: tuple[SnapshotRecord, ...]
    memorised_share: float
    photograph_share: float
    neighbours: Path


def train_generator(
    images: TrainingImages,
    out: Path,
    *,
    run: Path,
    network: GeneratorConfig | Path | str,
    settings: TrainingSettings,
    run_settings: RunSettings,
    runtime: Runtime,
    card: WeightCard,
    discriminator: Path | None = None,
    processes: ProcessGroup | None = None,
    on_step: Callable[[StepReport], None] | None = None,
    on_snapshot: Callable[[SnapshotRecord], None] | None = None,
    on_features: Callable[[int, int], None] | None = None,
) -> TrainingResult:
    """Train a generator from photographs, or go on where the run in the folder stopped.

    A continued run draws the same numbers as an uninterrupted one: at most the work since
    the last snapshot is lost, and done again.

    Args:
        images: the photographs.
        out: where the best snapshot goes at the end, a native checkpoint.
        run: the folder of the run; its files are named in `RunFiles`.
        network: the shape of a fresh generator, or the name or file of one to start from.
        settings: the recipe.
        run_settings: how long, and how often a snapshot is taken and scored.
        runtime: where it runs.
        card: title, licence and attribution of the result; the run adds what it did.
        discriminator: a training state to take the discriminator from; a fresh one otherwise.
        processes: that share every batch; the first one writes the files.
        on_step: called after every step.
        on_snapshot: called after every snapshot, with its scores.
        on_features: called before the first step, while the photographs' features are
            computed, with those done and their total.

    Raises:
        TrainingError: a loss or a weight is not finite; the message names the last snapshot.
        UsageError: the folder holds a run of other settings, networks or photographs.
        CheckpointError: the generator to start from, or the training state, does not load.
        StorageError: the disk is full; the last snapshot is whole.
    """
    processes = processes or ProcessGroup()
    files = RunFiles(run)
    generator = _build(network, settings.seed)
    plan = RunPlan(
        architecture=architecture_of(generator),
        network=to_plain(generator.config),
        settings=settings,
        data_digest=images.digest,
        start_digest=generator.digest or None,
    )
    if processes.is_first:
        files.check_plan(plan)
    trainer = GeneratorTrainer(
        generator,
        images,
        settings=settings,
        runtime=runtime,
        processes=processes,
        compile=run_settings.compile,
    )
    if files.state.exists():
        trainer.load_state(files.state)
    elif discriminator is not None:
        trainer.load_discriminator(discriminator)
    records = [r for r in files.read_records() if r.images_seen <= trainer.counters.images_seen]
    features: RealFeatures | None = None
    if processes.is_first:
        files.cut_log(trainer.counters.images_seen)
        network_of_scores = build_feature_network(
            run_settings.features, images.pixels, seed=settings.seed, runtime=runtime
        )
        features = read_real_features(
            images.pixels, network=network_of_scores, on_progress=on_features
        )

    began = monotonic()
    while trainer.counters.images_seen < run_settings.images:
        try:
            report = trainer.step()
        except TrainingError as error:
            raise TrainingError(f"{error} {_advice(files, records)}") from error
        if on_step is not None:
            on_step(report)
        seen, batch = report.images_seen, settings.batch
        last = seen >= run_settings.images
        if processes.is_first:
            files.log(report)
        if last or seen % run_settings.snapshot_images < batch:
            if features is not None:
                records.append(
                    _take_snapshot(
                        trainer,
                        files,
                        records,
                        report=report,
                        features=features,
                        plan=plan,
                        card=card,
                        num_samples=run_settings.num_samples,
                        seconds=monotonic() - began,
                    )
                )
                began = monotonic()
                if on_snapshot is not None:
                    on_snapshot(records[-1])
            processes.wait()
    return _finish(
        files,
        out,
        images=images,
        features=features,
        symmetry=settings.symmetry,
        runtime=runtime,
    )


def _build(network: GeneratorConfig | Path | str, seed: int) -> Generator:
    if isinstance(network, str | Path):
        return load_generator(network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_generator(network)


def _take_snapshot(
    trainer: GeneratorTrainer,
    files: RunFiles,
    earlier: list[SnapshotRecord],
    *,
    report: StepReport,
    features: RealFeatures,
    plan: RunPlan,
    card: WeightCard,
    num_samples: int,
    seconds: float,
) -> SnapshotRecord:
    """Score and write the running average; the training state comes last."""
    broken = [n for n, p in trainer.average.named_parameters() if not p.isfinite().all()]
    if broken:
        raise TrainingError(
            f"training diverged at {report.images_seen} images: {broken[0]} holds NaN or "
            f"infinite values. {_advice(files, earlier)}"
        )
    record = measure_snapshot(
        trainer.average,
        trainer.images,
        files=files,
        report=report,
        features=features,
        plan=plan,
        card=card,
        num_samples=num_samples,
        seconds=seconds,
    )
    files.flush_log()
    files.write_records([*earlier, record])
    trainer.save_state(files.state)
    return record


def _advice(files: RunFiles, records: list[SnapshotRecord]) -> str:
    if not records:
        return "There is no snapshot yet: start again with a smaller learning rate."
    last = files.generator(records[-1].images_seen)
    return (
        f"The last good snapshot is {last}. Go on from it in another run folder (--from) with a "
        "larger r1_gamma or a smaller learning rate."
    )


def _finish(
    files: RunFiles,
    out: Path,
    *,
    images: TrainingImages,
    features: RealFeatures | None,
    symmetry: Symmetry,
    runtime: Runtime,
) -> TrainingResult:
    records = files.read_records()
    # Scores over other features, of an earlier sitting, do not compare.
    comparable = [record for record in records if record.features == records[-1].features]
    best = min(comparable, key=lambda record: record.kid)
    if features is None:  # only the first process writes
        return TrainingResult(out, best, records, 0.0, 0.0, files.neighbours)
    source = files.generator(best.images_seen)
    generator = load_generator(source, runtime=runtime)
    neighbours = write_neighbours(
        generator, images, files=files, features=features, symmetry=symmetry
    )
    write_atomic(out, source.read_bytes())
    return TrainingResult(
        checkpoint=out,
        best=best,
        snapshots=records,
        memorised_share=neighbours.memorised_share,
        photograph_share=neighbours.photograph_share,
        neighbours=files.neighbours,
    )
