"""Generators: imported from other projects, or trained from photographs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from datasetgan.checkpoints.generator_files import load_generator
from datasetgan.checkpoints.import_checkpoint import ImportReport, import_checkpoint
from datasetgan.checkpoints.native import WeightCard, read_checkpoint
from datasetgan.choices import Crop, LabelSource, NetworkOption, PrecisionOption
from datasetgan.errors import CheckpointError, UsageError
from datasetgan.gan_training import (
    RunFiles,
    SnapshotRecord,
    StepReport,
    TrainingResult,
    join_processes,
    network_config,
    read_training_images,
    read_training_settings,
    train_generator,
)
from datasetgan.gan_training.tensorboard import TensorBoardLog
from datasetgan.pipeline.events import Note, OnEvent, Result, progress
from datasetgan.runtime import resolve_runtime, training_precision
from datasetgan.serialization import sha256_of_file

__all__ = ["import_generator", "train_generator_from_photos"]


def import_generator(
    file: str | Path,
    out: str | Path,
    *,
    layout: str = "auto",
    config: Mapping[str, Any] | None = None,
    mean_latent: str | Path | None = None,
    licence: str | None = None,
    network: str | None = None,
    render: str | Path | None = None,
    on_event: OnEvent | None = None,
) -> ImportReport:
    """Convert a StyleGAN checkpoint of another project; nothing in it is run.

    A file in the way of `out` is replaced only if it was imported from the same file.
    The arguments are those of `import_checkpoint`.

    Args:
        on_event: told the progress.

    Raises:
        UsageError: `out` is another file's.
        DatasetGANError: see `import_checkpoint`.
    """
    file, out = Path(file), Path(out)
    _check_place(file, out)
    with progress(on_event, "Importing the generator"):
        return import_checkpoint(
            file,
            out,
            layout=layout,
            config=config,
            mean_latent=None if mean_latent is None else Path(mean_latent),
            licence=licence,
            network=network,
            render=None if render is None else Path(render),
        )


def _check_place(source: Path, out: Path) -> None:
    """Raise `UsageError` if another file than an earlier import of this one is in the way."""
    if not out.exists() or not source.is_file() or out.resolve() == source.resolve():
        return  # nothing in the way, or refused by the import itself
    try:
        earlier = read_checkpoint(out, kind="generator").card.source_sha256
    except (CheckpointError, OSError):
        earlier = None
    if earlier != sha256_of_file(source):
        raise UsageError(
            f"{out} exists and is no import of {source}. Choose another name, or remove it first."
        )


def train_generator_from_photos(
    photos: str | Path,
    out: str | Path,
    *,
    resolution: int | None = None,
    network: NetworkOption = "auto",
    start: str | Path | None = None,
    discriminator: str | Path | None = None,
    crop: Crop = "center",
    labels: LabelSource = "none",
    config: str | Path | None = None,
    settings: Mapping[str, object] | None = None,
    run: str | Path | None = None,
    tensorboard: Literal["on", "off"] = "off",
    title: str | None = None,
    licence: str = "unknown",
    attribution: str | None = None,
    device: str = "auto",
    precision: PrecisionOption = "auto",
    threads: int | None = None,
    on_event: OnEvent | None = None,
) -> TrainingResult:
    """Train a generator from a folder or zip of photographs, or go on where the run stopped.

    Args:
        photos: folder or zip.
        out: where the best snapshot goes, a native checkpoint.
        resolution: side of the pictures, a power of two; that of `start` by default.
        network: its size; by the device where ``"auto"``: small on a CPU, else standard.
        start: go on from this generator, an embedded name or a file.
        discriminator: with `start`: a training state whose discriminator is restored.
        crop: how a photograph becomes square.
        labels: where class labels come from.
        config: TOML file of fields of `TrainingSettings` and `RunSettings`.
        settings: such fields by name, which win; None leaves one as it is.
        run: folder of the run; beside the output by default.
        tensorboard: whether TensorBoard's events are written too.
        title: for the weight card; made up from the photographs' name by default.
        licence: of the weights, for the card.
        attribution: of the photographs, for the card.
        device: ``"auto"``, or a PyTorch device name.
        precision: of activations; ``"auto"``: bfloat16 where it is fast.
        threads: CPU threads; all by default.
        on_event: told the progress, and `Result`s with the `TrainingImages` and every
            `SnapshotRecord`. Of several processes each tells its own progress.

    Raises:
        UsageError: neither resolution nor start, or a discriminator without start.
        DatasetGANError: see `read_training_images` and `train_generator`.
    """
    if discriminator is not None and start is None:
        raise UsageError("--discriminator goes with --from: a fresh generator has no use for it.")
    out, name = Path(out), Path(photos).name
    folder = out.with_name(out.stem + "-training") if run is None else Path(run)
    processes, device = join_processes(device)
    runtime = resolve_runtime(device, threads=threads)
    if precision == "auto":
        precision = training_precision(runtime.device)
    runtime = resolve_runtime(runtime.device, precision=precision, threads=threads)
    size = network
    if size == "auto":
        size = "small" if runtime.torch_device.type == "cpu" else "standard"
    training, run_settings = read_training_settings(
        config, overrides=settings, start=start, discriminator=discriminator
    )
    if resolution is None:
        if start is None:
            raise UsageError("--resolution is needed: the side of the pictures, for instance 128.")
        resolution = load_generator(start).resolution
    if start is None:  # a wrong size or name is said before the photographs are read
        network_config(size, resolution=resolution)

    if not processes.is_first:
        processes.wait()  # the first process crops the photographs for all
    with progress(on_event, "Reading the photographs") as advance:
        images = read_training_images(
            Path(photos),
            resolution=resolution,
            cache=folder,
            crop=crop,
            labels=labels,
            on_progress=lambda done, total: advance(done, total, ""),
        )
    tell = on_event if on_event is not None and processes.is_first else _silence
    if processes.is_first:
        processes.wait()
    tell(Result(images))
    what = f"a {size} StyleGAN2" if start is None else str(start)
    tell(Note(f"Training {what} on {runtime.device} in {runtime.precision}; the run: {folder}."))
    first = (
        network_config(size, resolution=resolution, num_classes=images.num_classes)
        if start is None
        else str(start)
    )
    board = TensorBoardLog(RunFiles(folder)) if tensorboard == "on" and processes.is_first else None
    with progress(on_event, "Training the generator") as advance:

        def on_step(report: StepReport) -> None:
            advance(report.images_seen, run_settings.images, _summary(report))
            if board is not None:
                board.add_step(report)

        def on_snapshot(record: SnapshotRecord) -> None:
            tell(Result(record))
            if board is not None:
                board.add_snapshot(record)

        result = train_generator(
            images,
            out,
            run=folder,
            network=first,
            settings=training,
            run_settings=run_settings,
            runtime=runtime,
            card=WeightCard(
                title=title or f"A generator of {name}, {resolution} px, StyleGAN2",
                licence=licence,
                attribution=attribution,
                source="trained with datasetgan train-generator",
            ),
            discriminator=None if discriminator is None else Path(discriminator),
            processes=processes,
            on_step=on_step,
            on_snapshot=on_snapshot,
            on_features=lambda done, total: advance(done, total, "features of the photographs"),
        )
    if board is not None:
        board.close()
    if processes.is_first:
        tell(Result(result))
    return result


def _silence(_event: object) -> None:
    pass


def _summary(report: StepReport) -> str:
    return (
        f"{report.images_per_second:.1f} img/s  G {report.generator_loss:.2f}  "
        f"D {report.discriminator_loss:.2f}  R1 {report.r1:.3f}  "
        f"sign {report.real_sign:+.2f}  ada {report.augment_probability:.3f}"
    )
