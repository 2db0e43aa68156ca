"""A new project folder: all of it or nothing."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from datasetgan import assets
from datasetgan.checkpoints.generator_files import (
    is_foreign_file,
    load_generator,
    locate_generator,
)
from datasetgan.checkpoints.import_checkpoint import ImportReport, import_checkpoint
from datasetgan.checkpoints.native import WeightCard
from datasetgan.encoders import Encoder, save_encoder
from datasetgan.errors import ProjectError, UsageError
from datasetgan.generators import Generator
from datasetgan.keypoints import KeypointSchema
from datasetgan.project.layout import ProjectLayout
from datasetgan.project.photos import copy_photos
from datasetgan.project.settings import (
    FORMAT,
    PHOTO_FORMAT,
    KeypointTable,
    PhotoTable,
    ProjectSettings,
    SamplingSettings,
    SettingsTable,
    settings_text,
)
from datasetgan.serialization import atomic_file, sha256_of_file, storage_errors, write_atomic
from datasetgan.taxonomy import ClassTaxonomy

__all__ = ["check_vacant", "create_photo_project", "create_project"]

_TEMPLATES = Path(__file__).parent / "templates"


def create_project(
    folder: Path,
    *,
    name: str,
    generator: str | Path,
    taxonomy: ClassTaxonomy,
    sampling: SamplingSettings,
    keypoints: KeypointSchema | None = None,
    stages: Mapping[SettingsTable, object] | None = None,
    mean_latent: Path | None = None,
    licence: str | None = None,
    on_import: Callable[[ImportReport], None] | None = None,
) -> ProjectSettings:
    """Write a new project; the arguments and errors are those of `Project.create`."""
    layout = ProjectLayout(folder)
    check_vacant(folder)
    source = locate_generator(generator)
    embedded = str(generator) in assets.embedded_generators()
    foreign = is_foreign_file(source)
    if not foreign and (mean_latent is not None or licence is not None):
        raise UsageError(
            f"{source} is a native checkpoint with a card of its own: a mean latent and a "
            "licence are stated when a file of another project is imported."
        )
    report = None
    with _new_folder(folder):
        if foreign:
            report = import_checkpoint(
                source, layout.generator, mean_latent=mean_latent, licence=licence
            )
        # Loaded in full, so that a generator that does not work is refused now.
        loaded = load_generator(layout.generator if foreign else source)
        _check_generator(loaded, source)
        settings = ProjectSettings(
            format=FORMAT,
            name=name,
            generator=str(generator) if embedded else layout.generator.name,
            generator_sha256=loaded.digest,
            taxonomy=taxonomy,
            sampling=sampling,
            keypoints=None if keypoints is None else KeypointTable(keypoints.names),
        )
        if not embedded and not foreign:
            with source.open("rb") as original, atomic_file(layout.generator) as copy:
                shutil.copyfileobj(original, copy)
        _write_texts(layout, settings, stages, readme="README.md")
    if report is not None and on_import is not None:
        on_import(report)
    return settings


def create_photo_project(
    folder: Path,
    *,
    name: str,
    encoder: Encoder,
    card: WeightCard,
    photos: Path,
    taxonomy: ClassTaxonomy,
    stages: Mapping[SettingsTable, object] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> ProjectSettings:
    """Write a new project of photos.

    Args:
        folder: must not exist or be empty (but for ``.git``).
        name: one line of text.
        encoder: reads the photos; it is written into the project.
        card: of the encoder.
        photos: a folder; its photos are copied into the project as PNG, to paint on.
        taxonomy: the classes to paint.
        stages: see `settings_text`.
        on_progress: called after every photo with the number done and the total.

    Raises:
        ProjectError: the folder exists and is not empty.
        DatasetError: there are no photos, or one cannot be read.
        UsageError: a name of more than one line.
        StorageError: the disk is full or the place cannot be written.
    """
    layout = ProjectLayout(folder)
    check_vacant(folder)
    with _new_folder(folder):
        save_encoder(layout.encoder, encoder, card=card)
        table = PhotoTable(layout.encoder.name, sha256_of_file(layout.encoder))
        settings = ProjectSettings(format=PHOTO_FORMAT, name=name, taxonomy=taxonomy, photos=table)
        copy_photos(layout, photos, on_progress=on_progress)
        _write_texts(layout, settings, stages, readme="README-photos.md")
    return settings


def _write_texts(
    layout: ProjectLayout,
    settings: ProjectSettings,
    stages: Mapping[SettingsTable, object] | None,
    *,
    readme: str,
) -> None:
    write_atomic(layout.gitignore, (_TEMPLATES / "gitignore.txt").read_bytes())
    text = (_TEMPLATES / readme).read_text("utf-8")
    text = text.replace("{generator}", settings.generator).replace("{name}", settings.name)
    write_atomic(layout.readme, text.encode())
    # Last: a folder with settings is a whole project.
    write_atomic(layout.settings, settings_text(settings, stages).encode())


def _check_generator(generator: Generator, source: Path) -> None:
    if generator.label_dim:
        raise UsageError(
            f"{source} is class-conditional ({generator.label_dim} labels), "
            "which projects cannot hold yet. Choose an unconditional generator."
        )
    if generator.image_channels not in (1, 3):
        raise UsageError(
            f"{source} makes images of {generator.image_channels} channels; "
            "a project needs grey or RGB ones."
        )


def check_vacant(folder: Path) -> None:
    """Raise `ProjectError` unless a new project can be made here."""
    if folder.is_dir():
        if children := _children(folder):
            raise ProjectError(
                f"{folder} exists and is not empty (it holds {children[0].name}). "
                "Choose another folder for the new project."
            )
    elif folder.exists():
        raise ProjectError(f"{folder} is a file. Choose another folder for the new project.")


def _children(folder: Path) -> list[Path]:
    # `git init` before `datasetgan new` is as good as after it.
    return sorted(path for path in folder.iterdir() if path.name != ".git")


@contextmanager
def _new_folder(folder: Path) -> Iterator[None]:
    """Make a folder; if the block fails, take away everything that was not there before."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for path in missing[-1:] or _children(folder):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        raise
