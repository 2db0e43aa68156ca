"""Generators from and to native checkpoints, and by the names of the embedded ones."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from datasetgan import assets
from datasetgan.checkpoints.native import (
    FORMAT,
    WeightCard,
    load_into,
    read_checkpoint,
    write_checkpoint,
)
from datasetgan.errors import CheckpointError, unknown_name
from datasetgan.generators import ARCHITECTURES, Generator, architecture_of
from datasetgan.runtime import Runtime

__all__ = [
    "is_foreign_file",
    "load_generator",
    "locate_generator",
    "save_generator",
]


def locate_generator(name_or_path: str | Path) -> Path:
    """Return the checkpoint of an embedded generator's name, or the path itself.

    Raises:
        CheckpointError: it is neither an embedded name nor a file.
    """
    embedded = assets.embedded_generators()
    if str(name_or_path) in embedded:
        return embedded[str(name_or_path)]
    path = Path(name_or_path)
    if not path.is_file():
        hint = unknown_name("generator", str(name_or_path), embedded)
        raise CheckpointError(f"{hint} Or give the path of a .safetensors checkpoint.")
    return path


def is_foreign_file(name_or_path: str | Path) -> bool:
    """Whether this is a file that has to be imported: neither embedded nor native."""
    path = Path(name_or_path)
    if str(name_or_path) in assets.embedded_generators() or not path.is_file():
        return False
    try:
        with safe_open(path, "pt") as file:
            return bool((file.metadata() or {}).get("format") != FORMAT)
    except (SafetensorError, OSError):
        return True


def load_generator(name_or_path: str | Path, *, runtime: Runtime | None = None) -> Generator:
    """Load a generator by the name of an embedded one (``"wbc"``) or from a native checkpoint.

    Args:
        runtime: where it runs and in which precision; the CPU in float32 by default.

    Returns:
        The generator, frozen, its weights placed; `digest` names the file's content.

    Raises:
        CheckpointError: no such generator, or the file is truncated, of another kind
            or does not fit its configuration; every difference is listed.
    """
    checkpoint = read_checkpoint(locate_generator(name_or_path), kind="generator")
    if checkpoint.architecture not in ARCHITECTURES:
        message = unknown_name("architecture", checkpoint.architecture, ARCHITECTURES)
        raise CheckpointError(f"{checkpoint.path}: {message}")
    architecture = ARCHITECTURES[checkpoint.architecture]
    generator = architecture.network(checkpoint.config_as(architecture.config))
    load_into(generator, checkpoint.tensors, source=str(checkpoint.path))
    generator.digest = checkpoint.sha256
    return generator.place(runtime or Runtime())


def save_generator(path: Path, generator: Generator, *, card: WeightCard) -> None:
    """Write a generator as a native checkpoint, atomically.

    Raises:
        StorageError: the disk is full or the place cannot be written.
    """
    write_checkpoint(
        path,
        generator.state_dict(),
        kind="generator",
        architecture=architecture_of(generator),
        config=generator.config,
        card=card,
    )
