"""What a project's features come from: its generator, or the network that reads its photos."""

from pathlib import Path

from datasetgan import assets
from datasetgan.checkpoints.generator_files import load_generator
from datasetgan.encoders import PhotoSource, load_encoder
from datasetgan.errors import ProjectError, unknown_name
from datasetgan.features.source import FeatureSource
from datasetgan.generators import Generator
from datasetgan.project.layout import ProjectLayout
from datasetgan.project.samples import Synthesizer
from datasetgan.project.settings import PhotoTable, ProjectSettings, is_generator_file
from datasetgan.runtime import Runtime
from datasetgan.serialization import sha256_of_file

__all__ = ["check_source", "generator_file", "load_source", "own_source", "photo_table"]


def generator_file(layout: ProjectLayout, settings: ProjectSettings) -> Path:
    """Return the generator's checkpoint.

    Raises:
        ProjectError: the project has photos, or the embedded generators hold none of its name.
    """
    if settings.photos is not None:
        raise ProjectError(
            f"{layout.folder} is a project of photos: it has no generator, and nothing that could "
            f"be drawn. Label its photos with `datasetgan label {layout.folder}`."
        )
    if is_generator_file(settings.generator):
        return layout.folder / settings.generator
    embedded = assets.embedded_generators()
    if settings.generator not in embedded:
        message = unknown_name("embedded generator", settings.generator, embedded)
        raise ProjectError(
            f"{layout.settings}: {message} "
            "Install the version of DatasetGAN that the project was made with."
        )
    return embedded[settings.generator]


def photo_table(layout: ProjectLayout, settings: ProjectSettings) -> PhotoTable:
    """Return what reads the project's photos.

    Raises:
        ProjectError: the project has a generator.
    """
    if settings.photos is None:
        raise ProjectError(
            f"{layout.folder} has a generator, and no photos. Label what it draws with "
            f"`datasetgan generate {layout.folder}`; a project of photos is made with "
            "`datasetgan new --source timm:NAME --photos FOLDER`."
        )
    return settings.photos


def check_source(layout: ProjectLayout, settings: ProjectSettings) -> None:
    """Raise `ProjectError` unless the network that the project was made with is there."""
    if settings.photos is None:
        what, path = "generator", generator_file(layout, settings)
        wanted = settings.generator_sha256
    else:
        what, path = "encoder", layout.folder / settings.photos.encoder
        wanted = settings.photos.encoder_sha256
    if not path.is_file():
        raise ProjectError(
            f"{path} is missing. Copy it from where the project was made (sha256 {wanted})."
        )
    if (found := sha256_of_file(path)) != wanted:
        raise ProjectError(
            f"{path} is another {what} than the project was made with (sha256 {found}, "
            f"{layout.settings} names {wanted}): painted label maps would not fit its "
            "images. Put the former file back, or make a new project."
        )


def load_source(
    layout: ProjectLayout, settings: ProjectSettings, runtime: Runtime | None
) -> FeatureSource:
    """Load the source of the features of what is painted.

    Raises:
        CheckpointError: its file is damaged.
    """
    if settings.photos is not None:
        encoder = load_encoder(layout.folder / settings.photos.encoder, runtime=runtime)
        return PhotoSource(encoder, layout.folder)
    generator = load_generator(generator_file(layout, settings), runtime=runtime)
    return Synthesizer(layout, generator)


def own_source(
    layout: ProjectLayout, settings: ProjectSettings, network: Generator | FeatureSource
) -> FeatureSource:
    """Return the source that a network is for the project's samples.

    Raises:
        ProjectError: the project was made with another network.
    """
    wanted = settings.generator_sha256
    if settings.photos is not None:
        wanted = settings.photos.encoder_sha256
    if network.digest != wanted:
        raise ProjectError(
            f"{layout.folder} was made with the generator {wanted[:12]}, not with "
            f"{network.digest[:12]}. Take that of `Project.load_generator`."
            if settings.photos is None
            else f"{layout.folder} was made with the encoder {wanted[:12]}, not with "
            f"{network.digest[:12]}. Take that of `Project.load_source`."
        )
    return Synthesizer(layout, network) if isinstance(network, Generator) else network
