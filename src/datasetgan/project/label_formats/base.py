"""What every label format shares."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasetgan.taxonomy import ClassTaxonomy

__all__ = ["FoundLabel", "LabelReader", "LabelTarget"]


@dataclass(frozen=True)
class LabelTarget:
    """What label maps must fit.

    Attributes:
        sizes: the (height, width) of every sample's image by key.
        taxonomy: the classes.
    """

    sizes: Mapping[str, tuple[int, int]]
    taxonomy: ClassTaxonomy


@dataclass(frozen=True, eq=False)
class FoundLabel:
    """A label map that a tool wrote for a sample.

    Attributes:
        key: of the sample.
        source: the file it comes from.
        label_map: [H, W] uint8 class ids, `IGNORE_INDEX` where nobody painted.
    """

    key: str
    source: Path
    label_map: NDArray[np.uint8]


LabelReader = Callable[[Path, LabelTarget], Iterator[FoundLabel]]
"""Reads a file or a folder, one label map at a time.

It raises `LabelError` for a label map of no sample, of another size or with
classes that the taxonomy does not know, and where it finds none at all.
"""
