"""Feature levels of several images at their native resolutions, in half the bytes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import frexp
from pathlib import Path
from tempfile import TemporaryFile, gettempdir

import numpy as np
import torch
from torch import Tensor

from datasetgan.errors import UsageError
from datasetgan.features.input_spec import InputSpec
from datasetgan.features.pyramid import FeatureLevel, FeaturePyramid
from datasetgan.features.reading import read_tables
from datasetgan.serialization import storage_errors

__all__ = ["FeatureCache"]

_LARGEST = float(torch.finfo(torch.float16).max)


@dataclass(frozen=True, eq=False)
class _CachedLevel:
    """One level of one image: [h, w, C] float16, the values divided by `scale`."""

    values: Tensor
    scale: float


class FeatureCache:
    """Features of painted images, kept for as long as an interpreter is fitted and judged.

    Every level, and its block means, stays at its own resolution, margins cropped, channels
    last, in float16; one with values beyond float16 is divided by a power of two, which
    loses nothing.
    Images that no longer fit in memory go to nameless files in a folder, mapped into memory.
    They vanish with the cache, or with the process, however it ends.

    Args:
        memory_mb: MiB of features to hold in memory.
        folder: for the files; the system's folder for temporary files by default.
    """

    def __init__(self, *, memory_mb: int = 4096, folder: Path | None = None) -> None:
        self._free = memory_mb << 20
        self._folder = folder or Path(gettempdir())
        self._images: list[tuple[_CachedLevel, ...]] = []
        # All that can be read of an image, from the first one on.
        self._everything: InputSpec | None = None

    def __len__(self) -> int:
        return len(self._images)

    @property
    def levels(self) -> tuple[FeatureLevel, ...]:
        """The feature levels as the generator names them, margins included; () if empty."""
        return () if self._everything is None else self._everything.levels

    def add(self, features: FeaturePyramid, *, source: str = "") -> int:
        """Take the features of one image; return its number.

        Args:
            features: of one image.
            source: names the image in messages; its number by default.

        Raises:
            UsageError: more than one image, levels other than the first image's, or
                values that are not finite.
            StorageError: the folder is full or cannot be written.
        """
        source = source or f"image {len(self)}"
        if features.batch_size != 1:
            raise UsageError(
                f"a feature cache takes one image at a time, got {features.batch_size}."
            )
        everything = self._everything or InputSpec(features.levels, "blocks")
        tensors = everything.tensors(features, source=f"the features of {source}")
        levels = tuple(_cached(tensor[0], source) for tensor in tensors)
        size = sum(level.values.nbytes for level in levels)
        if size > self._free:
            levels = self._on_disk(levels, size=size)
        else:
            self._free -= size
        self._everything = everything
        self._images.append(levels)
        return len(self) - 1

    def _on_disk(self, levels: Sequence[_CachedLevel], *, size: int) -> tuple[_CachedLevel, ...]:
        with storage_errors(self._folder), TemporaryFile(dir=self._folder) as file:
            for level in levels:
                # Written, not assigned to a map: a full disk is then an error, not a crash.
                file.write(level.values.numpy().tobytes())
            file.flush()
            # The map outlives the file's name and its handle.
            mapped = torch.from_numpy(np.memmap(file, dtype=np.float16, mode="r+", shape=size // 2))
        parts = torch.split(mapped, [level.values.numel() for level in levels])
        return tuple(
            replace(level, values=part.view(level.values.shape))
            for level, part in zip(levels, parts, strict=True)
        )

    def read(
        self, image: int, points: Tensor, *, size: tuple[int, int], inputs: InputSpec | None = None
    ) -> Tensor:
        """Read the feature vectors of some pixels of one image.

        Equal to `sample_pixel_features` up to the rounding of float16.

        Args:
            image: its number.
            points: [P, 2] integer rows and columns on the label grid.
            size: (height, width) of the label grid, which covers the whole picture.
            inputs: what to read of these levels; the levels alone by default.

        Returns:
            [P, C] float32 on the CPU, as `InputSpec.sources` lists.

        Raises:
            UsageError: points that are not [P, 2] within `size`.
        """
        levels = self._images[image][: len(self.levels if inputs is None else inputs.sources)]
        sampled = read_tables([level.values for level in levels], points, size=size)
        first = 0
        for level in levels:
            channels = level.values.shape[2]
            if level.scale != 1:
                sampled[:, first : first + channels] *= level.scale
            first += channels
        return sampled

    def scales(self, inputs: InputSpec) -> Tensor:
        """Return what `read` has to be divided by, so that float16 holds it: [C], powers of two.

        Args:
            inputs: what is read.
        """
        largest = [max(level.scale for level in same) for same in zip(*self._images, strict=True)]
        channels = torch.tensor(inputs.channels)
        return torch.tensor(largest[: len(channels)]).repeat_interleave(channels)

    def pyramid(self, image: int) -> FeaturePyramid:
        """Return the features of one image again: [1, C, h, w] float16, or float32 if scaled.

        The tensors are views in channels-last order; margins are gone from the levels.
        """
        tensors = []
        for level in self._images[image][: len(self.levels)]:
            values = level.values if level.scale == 1 else level.values.float() * level.scale
            tensors.append(values.permute(2, 0, 1)[None])  # [1, C, h, w]
        levels = tuple(
            replace(level, height=tensor.shape[2], width=tensor.shape[3], margin=0)
            for level, tensor in zip(self.levels, tensors, strict=True)
        )
        return FeaturePyramid(levels, tuple(tensors))


def _cached(tensor: Tensor, source: str) -> _CachedLevel:
    largest = float(tensor.abs().max())
    if not np.isfinite(largest):
        raise UsageError(
            f"the features of {source} hold NaN or infinite values: "
            "use a generator precision of float32."
        )
    scale = 1.0
    if largest > _LARGEST:
        scale = 2.0 ** (frexp(largest / _LARGEST)[1])
        tensor = tensor / scale
    values = tensor.detach().permute(1, 2, 0).to("cpu", torch.float16)  # [h, w, C]
    return _CachedLevel(values.contiguous().clone(), scale)
