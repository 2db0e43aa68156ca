"""The checkpoint of a project's generator: where it lies, and whether it is still the same."""

from pathlib import Path

from datasetgan import assets
from datasetgan.errors import ProjectError, unknown_name
from datasetgan.project.layout import ProjectLayout
from datasetgan.project.settings import ProjectSettings, is_generator_file
from datasetgan.serialization import sha256_of_file

__all__ = ["check_generator", "find_generator"]


def find_generator(layout: ProjectLayout, settings: ProjectSettings) -> Path:
    """Return where the generator lies.

    Raises:
        ProjectError: the embedded generators hold none of its name.
    """
    name = settings.generator
    if is_generator_file(name):
        return layout.folder / name
    embedded = assets.embedded_generators()
    if name not in embedded:
        raise ProjectError(
            f"{layout.settings}: {unknown_name('embedded generator', name, embedded)} "
            "Install the version of DatasetGAN that the project was made with."
        )
    return embedded[name]


def check_generator(layout: ProjectLayout, settings: ProjectSettings) -> None:
    """Check that the generator is the one that the project was made with.

    Raises:
        ProjectError: it is missing, or another one.
    """
    path, wanted = find_generator(layout, settings), settings.generator_sha256
    if not path.is_file():
        raise ProjectError(
            f"{path} is missing. Copy it from where the project was made (sha256 {wanted})."
        )
    if (found := sha256_of_file(path)) != wanted:
        raise ProjectError(
            f"{path} is another generator than the project was made with (sha256 {found}, "
            f"{layout.settings} names {wanted}): painted label maps would not fit its "
            "images. Put the former file back, or make a new project."
        )
