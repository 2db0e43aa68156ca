"""Pickles made to do harm: each ends in one clear error, with no side effect."""

import os
import pickle  # noqa: TID251 - writes what is attacked with; nothing is loaded with it
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasetgan.checkpoints.foreign_files import read_foreign
from tests.checkpoints import writers
from tests.checkpoints.hostile import no_side_effects, quiet_or_refused, read_one_of_each, refused
from tests.checkpoints.writers import Built, Call, Name, Object, Persistent, PickleWriter, Raw


@pytest.fixture(scope="module", autouse=True)
def _imported(tmp_path_factory: pytest.TempPathFactory) -> None:
    read_one_of_each(tmp_path_factory.mktemp("honest"))


def test_the_watch_sees_what_an_honest_loader_would_run() -> None:
    exploit = pickle.dumps(Exploit(os.system, ("true",)))
    with pytest.raises(AssertionError, match=r"os\.system"), no_side_effects():
        pickle.loads(exploit)


MARK = "touch-me-not"
TORCH_GADGETS = [
    ("torch", "load"),
    ("torch.hub", "load"),
    ("torch.jit", "load"),
    ("torch.serialization", "load"),
    ("torch.utils.model_zoo", "load_url"),
    ("torch._dynamo.guards", "GuardBuilder.get"),
    ("torch.fx.experimental.symbolic_shapes", "ShapeEnv.evaluate_guards_expression"),
    ("torch.utils._config_module", "ConfigModule.load_config"),
    ("torch.utils.collect_env", "run"),
    ("torch.distributed.rpc.internal", "_run_function"),
]
CALLABLES = [
    ("os", "system"),
    ("posix", "system"),
    ("nt", "system"),
    ("subprocess", "Popen"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("builtins", "getattr"),
    ("builtins", "__import__"),
    ("builtins", "open"),
    ("builtins", "compile"),
    ("__builtin__", "eval"),
    ("runpy", "_run_code"),
    ("importlib", "import_module"),
    ("operator", "attrgetter"),
    ("functools", "partial"),
    ("functools", "reduce"),
    ("types", "FunctionType"),
    ("webbrowser", "open"),
    ("pip", "main"),
    ("numpy.testing._private.utils", "runstring"),
    ("numpy", "load"),
    ("numpy.core.multiarray", "load"),
    ("_codecs", "lookup"),
    ("collections", "OrderedDict.fromkeys"),
    ("torch.nn.modules", "__import__"),
    ("torch.nn.modules.module.Module", "__init__.__globals__"),
    ("", ""),
    ("os\nsystem", "x"),
    ("os", "system.__call__"),
    ("\x00", "\ud800"),
    *TORCH_GADGETS,
]


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(("module", "name"), CALLABLES)
def test_calls_of_strangers_are_refused(
    tmp_path: Path, module: str, name: str, protocol: int
) -> None:
    target = tmp_path / MARK
    value = Call(Name(module, name), (f"touch {target}",))
    data = PickleWriter(protocol=protocol).dumps({"G_ema": value})
    message = refused(tmp_path / "x.pkl", data)
    if module.isidentifier() and name.isidentifier():
        assert f"asks for {module}.{name}," in message
    assert not target.exists()


@pytest.mark.parametrize("inside", ["torch-zip", "torch-legacy", "nested storage"])
def test_the_same_inside_every_container(tmp_path: Path, inside: str) -> None:
    value = Call(Name("os", "system"), (f"touch {tmp_path / MARK}",))
    if inside == "torch-zip":
        data = writers.write_torch_zip(tmp_path / "x.pt", value).read_bytes()
    elif inside == "torch-legacy":
        data = writers.legacy_bytes(value)
    else:
        storage = Call(Name("torch.storage", "_load_from_bytes"), (writers.legacy_bytes(value),))
        data = PickleWriter().dumps({"a": writers.rebuilt(storage, torch.ones(1))})
    refused(tmp_path / "x.pt", data, match=r"asks for os\.system,")
    assert not (tmp_path / MARK).exists()


class Exploit:
    """What an attacker pickles with Python's own pickle."""

    def __init__(self, *reduced: Any) -> None:
        self.reduced = reduced

    def __reduce__(self) -> Any:
        return self.reduced


@pytest.mark.parametrize("protocol", range(6))
def test_exploits_written_by_python(tmp_path: Path, protocol: int) -> None:
    touch = f"touch {tmp_path / MARK}"
    inner = Exploit(eval, (f"__import__('os').system({touch!r})",))
    for value in (
        Exploit(os.system, (touch,)),
        {"G_ema": inner},
        [Exploit(getattr, (Exploit(__import__, ("os",)), "system"))],
        Exploit(list, (inner,)),
        Exploit(dict, (), {"x": inner}),
        Exploit(set, ([inner],)),
    ):
        refused(tmp_path / "x.pkl", pickle.dumps(value, protocol))
    assert not (tmp_path / MARK).exists()


ORDERED = Name("collections", "OrderedDict")
MODULE = Name("torch.nn.modules.module", "Module")
PERSISTENT = Name("torch_utils.persistence", "_reconstruct_persistent_obj")
DTYPE = writers.dtype_value(np.dtype("f4"))

MACHINE_GAMES: dict[str, Any] = {
    "EXT1": Raw(b"\x82\x01"),
    "EXT2": Raw(b"\x83\x01\x00"),
    "EXT4": Raw(b"\x84\x01\x00\x00\x00"),
    "INST": Raw(b"(ios\nsystem\n"),
    "OBJ": Raw(b"(cos\nsystem\no"),
    "NEWOBJ_EX": Raw(PickleWriter().code(ORDERED) + b")}\x92"),
    "text persistent id": Raw(b"Pos.system\n"),
    "out-of-band buffer": Raw(b"\x97"),
    "unknown opcode": Raw(b"\xff"),
    "call of a list": Call([1], ()),
    "call of a string": Call("os.system", ("x",)),
    "call with a list": Raw(PickleWriter().code(ORDERED) + b"]R"),
    "call of a type name": Call(Name("torch", "FloatStorage"), (1,)),
    "call of an inert name": Call(Name("builtins", "object"), ()),
    "new object of a function": Object(Name("_codecs", "encode")),
    "new object of a tensor": Object(Name("torch", "Tensor")),
    "state of a list": Built([], {"__class__": 1}),
    "state of a name": Built(ORDERED, {"__setstate__": 1}),
    "state of a module that is no dict": Built(Object(MODULE), [1]),
    "append to a dict": Raw(b"}Na"),
    "items of a list": Raw(b"]NNs"),
    "items of a record": Raw(PickleWriter().code(Object(MODULE)) + b"NNs"),
    "odd items": Raw(b"}(Nu"),
    "set items of a list": Raw(b"](N\x90"),
    "mark without end": Raw(b"("),
    "no mark": Raw(b"]e"),
    "empty stack": Raw(b"a"),
    "memo never put": Raw(b"h\x07"),
    "memo of nothing": Raw(b"0q\x01"),
    "dictionary as a key": Raw(b"}(}Nu"),
    "tuple as a key": {("a", "b"): 1},
    "huge number as a key": {2**61 - 1: 1},
    "set of a list": Call(Name("builtins", "set"), ([[1]],)),
    "persistent id without a file": Persistent(("storage", 1, 2, 3, 4)),
    "name of numbers": Raw(b"K\x01K\x02\x93"),
    "truncated name": Raw(b"cos"),
    "huge text": Raw(b"X\xff\xff\xff\xff"),
    "huge bytes": Raw(b"\x8e" + b"\xff" * 8),
    "huge bytearray": Raw(b"\x96" + b"\xff" * 7 + b"\x7f"),
    "huge frame": Raw(b"\x95" + b"\xff" * 8),
    "huge number": Raw(b"\x8b\x00\x00\x00\x40"),
    "negative text": Raw(b"T\xff\xff\xff\xff"),
    "text that is no UTF-8": Raw(b"X\x02\x00\x00\x00\xff\xff"),
    "encode with a codec": Call(Name("_codecs", "encode"), ("x", "rot13")),
    "encode of no latin-1": Call(Name("_codecs", "encode"), ("\u20ac", "latin1")),
    "dictionary of a number": Call(ORDERED, (7,)),
    "dictionary of no pairs": Call(ORDERED, ([[1, 2, 3]],)),
    "dictionary with lists as keys": Call(ORDERED, ([[[1], 2]],)),
    "persistent object of a list": Call(PERSISTENT, ([1],)),
    "persistent object without state": Call(PERSISTENT, ({"class_name": "G"},)),
    "dtype of objects": Call(Name("numpy", "dtype"), ("O8", False, True)),
    "dtype of voids": Call(Name("numpy", "dtype"), ("V8", False, True)),
    "dtype by evaluation": Call(Name("numpy", "dtype"), ("{'names':['a']}", False, True)),
    "dtype with fields": Built(DTYPE, (3, "<", None, ("a",), {"a": (DTYPE, 0)}, 4, 1, 0)),
    "array of a subclass": Call(
        Name("numpy.core.multiarray", "_reconstruct"), (ORDERED, (0,), b"b")
    ),
    "scalar that is too short": Call(Name("numpy.core.multiarray", "scalar"), (DTYPE, b"x")),
    "storage bytes of no file": Call(Name("torch.storage", "_load_from_bytes"), (b"x" * 9,)),
    "tensor without a storage": Call(
        Name("torch._utils", "_rebuild_tensor_v2"), ([1], 0, (1,), (1,), False, {})
    ),
    "tensor of a function": Call(
        Name("torch._tensor", "_rebuild_from_type_v2"), (ORDERED, ORDERED, ({},), {})
    ),
    "tensor without arguments": Call(Name("torch._utils", "_rebuild_tensor"), ()),
    "tensor without a shape": Call(
        Name("torch._utils", "_rebuild_tensor_v2"),
        (writers.bytes_tensor(torch.ones(2)).args[0],),
    ),
    "persistent object of no name": Call(PERSISTENT, ({"class_name": "a\nb", "state": {}},)),
}


@pytest.mark.parametrize("game", MACHINE_GAMES)
def test_games_with_the_machine(tmp_path: Path, game: str) -> None:
    refused(tmp_path / "x.pkl", PickleWriter().dumps({"a": MACHINE_GAMES[game]}), match=r"x\.pkl: ")


def test_the_source_in_a_pickle_is_never_run(tmp_path: Path) -> None:
    network = writers.nvidia_network("Generator", {"a": torch.ones(1)}, {})
    path = writers.write_pickle(tmp_path / "x.pkl", {"G_ema": network})
    with no_side_effects():
        assert read_foreign(path).networks["G_ema"].class_name == "Generator"


def test_setstate_of_a_record_is_only_data(tmp_path: Path) -> None:
    state = {"__class__": "x", "__setstate__": 1, "__reduce__": 2, "_parameters": {"a": np.ones(1)}}
    path = writers.write_pickle(tmp_path / "x.pkl", Object(MODULE, state))
    with no_side_effects():
        assert list(read_foreign(path).networks[""].tensors) == ["a"]


@pytest.mark.parametrize("pid", [None, 7, "x", b"x", [], (), ("storage",), ("storage", 1, 2, 3, 4)])
def test_odd_persistent_ids(tmp_path: Path, pid: object) -> None:
    path = writers.write_torch_zip(tmp_path / "x.pt", {"a": Persistent(pid)})
    refused(path, path.read_bytes(), match="persistent id is of an unknown form")


# ---- made by hypothesis ----------------------------------------------------------------

KNOWN = [
    ORDERED,
    MODULE,
    PERSISTENT,
    Name("numpy", "dtype"),
    Name("numpy.core.multiarray", "_reconstruct"),
    Name("torch.storage", "_load_from_bytes"),
    Name("torch._utils", "_rebuild_tensor_v2"),
]
STRANGERS = [Name(*pair) for pair in CALLABLES if "\ud800" not in pair[1]]
NAMES = st.sampled_from(KNOWN + STRANGERS) | st.builds(
    Name, st.text(max_size=8), st.text(max_size=8)
)
LEAVES = (
    st.none()
    | st.integers(-(2**70), 2**70)
    | st.text(max_size=8)
    | st.binary(max_size=8)
    | NAMES
    | st.binary(min_size=1, max_size=4).map(Raw)
    | st.sampled_from([Raw(b"h\x00"), Raw(b"Nq\x00"), Raw(b"\x94N"), Raw(b"0"), Raw(b"2")])
)
HOSTILE = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.builds(Call, inner, st.lists(inner, max_size=3).map(tuple))
        | st.builds(Built, inner, inner)
        | st.builds(Object, inner, inner)
        | st.builds(Persistent, inner)
        | st.builds(lambda v: {"G_ema": v}, inner)
    ),
    max_leaves=10,
)
QUIETLY = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@QUIETLY
@given(HOSTILE, st.sampled_from(["pickle", "torch-zip", "torch-legacy"]))
def test_whatever_a_pickle_says_it_is_refused_or_harmless(
    tmp_path: Path, value: Any, container: str
) -> None:
    path = tmp_path / "x.bin"
    if container == "torch-zip":
        writers.write_torch_zip(path, value)
    else:
        code = PickleWriter(protocol=4).dumps
        path.write_bytes(code(value) if container == "pickle" else writers.legacy_bytes(value))
    quiet_or_refused(path)


@pytest.fixture(scope="session")
def honest(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("honest")
    tensors = {"mapping.w": torch.ones(2, 3), "mapping.w_avg": torch.ones(2)}
    network = {"G_ema": writers.nvidia_network("Generator", tensors, {"z_dim": 2})}
    gs = writers.tf_network("G_style", {"a": np.ones(2)}, {"x": 1})
    np.savez_compressed(folder / "x.npz", a=np.ones((2, 3)), b=np.zeros(2))
    return [
        PickleWriter(protocol=2).dumps(network),
        PickleWriter(protocol=4).dumps((gs, gs, gs)),
        writers.write_torch_zip(folder / "x.pt", {"g_ema": tensors}).read_bytes(),
        writers.legacy_bytes({"g_ema": tensors}),
        writers.write_safetensors(folder / "x.safetensors", tensors).read_bytes(),
        (folder / "x.npz").read_bytes(),
    ]


@QUIETLY
@given(data=st.data())
def test_damaged_files_of_every_format(
    tmp_path: Path, honest: list[bytes], data: st.DataObject
) -> None:
    content = bytearray(data.draw(st.sampled_from(honest)))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        content = content or bytearray(b"x")
    path = tmp_path / "x.bin"
    path.write_bytes(content)
    quiet_or_refused(path)
