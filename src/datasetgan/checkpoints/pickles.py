"""A pickle machine for strangers' files: it runs no code but its own.

Python's `pickle` imports what a file names and calls what it imported. This is
another machine for the same language, written so that safety can be read off:

- It never imports. A name is looked up in `pickle_names`; an unknown one is refused.
- Calls, new objects and states reach functions of `pickle_names` and
  `pickle_values` only, and these give plain data or inert records.
- Opcodes that only exotic or ancient pickles need are refused.
- Every size is compared with the bytes at hand before anything is made of it,
  every opcode is counted, every copy is paid for (`Budget`).
- Nothing here recurses, and no key hashes slower than a text does.
"""

import struct
from collections.abc import Callable
from typing import Any, Final

from datasetgan.checkpoints.pickle_names import call, new_object, resolve_name
from datasetgan.checkpoints.pickle_values import (
    ArrayDraft,
    DtypeDraft,
    Reader,
    Record,
    checked_key,
)

__all__ = ["run_pickle"]

_STOP: Final = 0x2E
_PROTOCOL: Final = 0x80
# From here on, bytes stay a view of the file instead of a copy.
_LARGE: Final = 4096
_MAX_INTEGER_BYTES: Final = 64
_REFUSED: Final = {
    0x82: "EXT1",
    0x83: "EXT2",
    0x84: "EXT4",
    0x92: "NEWOBJ_EX",
    0x97: "NEXT_BUFFER",
    0x98: "READONLY_BUFFER",
    **{ord(code): f"'{code}' of protocols 0 and 1" for code in "FILPSVdgilop"},
}


def run_pickle(data: memoryview, reader: Reader, *, start: int = 0) -> tuple[object, int]:
    """Run one pickle of protocol 2 to 5.

    Args:
        data: the bytes of the file, format ``"B"``.
        reader: the file's budget, and what its persistent ids stand for.
        start: where the pickle begins.

    Returns:
        Its value, made of None, bool, int, float, str, bytes or memoryview, list,
        tuple, dict, set, `GlobalName`, `Record`, `ArrayDraft`, `DtypeDraft`,
        `Storage` and `TensorReference`, and the position behind its end. The value
        may contain itself, and one part may occur many times.

    Raises:
        CheckpointError: the pickle is truncated or malformed, or asks for anything
            that is not in the tables; the message names it.
    """
    return _Machine(data, reader, start).run()


class _Machine:
    """The stack machine; one object runs one pickle."""

    def __init__(self, data: memoryview, reader: Reader, start: int) -> None:
        self.data = data
        self.reader = reader
        self.budget = reader.budget
        self.position = start
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []  # the stacks below each mark
        self.memo: dict[int, Any] = {}

    def run(self) -> tuple[object, int]:
        if self.integer(1) != _PROTOCOL or self.integer(1) not in (2, 3, 4, 5):
            self.budget.refuse("it is no pickle of protocol 2 to 5")
        while True:
            self.budget.walk(1)
            code = self.integer(1)
            if code == _STOP:
                return self.pop(), self.position
            handler = _HANDLERS.get(code)
            if handler is None:
                opcode = _REFUSED.get(code, f"0x{code:02x}")
                self.budget.refuse(f"the pickle uses the opcode {opcode}, which is refused")
            handler(self)

    # ---- reading ----

    def take(self, size: int) -> memoryview:
        end = self.position + size
        if size < 0 or end > len(self.data):
            self.budget.refuse("the pickle is truncated")
        piece = self.data[self.position : end]
        self.position = end
        return piece

    def integer(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def line(self) -> str:
        # Names are short; the end of the line is sought within a bound.
        window = bytes(self.data[self.position : self.position + _LARGE])
        end = window.find(b"\n")
        if end < 0:
            self.budget.refuse("the pickle is truncated within a name")
        self.position += end + 1
        return self.decoded(window[:end])

    def decoded(self, data: memoryview | bytes) -> str:
        self.budget.spend(len(data))
        try:
            return str(data, "utf-8")
        except UnicodeDecodeError:
            self.budget.refuse("a text in the pickle is not UTF-8")

    # ---- the stack ----

    def pop(self) -> Any:
        if not self.stack:
            self.budget.refuse("the pickle takes from an empty stack")
        return self.stack.pop()

    def top(self) -> Any:
        if not self.stack:
            self.budget.refuse("the pickle looks at an empty stack")
        return self.stack[-1]

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop_to_mark(self) -> list[Any]:
        if not self.outer:
            self.budget.refuse("the pickle looks for a mark that is not there")
        items, self.stack = self.stack, self.outer.pop()
        return items

    def pop_tuple(self, size: int) -> tuple[Any, ...]:
        items = [self.pop() for _ in range(size)]
        return tuple(reversed(items))

    # ---- opcodes of more than one line ----

    def mark(self) -> None:
        self.outer.append(self.stack)
        self.stack = []

    def drop(self) -> None:
        if self.stack or not self.outer:
            self.pop()
        else:
            self.pop_to_mark()

    def long(self, size: int) -> None:
        if size > _MAX_INTEGER_BYTES:
            self.budget.refuse(f"a whole number of {size} bytes")
        self.push(int.from_bytes(self.take(size), "little", signed=True))

    def binary(self, size: int) -> None:
        piece = self.take(size)
        self.push(piece.toreadonly() if size >= _LARGE else bytes(piece))

    def text_of_python2(self, size: int) -> None:
        self.budget.spend(size)
        self.push(str(self.take(size), "latin-1"))

    def put(self, index: int) -> None:
        self.memo[index] = self.top()

    def get(self, index: int) -> None:
        if index not in self.memo:
            self.budget.refuse("the pickle recalls a value that it never kept")
        self.push(self.memo[index])

    def append(self, items: list[Any]) -> None:
        target = self.top()
        if type(target) is not list:
            self.budget.refuse(f"the pickle appends to a {type(target).__name__}")
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.top()
        if type(target) is not dict or len(items) % 2:
            self.budget.refuse(f"the pickle sets items of a {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[checked_key(key, self.budget)] = value

    def add_items(self, items: list[Any]) -> None:
        target = self.top()
        if type(target) is not set:
            self.budget.refuse(f"the pickle adds items to a {type(target).__name__}")
        target.update(checked_key(item, self.budget) for item in items)

    def frozen_set(self, items: list[Any]) -> None:
        self.push({checked_key(item, self.budget) for item in items})

    def name(self, module: object, name: object) -> None:
        self.push(resolve_name(module, name, self.budget))

    def reduce(self) -> None:
        function, args = self.pop_tuple(2)
        self.push(call(function, args, self.reader))

    def new(self) -> None:
        cls, _ = self.pop_tuple(2)
        self.push(new_object(cls, self.budget))

    def build(self) -> None:
        state = self.pop()
        target = self.top()
        kind = type(target)
        if kind in (ArrayDraft, DtypeDraft):
            target.build(state, self.budget)
        elif kind is Record:
            # A pair is the state of a class with __slots__.
            state = state[0] if isinstance(state, tuple) and state else state
            if state is not None and type(state) is not dict:
                self.budget.refuse(f"the state of a {target.class_name} is no dictionary")
            target.state = state or {}
        elif kind is not dict:  # a dictionary's attributes, such as _metadata, are dropped
            self.budget.refuse(f"the pickle gives a state to a {kind.__name__}")

    def persistent(self) -> None:
        if self.reader.persistent is None:
            self.budget.refuse("the pickle refers to data outside itself")
        self.push(self.reader.persistent(self.pop()))

    def frame(self) -> None:
        if self.integer(8) > len(self.data) - self.position:
            self.budget.refuse("the pickle is truncated")


_Handler = Callable[[_Machine], object]

_HANDLERS: Final[dict[int, _Handler]] = {
    # Constants and numbers.
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("K"): lambda m: m.push(m.integer(1)),
    ord("M"): lambda m: m.push(m.integer(2)),
    ord("J"): lambda m: m.push(int.from_bytes(m.take(4), "little", signed=True)),
    0x8A: lambda m: m.long(m.integer(1)),
    0x8B: lambda m: m.long(m.integer(4)),
    ord("G"): lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
    # Texts and bytes.
    0x8C: lambda m: m.push(m.decoded(m.take(m.integer(1)))),
    ord("X"): lambda m: m.push(m.decoded(m.take(m.integer(4)))),
    0x8D: lambda m: m.push(m.decoded(m.take(m.integer(8)))),
    ord("U"): lambda m: m.text_of_python2(m.integer(1)),
    ord("T"): lambda m: m.text_of_python2(m.integer(4)),
    ord("C"): lambda m: m.binary(m.integer(1)),
    ord("B"): lambda m: m.binary(m.integer(4)),
    0x8E: lambda m: m.binary(m.integer(8)),
    0x96: lambda m: m.binary(m.integer(8)),
    # Containers.
    ord(")"): lambda m: m.push(()),
    ord("]"): lambda m: m.push([]),
    ord("}"): lambda m: m.push({}),
    0x8F: lambda m: m.push(set()),
    0x85: lambda m: m.push(m.pop_tuple(1)),
    0x86: lambda m: m.push(m.pop_tuple(2)),
    0x87: lambda m: m.push(m.pop_tuple(3)),
    ord("a"): lambda m: m.append([m.pop()]),
    ord("s"): lambda m: m.set_items([*m.pop_tuple(2)]),
    # Marks: what they enclose is popped first, then the container below is on top.
    ord("("): _Machine.mark,
    ord("t"): lambda m: m.push(tuple(m.pop_to_mark())),
    ord("e"): lambda m: m.append(m.pop_to_mark()),
    ord("u"): lambda m: m.set_items(m.pop_to_mark()),
    0x90: lambda m: m.add_items(m.pop_to_mark()),
    0x91: lambda m: m.frozen_set(m.pop_to_mark()),
    # The stack and the memo.
    ord("0"): _Machine.drop,
    ord("1"): _Machine.pop_to_mark,
    ord("2"): lambda m: m.push(m.top()),
    ord("q"): lambda m: m.put(m.integer(1)),
    ord("r"): lambda m: m.put(m.integer(4)),
    0x94: lambda m: m.put(len(m.memo)),
    ord("h"): lambda m: m.get(m.integer(1)),
    ord("j"): lambda m: m.get(m.integer(4)),
    # Names and objects.
    ord("c"): lambda m: m.name(m.line(), m.line()),
    0x93: lambda m: m.name(*m.pop_tuple(2)),
    ord("R"): _Machine.reduce,
    0x81: _Machine.new,
    ord("b"): _Machine.build,
    ord("Q"): _Machine.persistent,
    # Framing.
    0x80: lambda m: m.take(1),
    0x95: _Machine.frame,
}
