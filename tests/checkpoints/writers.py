"""Small writers of every foreign format, following what the projects write.

Pickles are assembled opcode by opcode, so that no class of a project is needed
and hostile ones are as easy as honest ones.
"""

import io
import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
STORAGES = {
    torch.float32: "FloatStorage",
    torch.float64: "DoubleStorage",
    torch.float16: "HalfStorage",
    torch.bfloat16: "BFloat16Storage",
    torch.int64: "LongStorage",
    torch.uint8: "ByteStorage",
    torch.bool: "BoolStorage",
}


@dataclass(frozen=True)
class Name:
    """A global, by its module and name."""

    module: str
    name: str


@dataclass(frozen=True, eq=False)
class Call:
    """REDUCE of a function with arguments."""

    function: Any
    args: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Object:
    """NEWOBJ of a class, with items and a state where given."""

    cls: Any
    state: Any = None
    items: Mapping[Any, Any] | None = None


@dataclass(frozen=True, eq=False)
class Built:
    """BUILD of a value with a state."""

    value: Any
    state: Any


@dataclass(frozen=True, eq=False)
class Persistent:
    """A persistent id."""

    pid: Any


@dataclass(frozen=True)
class Raw:
    """Opcodes as they stand."""

    code: bytes


class PickleWriter:
    """Turns a value into opcodes of a protocol from 2 to 5."""

    def __init__(self, *, protocol: int = 4) -> None:
        self.protocol = protocol

    def dumps(self, value: Any) -> bytes:
        return b"\x80" + bytes([self.protocol]) + self.code(value) + b"."

    def code(self, value: Any) -> bytes:
        match value:
            case None:
                return b"N"
            case bool():
                return b"\x88" if value else b"\x89"
            case int():
                if 0 <= value < 256:
                    return b"K" + bytes([value])
                data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
                return b"\x8a" + bytes([len(data)]) + data
            case float():
                return b"G" + struct.pack(">d", value)
            case str():
                text = value.encode("utf-8", "surrogatepass")
                return b"X" + struct.pack("<I", len(text)) + text
            case bytes() | bytearray():
                if self.protocol == 2:  # as Python 3 writes bytes for Python 2
                    text = bytes(value).decode("latin-1")
                    return self.code(Call(Name("_codecs", "encode"), (text, "latin1")))
                if isinstance(value, bytearray) and self.protocol == 5:
                    return b"\x96" + struct.pack("<Q", len(value)) + bytes(value)
                return b"B" + struct.pack("<I", len(value)) + bytes(value)
            case list():
                return b"](" + b"".join(map(self.code, value)) + b"e"
            case tuple():
                return b"(" + b"".join(map(self.code, value)) + b"t"
            case set():
                return b"\x8f(" + b"".join(map(self.code, value)) + b"\x90"
            case dict():
                return b"}" + self._items(value)
            case Name(module, name):
                if self.protocol < 4:
                    return b"c" + f"{module}\n{name}\n".encode("utf-8", "surrogatepass")
                return self.code(module) + self.code(name) + b"\x93"
            case Call(function, args):
                return self.code(function) + self.code(args) + b"R"
            case Object(cls, state, items):
                made = self.code(cls) + b")\x81" + (self._items(items) if items else b"")
                return made if state is None else made + self.code(state) + b"b"
            case Built(inner, state):
                return self.code(inner) + self.code(state) + b"b"
            case Persistent(pid):
                return self.code(pid) + b"Q"
            case Raw(code):
                return code
            case np.ndarray():
                return self.code(array_value(value, protocol=self.protocol))
        raise TypeError(type(value))

    def _items(self, items: Mapping[Any, Any]) -> bytes:
        pairs = (self.code(k) + self.code(v) for k, v in items.items())
        return b"(" + b"".join(pairs) + b"u"


def array_value(array: np.ndarray[Any, Any], *, protocol: int = 4, module: str = "core") -> Any:
    """What NumPy's `__reduce__` gives; ``module`` is ``"core"`` or, from 2.0 on, ``"_core"``."""
    dtype = dtype_value(array.dtype)
    data = array.tobytes()
    if protocol == 5:
        function = Name(f"numpy.{module}.numeric", "_frombuffer")
        return Call(function, (bytearray(data), dtype, array.shape, "C"))
    reconstruct = Name(f"numpy.{module}.multiarray", "_reconstruct")
    empty = Call(reconstruct, (Name("numpy", "ndarray"), (0,), b"b"))
    return Built(empty, (1, array.shape, dtype, False, data))


def dtype_value(dtype: np.dtype[Any]) -> Any:
    order = {"=": "<"}.get(dtype.byteorder, dtype.byteorder)
    state = (3, order, None, None, None, -1, -1, 0)
    return Built(Call(Name("numpy", "dtype"), (dtype.str[1:], False, True)), state)


def ordered(items: Mapping[Any, Any]) -> Any:
    """An OrderedDict with the attribute that `state_dict` gives it."""
    filled = Raw(
        PickleWriter(protocol=2).code(Call(Name("collections", "OrderedDict"), ()))
        + PickleWriter(protocol=2)._items(items)
    )
    return Built(filled, {"_metadata": {"": {"version": 1}}})


def rebuilt(storage: Any, tensor: Tensor) -> Call:
    """A tensor as `torch._utils._rebuild_tensor_v2` of its storage."""
    empty = Call(Name("collections", "OrderedDict"), ())
    args = (storage, tensor.storage_offset(), tuple(tensor.shape), tensor.stride(), False, empty)
    return Call(Name("torch._utils", "_rebuild_tensor_v2"), args)


class _Storages:
    """Hands out persistent ids and keeps the bytes; tensors of one storage share one."""

    def __init__(self, *, views: Sequence[Any] = ()) -> None:
        self.keys: dict[int, str] = {}
        self.data: dict[str, bytes] = {}
        self.counts: dict[str, int] = {}
        self.views = tuple(views)

    def value(self, tensor: Tensor) -> Call:
        storage = tensor.untyped_storage()
        key = self.keys.setdefault(storage.data_ptr(), str(len(self.keys)))
        raw = torch.empty(0, dtype=torch.uint8).set_(storage).numpy().tobytes()
        self.data[key], self.counts[key] = raw, len(raw) // tensor.element_size()
        kind = Name("torch", STORAGES[tensor.dtype])
        pid = ("storage", kind, key, "cuda:0", self.counts[key], *self.views)
        return rebuilt(Persistent(pid), tensor)


def with_tensors(value: Any, storages: _Storages) -> Any:
    """Replace the tensors within a value by what `torch.save` writes for them."""
    if isinstance(value, Tensor):
        return storages.value(value)
    if isinstance(value, dict):
        return {k: with_tensors(v, storages) for k, v in value.items()}
    return value


def write_torch_zip(path: Path, value: Any, *, root: str = "archive") -> Path:
    """The zip archive of `torch.save`."""
    storages = _Storages()
    data = PickleWriter(protocol=2).dumps(with_tensors(value, storages))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{root}/data.pkl", data)
        archive.writestr(f"{root}/byteorder", "little")
        for key, numbers in storages.data.items():
            archive.writestr(f"{root}/data/{key}", numbers)
        archive.writestr(f"{root}/version", "3\n")
    return path


def legacy_bytes(value: Any) -> bytes:
    """The stream that `torch.save` wrote before the zip archive."""
    storages = _Storages(views=(None,))
    writer = PickleWriter(protocol=2)
    body = writer.dumps(with_tensors(value, storages))
    sizes = {"short": 2, "int": 4, "long": 4}
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}
    head = b"\x80\x02\x8a\x0a" + LEGACY_MAGIC.to_bytes(10, "little") + b"."
    stream = io.BytesIO()
    for piece in (head, writer.dumps(1001), writer.dumps(machine), body):
        stream.write(piece)
    stream.write(writer.dumps(list(storages.data)))
    for key, numbers in storages.data.items():
        stream.write(struct.pack("<q", storages.counts[key]) + numbers)
    return stream.getvalue()


def bytes_tensor(tensor: Tensor) -> Call:
    """A tensor in a bare pickle: its storage is the bytes of a legacy file."""
    storages = _Storages(views=(None,))
    storages.value(tensor)
    (key,) = storages.data
    whole = legacy_bytes_of_storage(storages, key, tensor.dtype)
    return rebuilt(Call(Name("torch.storage", "_load_from_bytes"), (whole,)), tensor)


def legacy_bytes_of_storage(storages: _Storages, key: str, dtype: torch.dtype) -> bytes:
    writer = PickleWriter(protocol=2)
    pid = ("storage", Name("torch", STORAGES[dtype]), key, "cpu", storages.counts[key], None)
    return (
        b"\x80\x02\x8a\x0a"
        + LEGACY_MAGIC.to_bytes(10, "little")
        + b"."
        + writer.dumps(1001)
        + writer.dumps({"little_endian": True})
        + writer.dumps(Persistent(pid))
        + writer.dumps([key])
        + struct.pack("<q", storages.counts[key])
        + storages.data[key]
    )


def module_state(
    tensors: Mapping[str, Tensor], *, buffers: Sequence[str] = (), transient: Sequence[str] = ()
) -> dict[str, Any]:
    """The ``__dict__`` of a module tree; children are persistent objects too."""
    own = {k: v for k, v in tensors.items() if "." not in k}
    children: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        first, _, rest = name.partition(".")
        if rest:
            children.setdefault(first, {})[rest] = tensor
    parameters = {
        k: Call(Name("torch._utils", "_rebuild_parameter"), (bytes_tensor(v), True, {}))
        for k, v in own.items()
        if k not in buffers
    }
    return {
        "training": False,
        "_parameters": {**parameters, "bias_that_is_none": None},
        "_buffers": {k: bytes_tensor(v) for k, v in own.items() if k in buffers},
        "_non_persistent_buffers_set": set(transient),
        "_modules": {
            k: persistent_object("Layer", module_state(v, buffers=buffers, transient=transient))
            for k, v in children.items()
        },
    }


def persistent_object(class_name: str, state: Mapping[str, Any]) -> Call:
    """An object of NVIDIA's `torch_utils.persistence`; its source would fail if it ran."""
    meta = {
        "type": "class",
        "version": 6,
        "module_src": "raise SystemExit('the source of a pickle was run')",
        "class_name": class_name,
        "state": dict(state),
    }
    return Call(Name("torch_utils.persistence", "_reconstruct_persistent_obj"), (meta,))


def nvidia_network(
    class_name: str,
    tensors: Mapping[str, Tensor],
    init_kwargs: Mapping[str, Any],
    *,
    buffers: Sequence[str] = ("w_avg",),
    transient: Sequence[str] = (),
) -> Call:
    """A network of stylegan2-ada-pytorch or stylegan3, as its snapshots hold it."""
    easy = {
        k: Object(Name("dnnlib.util", "EasyDict"), items=v) if isinstance(v, dict) else v
        for k, v in init_kwargs.items()
    }
    state = module_state(tensors, buffers=buffers, transient=transient)
    return persistent_object(class_name, {"_init_args": (), "_init_kwargs": easy, **state})


def tf_network(
    function: str,
    variables: Mapping[str, np.ndarray[Any, Any]],
    static_kwargs: Mapping[str, Any],
    *,
    name: str = "Gs",
    components: Mapping[str, Any] | None = None,
) -> Object:
    """A `dnnlib.tflib` network: static kwargs, components and (name, array) pairs."""
    state = {
        "version": 4,
        "name": name,
        "static_kwargs": dict(static_kwargs),
        "components": dict(components or {}),
        "build_module_src": "raise SystemExit('the source of a pickle was run')",
        "build_func_name": function,
        "variables": list(variables.items()),
    }
    return Object(Name("dnnlib.tflib.network", "Network"), state)


def write_pickle(path: Path, value: Any, *, protocol: int = 4) -> Path:
    path.write_bytes(PickleWriter(protocol=protocol).dumps(value))
    return path


def write_safetensors(path: Path, tensors: Mapping[str, Tensor]) -> Path:
    """The format by its description: header length, JSON header, numbers (float32 only)."""
    header, data = {}, b""
    for name, tensor in tensors.items():
        raw = tensor.detach().numpy().astype("<f4").tobytes()
        places = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": places}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path
