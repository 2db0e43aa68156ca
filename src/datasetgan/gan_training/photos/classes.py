"""Classes of photographs: from the folders that they lie in, or from StyleGAN's index file."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from datasetgan.choices import LabelSource
from datasetgan.errors import DatasetError, UsageError, listed, unknown_name
from datasetgan.gan_training.photos.files import INDEX_NAME, PhotoSource, printable

__all__ = ["PhotoClasses", "check_every_class_is_used", "read_classes"]

_MAX_LISTED = 3


@dataclass(frozen=True)
class PhotoClasses:
    """The class of every photograph.

    Attributes:
        names: of the classes, in the order of ids.
        id_of: class id, 0 to K - 1, by name of the file.
    """

    names: tuple[str, ...]
    id_of: dict[str, int]


def read_classes(photos: PhotoSource, labels: LabelSource) -> PhotoClasses | None:
    """Find the class of every photograph; None where they have none.

    ``"folders"``: the first folder below the source, in the order of names. ``"file"``:
    `INDEX_NAME` at the top of the source, ``{"labels": [[file, class id], ...]}``.

    Raises:
        UsageError: the label source is unknown.
        DatasetError: a photograph has no class, there are fewer than two classes, a
            class id is not used, or the index is missing or malformed.
    """
    if labels == "none" or (not photos.photos and labels in get_args(LabelSource)):
        return None
    if labels == "folders":
        folder_of = _folders(photos)
        ids = {folder: i for i, folder in enumerate(sorted(set(folder_of.values())))}
        id_of = {name: ids[folder] for name, folder in folder_of.items()}
        names = tuple(map(printable, ids))
    elif labels == "file":
        id_of = _ids(photos)
        names = tuple(map(str, _check_ids(photos.path, id_of.values())))
    else:
        raise UsageError(unknown_name("label source", labels, get_args(LabelSource)))
    if len(names) < 2:
        raise DatasetError(
            f"all photographs of {photos.path} are of the one class {names[0]!r}. Class labels "
            "need at least two classes: choose labels 'none', or give the folder that holds "
            "one folder per class."
        )
    return PhotoClasses(names, id_of)


def check_every_class_is_used(source: Path, classes: PhotoClasses, used: Iterable[int]) -> None:
    """Check that skipping photographs emptied no class.

    Args:
        used: class ids of the photographs that are left.

    Raises:
        DatasetError: names the classes without a photograph.
    """
    empty = sorted(set(range(len(classes.names))) - set(used))
    if empty:
        raise DatasetError(
            f"{source}: none of the photographs of {_shown([classes.names[i] for i in empty])} "
            "is usable. Mend them, or leave the class out."
        )


def _folders(photos: PhotoSource) -> dict[str, str]:
    names = [entry.name for entry in photos.photos]
    top = [name for name in names if "/" not in name]
    if top:
        raise DatasetError(
            f"{photos.path} holds {len(top)} photographs outside of the class folders: "
            f"{_shown(top)}. Move them into a folder of their class, or choose labels 'none'."
        )
    return {name: name.split("/", 1)[0] for name in names}


def _ids(photos: PhotoSource) -> dict[str, int]:
    where = f"{photos.path}: {INDEX_NAME}"
    if photos.index is None:
        raise DatasetError(
            f"{where} is missing. Expected it beside the photographs with "
            "{\"labels\": [[file, class id], ...]}; or choose labels 'folders' or 'none'."
        )
    try:
        class_of = _pairs(json.loads(photos.read(photos.index)))
    except (ValueError, RecursionError, DatasetError) as error:
        raise DatasetError(
            f'{where} is malformed ({error}). Expected {{"labels": [[file, class id], ...]}} '
            "with whole numbers from 0."
        ) from error
    missing = [entry.name for entry in photos.photos if entry.name not in class_of]
    if missing:
        raise DatasetError(
            f"{where} has no label for {len(missing)} of {len(photos.photos)} photographs: "
            f"{_shown(missing)}. Label them, or take them out."
        )
    return {entry.name: class_of[entry.name] for entry in photos.photos}


def _pairs(index: object) -> dict[str, int]:
    labels = index.get("labels") if isinstance(index, dict) else None
    if not isinstance(labels, list):
        raise DatasetError("it has no list 'labels'")
    class_of: dict[str, int] = {}
    for pair in labels:
        match pair:
            # A bool is an int for Python, not for people.
            case [str(name), int(number)] if number >= 0 and not isinstance(number, bool):
                name = name.replace("\\", "/")
                if class_of.setdefault(name, number) != number:
                    raise DatasetError(f"it gives {printable(name)!r} two classes")
            case _:
                raise DatasetError(f"it has the entry {str(pair)[:80]}")
    return class_of


def _check_ids(source: Path, used: Iterable[int]) -> list[int]:
    ids = sorted(set(used))
    if ids != list(range(len(ids))):
        gap = next(i for i, number in enumerate(ids) if i != number)
        raise DatasetError(
            f"{source}: {INDEX_NAME} has class {ids[-1]}, but no photograph is of class {gap}. "
            "Number the classes from 0 without gaps."
        )
    return ids


def _shown(names: Iterable[str]) -> str:
    return listed([repr(printable(name)) for name in names], most=_MAX_LISTED)
