"""Label maps from other tools, one file per format, each in the registry `LABEL_FORMATS`."""

from collections.abc import Mapping

from datasetgan.errors import UsageError, unknown_name
from datasetgan.project.label_formats.base import FoundLabel, LabelReader, LabelTarget
from datasetgan.project.label_formats.png import read_png

__all__ = ["LABEL_FORMATS", "FoundLabel", "LabelReader", "LabelTarget", "label_reader"]

LABEL_FORMATS: Mapping[str, LabelReader] = {"png": read_png}
"""The reader of each format by name."""


def label_reader(name: str) -> LabelReader:
    """Return the reader of a format.

    Raises:
        UsageError: there is none of that name; the message lists all.
    """
    if name not in LABEL_FORMATS:
        raise UsageError(unknown_name("label format", name, LABEL_FORMATS))
    return LABEL_FORMATS[name]
