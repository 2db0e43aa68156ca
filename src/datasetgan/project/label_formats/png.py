"""PNG masks, one per sample, called as the sample is."""

from collections.abc import Iterator
from pathlib import Path

from datasetgan.dataset.label_maps import read_label_png
from datasetgan.errors import LabelError, unknown_name
from datasetgan.project.label_formats.base import FoundLabel, LabelTarget

__all__ = ["png_files", "read_png"]


def read_png(source: Path, target: LabelTarget) -> Iterator[FoundLabel]:
    """Read ``<key>.png``, or every such file of a folder; `read_label_png` tells the kinds.

    Hidden files, and files that do not end in ``.png``, are passed over in a folder.

    Raises:
        LabelError: the source is missing or holds no mask, two masks are of one
            sample, one is of no sample, or does not fit its sample or the taxonomy.
    """
    files = png_files(source) if source.is_dir() else [source]
    if not source.exists():
        raise LabelError(f"{source} does not exist. Expected a PNG mask or a folder of them.")
    if not files:
        raise LabelError(f"{source} holds no PNG mask. Expected files called as the samples are.")
    # Names first: they are cheap, and a wrong folder is noticed before a wrong pixel.
    by_key: dict[str, Path] = {}
    for path in files:
        if path.stem not in target.sizes:
            raise LabelError(f"{path}: {unknown_name('sample', path.stem, target.sizes)}")
        if path.stem in by_key:
            raise LabelError(
                f"{by_key[path.stem]} and {path} are both masks of {path.stem}. Keep one of them."
            )
        by_key[path.stem] = path
    for key, path in by_key.items():
        label_map = read_label_png(path, target.taxonomy, size=target.sizes[key])
        yield FoundLabel(key, path, label_map)


def png_files(folder: Path) -> list[Path]:
    """Return the PNG files of a folder that are not hidden, sorted by name."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() == ".png" and not path.name.startswith(".") and path.is_file()
    )
