"""`train-generator`: a StyleGAN2 from the user's own photographs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datasetgan.cli.console import progress_bar, say
from datasetgan.cli.options import Device, Threads
from datasetgan.errors import UsageError

if TYPE_CHECKING:
    from datasetgan.gan_training import SnapshotRecord, StepReport, TrainingImages, TrainingResult

__all__ = ["register"]

_MAX_LISTED = 5


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("train-generator")(train_generator)


def train_generator(
    photos: Annotated[Path, typer.Argument(help="Folder or zip of photographs.")],
    out: Annotated[Path, typer.Option(help="Where the generator goes, a .safetensors file.")],
    resolution: Annotated[
        int | None,
        typer.Option(help="Side of the pictures, a power of two; that of --from by default."),
    ] = None,
    images: Annotated[
        int, typer.Option(help="Photographs drawn in all, with repetition.")
    ] = 1_000_000,
    network: Annotated[
        str,
        typer.Option(
            help="small (for CPUs), standard (one GPU), paper (config F); auto: by the device."
        ),
    ] = "auto",
    start: Annotated[
        str | None,
        typer.Option("--from", help="Go on from this generator: an embedded name or a file."),
    ] = None,
    discriminator: Annotated[
        Path | None,
        typer.Option(
            help="With --from: a training-state.safetensors whose discriminator is restored; "
            "a fresh one by default."
        ),
    ] = None,
    crop: Annotated[str, typer.Option(help="center: cut the square; resize: squash to it.")] = (
        "center"
    ),
    labels: Annotated[
        str, typer.Option(help="Class labels: none, folders, or file (dataset.json).")
    ] = "none",
    symmetry: Annotated[
        str, typer.Option(help="Photographs may be mirrored (flip) or turned too (dihedral).")
    ] = "none",
    augment: Annotated[str, typer.Option(help="Adaptive augmentation: ada or none.")] = "ada",
    batch: Annotated[int, typer.Option(help="Photographs of one step.")] = 32,
    accumulate: Annotated[
        int, typer.Option(help="Rounds per step; more rounds take less memory.")
    ] = 1,
    learning_rate: Annotated[float, typer.Option(help="Of both networks.")] = 0.002,
    r1_gamma: Annotated[float, typer.Option(help="Weight of the gradient penalty.")] = 0.5,
    path_length_weight: Annotated[
        float, typer.Option(help="Of the path-length penalty; the paper takes 2.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    run: Annotated[
        Path | None, typer.Option(help="Folder of the run; beside the output by default.")
    ] = None,
    snapshot_images: Annotated[
        int, typer.Option(help="Photographs between two snapshots.")
    ] = 50_000,
    features: Annotated[
        str,
        typer.Option(
            help="Features of KID and FID: random, self-supervised, or package.module:function."
        ),
    ] = "random",
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write TensorBoard events too.")
    ] = False,
    compile: Annotated[
        str, typer.Option(help="torch.compile: auto (on CUDA only), on, off.")
    ] = "auto",
    title: Annotated[str | None, typer.Option(help="For the weight card.")] = None,
    licence: Annotated[
        str, typer.Option("--license", "--licence", help="Of the weights, for the card.")
    ] = "unknown",
    attribution: Annotated[
        str | None, typer.Option(help="Of the photographs, for the card.")
    ] = None,
    device: Device = "auto",
    precision: Annotated[
        str, typer.Option(help="auto (bfloat16 where it is fast), float32, bfloat16, float16.")
    ] = "auto",
    threads: Threads = None,
) -> None:
    """Train a generator from photographs.

    Interrupt it at any time; the same command goes on from the last snapshot. With more
    photographs to draw (--images) a finished run goes on too. The best snapshot, the one with
    the lowest KID, becomes the result.
    """
    from datasetgan.checkpoints.generator_files import load_generator
    from datasetgan.checkpoints.native import WeightCard
    from datasetgan.gan_training import (
        RunFiles,
        RunSettings,
        TrainingSettings,
        join_processes,
        network_config,
        read_training_images,
    )
    from datasetgan.gan_training import train_generator as train
    from datasetgan.runtime import resolve_runtime, training_precision

    if discriminator is not None and start is None:
        raise UsageError("--discriminator goes with --from: a fresh generator has no use for it.")
    folder = run or out.with_name(out.stem + "-training")
    processes, device = join_processes(device)
    runtime = resolve_runtime(device, threads=threads)
    if precision == "auto":
        precision = training_precision(runtime.device)
    runtime = resolve_runtime(runtime.device, precision=precision, threads=threads)
    if network == "auto":
        network = "small" if runtime.torch_device.type == "cpu" else "standard"
    settings = TrainingSettings(
        batch=batch,
        accumulate=accumulate,
        learning_rate=learning_rate,
        r1_gamma=r1_gamma,
        path_length_weight=path_length_weight,
        symmetry=symmetry,  # type: ignore[arg-type]
        augment=augment,  # type: ignore[arg-type]
        discriminator_warmup=250 if start is not None and discriminator is None else 0,
        seed=seed,
    )
    run_settings = RunSettings(
        images=images,
        snapshot_images=snapshot_images,
        features=features,
        compile=compile,  # type: ignore[arg-type]
    )
    if resolution is None:
        if start is None:
            raise UsageError("--resolution is needed: the side of the pictures, for instance 128.")
        resolution = load_generator(start).resolution
    if start is None:  # a wrong size or name is said before the photographs are read
        network_config(network, resolution=resolution)  # type: ignore[arg-type]

    if not processes.is_first:
        processes.wait()  # the first process crops the photographs for all
    with progress_bar("Reading the photographs") as advance:
        photographs = read_training_images(
            photos,
            resolution=resolution,
            cache=folder,
            crop=crop,  # type: ignore[arg-type]
            labels=labels,  # type: ignore[arg-type]
            on_progress=lambda done, total: advance(done, total, ""),
        )
    if processes.is_first:
        processes.wait()
        _print_photographs(photographs, resolution)
        what = f"a {network} StyleGAN2" if start is None else start
        say(
            f"Training {what} on {runtime.device} in {runtime.precision}; the run lies in {folder}."
        )

    first = start or network_config(
        network,  # type: ignore[arg-type]
        resolution=resolution,
        num_classes=photographs.num_classes,
    )
    board = None
    if tensorboard and processes.is_first:
        from datasetgan.gan_training.tensorboard import TensorBoardLog

        board = TensorBoardLog(RunFiles(folder))
    with progress_bar("Training the generator") as advance:

        def on_step(report: "StepReport") -> None:
            advance(report.images_seen, images, _note(report))
            if board is not None:
                board.add_step(report)

        def on_snapshot(record: "SnapshotRecord") -> None:
            say(
                f"{record.images_seen:,} images: KID {1000 * record.kid:.2f} +- "
                f"{1000 * record.kid_deviation:.2f} thousandths, FID {record.fid:.2f}"
            )
            if board is not None:
                board.add_snapshot(record)

        result = train(
            photographs,
            out,
            run=folder,
            network=first,
            settings=settings,
            run_settings=run_settings,
            runtime=runtime,
            card=WeightCard(
                title=title or f"A generator of {photos.name}, {resolution} px, StyleGAN2",
                licence=licence,
                attribution=attribution,
                source="trained with datasetgan train-generator",
            ),
            discriminator=discriminator,
            processes=processes,
            on_step=on_step,
            on_snapshot=on_snapshot,
            on_features=lambda done, total: advance(done, total, "features of the photographs"),
        )
    if board is not None:
        board.close()
    if processes.is_first:
        _print_result(result, RunFiles(folder).neighbours)


def _note(report: "StepReport") -> str:
    return (
        f"{report.images_per_second:.1f} img/s  G {report.generator_loss:.2f}  "
        f"D {report.discriminator_loss:.2f}  R1 {report.r1:.3f}  "
        f"sign {report.real_sign:+.2f}  ada {report.augment_probability:.3f}"
    )


def _print_photographs(photographs: "TrainingImages", resolution: int) -> None:
    classes = f" of {photographs.num_classes} classes" if photographs.num_classes else ""
    say(f"{len(photographs.pixels):,} photographs{classes} at {resolution} px.")
    if photographs.skipped:
        say(f"{len(photographs.skipped)} files were skipped:", style="yellow")
        for line in photographs.skipped[:_MAX_LISTED]:
            say(f"  {line}")
        if len(photographs.skipped) > _MAX_LISTED:
            say(f"  and {len(photographs.skipped) - _MAX_LISTED} more")


def _print_result(result: "TrainingResult", sheet: Path) -> None:
    say(
        f"The best of {len(result.snapshots)} snapshots (KID {1000 * result.best.kid:.2f} "
        f"thousandths at {result.best.images_seen:,} images, over {result.best.features}) "
        f"lies in {result.checkpoint}."
    )
    say(
        f"{100 * result.memorised_share:.0f} % of 64 samples are as near to a photograph as a "
        f"copy; so are {100 * result.photograph_share:.0f} % of the photographs to another one. "
        f"Look at them side by side: {sheet}"
    )
    say(f"Next: datasetgan new PROJECT --generator {result.checkpoint}")
