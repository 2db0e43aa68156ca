"""The names that a foreign pickle may mention, and what calling them gives.

A pickle is a program for a stack machine. `pickles` runs it, but whatever it
names is looked up in the tables here and never imported: each entry leads to a
function of this module that returns plain data, a reference to bytes of the
file or an inert `Record`.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from datasetgan.checkpoints.pickle_values import (
    NUMBER_CODES,
    ArrayDraft,
    Budget,
    DtypeDraft,
    GlobalName,
    Reader,
    Record,
    array_view,
    checked_key,
    checked_shape,
    checked_sizes,
    encode_latin1,
)
from datasetgan.checkpoints.tensor_references import (
    DTYPES_BY_NAME,
    STORAGE_DTYPES,
    Storage,
    TensorReference,
)
from datasetgan.errors import CheckpointError

__all__ = ["call", "is_class", "new_object", "resolve_name"]

_SHOWN: Final = 120
_BYTES_PER_ITEM: Final = 64
_RENAMED: Final = (
    ("__builtin__.", "builtins."),
    ("copy_reg.", "copyreg."),
    ("numpy._core.", "numpy.core."),
)
# Dictionaries by other names; they become plain ones.
_MAPPINGS: Final = frozenset(
    {
        "collections.OrderedDict",
        "collections.defaultdict",
        "collections.Counter",
        "dnnlib.util.EasyDict",
        "dnnlib.EasyDict",
        "easydict.EasyDict",
    }
)
# Objects that stand beside weights; they become records.
_RECORDS: Final = re.compile(
    r"torch\.nn\.modules\.[a-z_]+\.\w+|argparse\.Namespace|torch\.device|types\.SimpleNamespace"
    r"|dnnlib\.tflib\.network\.Network|pathlib\.(Pure)?(Posix|Windows)?Path",
    re.ASCII,
)
_PERSISTENCE: Final = re.compile(
    r"([a-z0-9_]+\.)*torch_utils\.persistence\._reconstruct_persistent_obj", re.ASCII
)
_CLASS_NAME: Final = re.compile(r"[\w.<>]{1,120}", re.ASCII)
# Names that are mentioned but do nothing.
_INERT: Final = frozenset(
    {
        "builtins.object",
        "builtins.dict",
        "builtins.list",
        "builtins.int",
        "builtins.float",
        "builtins.long",
        "builtins.str",
        "numpy.ndarray",
        "torch.Tensor",
        "torch.nn.parameter.Parameter",
        *STORAGE_DTYPES,
        *DTYPES_BY_NAME,
    }
)


def resolve_name(module: object, name: object, budget: Budget) -> GlobalName:
    """Return the inert stand-in of a name, or refuse it.

    Raises:
        CheckpointError: names the class or function that the pickle asked for.
    """
    if not isinstance(module, str) or not isinstance(name, str):
        budget.refuse("the pickle names a class by something that is no text")
    full = f"{module}.{name}"
    known = full
    for old, new in _RENAMED:
        if known.startswith(old):
            known = new + known[len(old) :]
    if (
        known in _CALLS
        or known in _MAPPINGS
        or known in _INERT
        or _RECORDS.fullmatch(known)
        or _PERSISTENCE.fullmatch(known)
    ):
        return GlobalName(known)
    raise CheckpointError(
        f"{budget.source}: the pickle asks for {ascii(full[:_SHOWN])[1:-1]}, which is no part of "
        "network weights. It was refused and nothing of the file was run. If you trust the file, "
        "save the network's state_dict() as .safetensors with the code that made it."
    )


def is_class(name: GlobalName) -> bool:
    """Whether `new_object` makes something of this name."""
    return name.name in _MAPPINGS or _RECORDS.fullmatch(name.name) is not None


def new_object(name: object, budget: Budget) -> object:
    """Return the empty stand-in of an object: a dictionary or a `Record`."""
    if not isinstance(name, GlobalName) or not is_class(name):
        budget.refuse(f"the pickle builds an object of {_named(name)}")
    return {} if name.name in _MAPPINGS else Record(name.name)


def call(function: object, args: object, reader: Reader) -> object:
    """Return what a call in a pickle stands for; only functions of this module run."""
    budget = reader.budget
    if not isinstance(function, GlobalName) or not isinstance(args, tuple):
        budget.refuse(f"the pickle calls {_named(function)}")
    if function.name in _CALLS:
        return _CALLS[function.name](args, reader)
    if _PERSISTENCE.fullmatch(function.name):
        return _persistent_object(args, reader)
    if function.name in _MAPPINGS:
        return _mapping(args, budget)
    if not is_class(function):
        budget.refuse(f"the pickle calls {_named(function)}")
    return new_object(function, budget)


def _named(value: object) -> str:
    return value.name if isinstance(value, GlobalName) else f"a {type(value).__name__}"


# ---- what the known functions give -----------------------------------------------------


def _argument(args: Sequence[object], index: int, kind: Any, budget: Budget) -> Any:
    if index >= len(args) or not isinstance(args[index], kind):
        budget.refuse("a known function is called with unknown arguments")
    return args[index]


def _mapping(args: tuple[object, ...], budget: Budget) -> dict[Any, Any]:
    """Read ``OrderedDict([[key, value], ...])``, ``Counter({...})``, ``defaultdict(factory)``."""
    result: dict[Any, Any] = {}
    for arg in args:
        if isinstance(arg, dict):
            budget.spend(_BYTES_PER_ITEM * len(arg))
            result.update(arg)
        elif isinstance(arg, list | tuple):
            budget.spend(_BYTES_PER_ITEM * len(arg))
            for pair in arg:
                if not isinstance(pair, list | tuple) or len(pair) != 2:
                    budget.refuse("a dictionary is made of something else than pairs")
                result[checked_key(pair[0], budget)] = pair[1]
        elif arg is not None and not isinstance(arg, GlobalName):
            budget.refuse("a dictionary is made of something unknown")
    return result


def _set(args: tuple[object, ...], reader: Reader) -> object:
    items = _argument(args, 0, list | tuple, reader.budget) if args else ()
    reader.budget.spend(_BYTES_PER_ITEM * len(items))
    return {checked_key(item, reader.budget) for item in items}


def _bytes(args: tuple[object, ...], reader: Reader) -> object:
    if not args:
        return b""
    data = _argument(args, 0, bytes | memoryview | str, reader.budget)
    return encode_latin1(data, reader.budget) if isinstance(data, str) else data


def _encode(args: tuple[object, ...], reader: Reader) -> object:
    text = _argument(args, 0, str, reader.budget)
    if len(args) != 2 or args[1] not in ("latin1", "latin-1"):
        reader.budget.refuse("bytes are written in an unknown encoding")
    return encode_latin1(text, reader.budget)


def _size(args: tuple[object, ...], reader: Reader) -> object:
    return _argument(args, 0, tuple, reader.budget) if args else ()


def _reconstructor(args: tuple[object, ...], reader: Reader) -> object:
    return new_object(args[0] if args else None, reader.budget)


def _persistent_object(args: tuple[object, ...], reader: Reader) -> object:
    """NVIDIA's `persistence`: one dict with the class' name, its source text and the state.

    The source text (`module_src`) is dropped unread.
    """
    meta = _argument(args, 0, dict, reader.budget)
    class_name, state = meta.get("class_name"), meta.get("state")
    if not isinstance(class_name, str) or not isinstance(state, dict):
        reader.budget.refuse("a persistent object lacks its class_name or state")
    if not _CLASS_NAME.fullmatch(class_name):
        reader.budget.refuse("a persistent object has a class_name that is no name")
    return Record(class_name, state)


def _storage_bytes(args: tuple[object, ...], reader: Reader) -> object:
    data = _argument(args, 0, bytes | memoryview, reader.budget)
    if reader.load_bytes is None:
        reader.budget.refuse("a torch file lies inside a torch file inside the pickle")
    return reader.load_bytes(memoryview(data), reader.budget)


def _tensor(args: tuple[object, ...], reader: Reader) -> object:
    budget = reader.budget
    dtype = args[6] if len(args) > 6 else None
    if dtype is not None and (
        not isinstance(dtype, GlobalName) or dtype.name not in DTYPES_BY_NAME
    ):
        budget.refuse("a tensor has an unknown type")
    if len(args) < 4:
        budget.refuse("a known function is called with unknown arguments")
    reference = TensorReference(
        storage=_argument(args, 0, Storage, budget),
        offset=checked_sizes(args[1:2], budget)[0],
        shape=checked_shape(_argument(args, 2, tuple, budget), budget),
        stride=checked_sizes(_argument(args, 3, tuple, budget), budget),
        dtype=None if dtype is None else DTYPES_BY_NAME[dtype.name],
    )
    if problem := reference.problem():
        budget.refuse(problem)
    return reference


def _parameter(args: tuple[object, ...], reader: Reader) -> object:
    return _argument(args, 0, TensorReference, reader.budget)


def _tensor_with_attributes(args: tuple[object, ...], reader: Reader) -> object:
    """Read a tensor that had attributes of its own; they are dropped."""
    function = _argument(args, 0, GlobalName, reader.budget)
    inner = _argument(args, 2, tuple, reader.budget)
    if function.name in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3"):
        return _tensor(inner, reader)
    return _parameter(inner, reader)


def _array(args: tuple[object, ...], reader: Reader) -> object:
    kind = _argument(args, 0, GlobalName, reader.budget)
    if kind.name != "numpy.ndarray":
        reader.budget.refuse(f"an array is of the kind {kind.name}")
    return ArrayDraft()


def _array_of_buffer(args: tuple[object, ...], reader: Reader) -> object:
    budget = reader.budget
    if len(args) != 4 or args[3] not in ("C", "F"):
        budget.refuse("a NumPy array has an unknown order")
    return ArrayDraft(array_view(args[0], args[1], args[2], budget, order=str(args[3])))


def _scalar(args: tuple[object, ...], reader: Reader) -> object:
    data = _argument(args, 1, bytes | str, reader.budget)
    data = encode_latin1(data, reader.budget) if isinstance(data, str) else data
    return array_view(data, args[0], (), reader.budget, order="C").item()


def _dtype(args: tuple[object, ...], reader: Reader) -> object:
    code = _argument(args, 0, str, reader.budget)
    if code not in NUMBER_CODES:
        reader.budget.refuse(f"an array is of the NumPy type {code[:20]!a}, not of numbers")
    return DtypeDraft(code)


_CALLS: Final[dict[str, Callable[[tuple[object, ...], Reader], object]]] = {
    "_codecs.encode": _encode,
    "builtins.bytearray": _bytes,
    "builtins.bytes": _bytes,
    "builtins.frozenset": _set,
    "builtins.set": _set,
    "copyreg._reconstructor": _reconstructor,
    "numpy.core.multiarray._reconstruct": _array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _array_of_buffer,
    "numpy.dtype": _dtype,
    "torch.Size": _size,
    "torch._tensor._rebuild_from_type_v2": _tensor_with_attributes,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor,
    "torch.storage._load_from_bytes": _storage_bytes,
}
