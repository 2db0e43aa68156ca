"""Tensors of a foreign file before their bytes are read: storages and views of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

__all__ = ["DTYPES_BY_NAME", "STORAGE_DTYPES", "Storage", "TensorReference"]

_TYPES: Final = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
}

STORAGE_DTYPES: Final[dict[str, torch.dtype]] = {
    **{f"torch.{name}Storage": dtype for name, dtype in _TYPES.items()},
    **{f"torch.cuda.{name}Storage": dtype for name, dtype in _TYPES.items()},
    "torch.storage.UntypedStorage": torch.uint8,
    "torch.UntypedStorage": torch.uint8,
}
"""Element types of PyTorch's storage classes, by the names that pickles use."""

DTYPES_BY_NAME: Final[dict[str, torch.dtype]] = {str(dtype): dtype for dtype in _TYPES.values()}
"""PyTorch types by their own names, for instance ``"torch.float32"``."""


class Storage:
    """Numbers in a row somewhere in the file; they are copied on first use, once.

    Args:
        dtype: of the elements.
        numel: their count, as the pickle states it.
        fetch: returns exactly `num_bytes` bytes of its own, and pays for them.
    """

    def __init__(self, dtype: torch.dtype, numel: int, fetch: Callable[[int], bytearray]) -> None:
        self.dtype = dtype
        self.numel = numel
        self._fetch = fetch
        self._flat: Tensor | None = None

    @property
    def num_bytes(self) -> int:
        """Bytes that the elements take."""
        return self.numel * self.dtype.itemsize

    def flat(self) -> Tensor:
        """Return the elements [numel]."""
        if self._flat is None:
            if self.numel == 0:  # torch.frombuffer refuses no bytes at all
                self._flat = torch.empty(0, dtype=self.dtype)
            else:
                self._flat = torch.frombuffer(self._fetch(self.num_bytes), dtype=self.dtype)
        return self._flat


@dataclass(frozen=True, eq=False)
class TensorReference:
    """A tensor as a view of a storage: element offset, shape and strides, all checked >= 0.

    Attributes:
        dtype: if it is not the storage's own.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype | None = None

    def problem(self) -> str | None:
        """Return what is wrong with the view, None if every element lies in the storage.

        A stride of zero could spread four bytes to a terabyte: a view may not hold
        more elements than its storage.
        """
        itemsize = (self.dtype or self.storage.dtype).itemsize
        available = self.storage.num_bytes // itemsize
        if len(self.shape) != len(self.stride):
            return f"a tensor of shape {list(self.shape)} has strides {list(self.stride)}"
        numel, last = 1, self.offset
        for size, stride in zip(self.shape, self.stride, strict=True):
            numel *= size
            last += (size - 1) * stride
        if numel and (numel > available or last >= available):
            return f"a tensor of shape {list(self.shape)} lies in a storage of {available} elements"
        return None

    def read(self) -> Tensor:
        """Return the tensor; tensors of one storage share its memory."""
        flat = self.storage.flat()
        if self.dtype is not None and self.dtype != flat.dtype:
            usable = flat.view(torch.uint8)
            usable = usable[: len(usable) // self.dtype.itemsize * self.dtype.itemsize]
            flat = usable.view(self.dtype)
        if 0 in self.shape:
            return flat[:0].reshape(self.shape)
        return flat.as_strided(self.shape, self.stride, self.offset)
