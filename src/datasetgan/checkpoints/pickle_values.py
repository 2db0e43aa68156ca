"""What a foreign pickle may hold beside plain values, and what reading it may cost."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from datasetgan.errors import CheckpointError

__all__ = [
    "NUMBER_CODES",
    "ArrayDraft",
    "Budget",
    "DtypeDraft",
    "GlobalName",
    "Reader",
    "Record",
    "array_view",
    "checked_key",
    "checked_shape",
    "checked_sizes",
    "encode_latin1",
]

MAX_STEPS: Final = 1_000_000
# A latin-1 string, its bytes and the tensor of them may stand beside each other.
_BYTES_PER_CONTENT: Final = 4
_MAX_KEY: Final = 2**60
_MAX_ELEMENTS: Final = 2**40
_MAX_AXES: Final = 16

NUMBER_CODES: Final = frozenset(
    {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}
)
"""NumPy's types of numbers that tensors have too."""


@dataclass
class Budget:
    """What the reading of one file may cost; spent, the file is refused.

    A short pickle can name one large value a million times. So whatever is
    copied is paid for, and the content's size is all there is to spend.

    Attributes:
        source: the file, for messages.
        bytes_left: bytes that may still be copied.
        steps_left: opcodes that may still be run, and items that may be looked at.
    """

    source: str
    bytes_left: int
    steps_left: int = MAX_STEPS

    @classmethod
    def for_content(cls, source: str, size: int) -> "Budget":
        """Return the budget of a file whose content, unpacked, has `size` bytes."""
        return cls(source=source, bytes_left=_BYTES_PER_CONTENT * size + (1 << 20))

    def spend(self, size: int) -> None:
        """Pay for the copy of `size` bytes, or of a container of `size` items."""
        self.bytes_left -= size
        if self.bytes_left < 0:
            self.refuse("it unpacks to far more data than the file holds")

    def walk(self, steps: int) -> None:
        """Pay for running opcodes, or for looking at items of the value afterwards."""
        self.steps_left -= steps
        if self.steps_left < 0:
            self.refuse("the pickle does not come to an end")

    def refuse(self, reason: str) -> NoReturn:
        """Raise the `CheckpointError` of this file."""
        raise CheckpointError(
            f"{self.source}: {reason}. The file is damaged or not what it claims to be, and "
            "nothing of it was run. Get it again from its source and compare its sha256."
        )


@dataclass(frozen=True)
class Reader:
    """One file's budget, and what its kind of file adds to a bare pickle.

    Attributes:
        budget: shared by all pickles of the file.
        persistent: what a persistent id stands for; None where there are none.
        load_bytes: reads a storage that was pickled as the bytes of a torch file.
    """

    budget: Budget
    persistent: Callable[[object], object] | None = None
    load_bytes: Callable[[memoryview, Budget], object] | None = None


@dataclass(frozen=True, eq=False)
class GlobalName:
    """A name that the pickle asked for and that the tables know; nothing is imported."""

    name: str


@dataclass(eq=False)
class Record:
    """An object of a class that is never built: its class' name and its state.

    Attributes:
        class_name: as the pickle names it, for instance ``"Generator"``.
        state: what the object's ``__dict__`` would have been.
    """

    class_name: str
    state: dict[Any, Any] = field(default_factory=dict)


@dataclass(eq=False)
class DtypeDraft:
    """A NumPy type: first its code, then its byte order."""

    code: str
    order: str = "<"

    def build(self, state: object, budget: Budget) -> None:
        """Take the byte order out of the state; anything but a number's is refused."""
        if not isinstance(state, tuple) or len(state) < 5:
            budget.refuse("a NumPy type has an unknown state")
        if not isinstance(state[1], str) or state[1] not in ("<", ">", "|", "="):
            budget.refuse("a NumPy type has an unknown byte order")
        if any(part is not None for part in state[2:5]):
            budget.refuse("a NumPy type has fields; only arrays of numbers are read")
        self.order = "<" if state[1] in "|=" else state[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy type."""
        return np.dtype(self.order + self.code)


@dataclass(eq=False)
class ArrayDraft:
    """A NumPy array: first nothing, then a view of the pickle's own bytes."""

    array: NDArray[Any] | None = None

    def build(self, state: object, budget: Budget) -> None:
        """Take shape, type, order and bytes out of the state."""
        if not isinstance(state, tuple) or len(state) != 5:
            budget.refuse("a NumPy array has an unknown state")
        _, shape, dtype, fortran, data = state
        if isinstance(data, str):  # bytes as Python 2 wrote them
            data = encode_latin1(data, budget)
        self.array = array_view(data, dtype, shape, budget, order="F" if fortran is True else "C")


def array_view(
    data: object, dtype: object, shape: object, budget: Budget, *, order: str
) -> NDArray[Any]:
    """Return an array over bytes of the pickle, no copy; their number must fit exactly."""
    if not isinstance(dtype, DtypeDraft):
        budget.refuse("a NumPy array holds no numbers")
    if not isinstance(data, bytes | memoryview):
        budget.refuse("a NumPy array has no bytes")
    sizes = checked_shape(shape, budget)
    wanted = prod(sizes) * dtype.dtype.itemsize
    if wanted != len(data):
        budget.refuse(f"a NumPy array of shape {list(sizes)} has {len(data)} bytes, not {wanted}")
    flat = np.frombuffer(data, dtype.dtype) if wanted else np.empty(0, dtype.dtype)
    return flat.reshape(sizes, order="F" if order == "F" else "C")


def checked_sizes(sizes: object, budget: Budget) -> tuple[int, ...]:
    """Return shape or strides, refusing anything but a few whole numbers of sane magnitude."""
    if (
        not isinstance(sizes, tuple)
        or len(sizes) > _MAX_AXES
        or not all(type(size) is int and 0 <= size < _MAX_ELEMENTS for size in sizes)
    ):
        budget.refuse("an array has no sensible shape")
    return sizes


def checked_shape(shape: object, budget: Budget) -> tuple[int, ...]:
    """Return a shape of no absurd number of elements, even where one axis is empty."""
    sizes = checked_sizes(shape, budget)
    if prod(max(size, 1) for size in sizes) >= _MAX_ELEMENTS:
        budget.refuse(f"an array has the absurd shape {list(sizes)}")
    return sizes


def checked_key(key: object, budget: Budget) -> Any:
    """Return a key of a dictionary or set.

    Only these types hash in constant time: nested tuples can take for ever or
    overflow the stack, and large integers can be made to collide.
    """
    kind = type(key)
    small = isinstance(key, int) and -_MAX_KEY < key < _MAX_KEY
    if not (key is None or small or kind in (str, bytes, GlobalName)):
        budget.refuse(f"a {kind.__name__} is a key of a dictionary or set")
    return key


def encode_latin1(text: str, budget: Budget) -> bytes:
    """Return the bytes that a pickle of protocol 2 wrote as text; the copy is paid for."""
    budget.spend(len(text))
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        budget.refuse("text stands where bytes were expected")
