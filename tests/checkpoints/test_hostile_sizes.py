"""Files with absurd sizes, bombs and endless nesting: refused, with bounded memory."""

import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from datasetgan.checkpoints.foreign_files import read_foreign
from datasetgan.errors import CheckpointError
from tests.checkpoints import writers
from tests.checkpoints.hostile import read_one_of_each, refused
from tests.checkpoints.writers import Built, Call, Name, Object, Persistent, PickleWriter, Raw

MEGABYTE = 1 << 20
MODULE = Name("torch.nn.modules.module", "Module")
DTYPE = writers.dtype_value(np.dtype("f4"))


@pytest.fixture(scope="module", autouse=True)
def _imported(tmp_path_factory: pytest.TempPathFactory) -> None:
    read_one_of_each(tmp_path_factory.mktemp("honest"))


def storage(numel: object, key: object = "0", kind: str = "FloatStorage") -> Persistent:
    return Persistent(("storage", Name("torch", kind), key, "cpu", numel))


def view(base: object, offset: object, shape: object, stride: object) -> Call:
    args = (base, offset, shape, stride, False, {})
    return Call(Name("torch._utils", "_rebuild_tensor_v2"), args)


@pytest.mark.parametrize(
    "tensor",
    [
        view(storage(4), 0, (5,), (1,)),
        view(storage(4), 1, (4,), (1,)),
        view(storage(4), -1, (2,), (1,)),
        view(storage(4), 0, (2, 2), (3, 1)),
        view(storage(4), 0, (4,), (-1,)),
        view(storage(4), 0, (1 << 39,), (0,)),
        view(storage(4), 0, (1 << 60,), (0,)),
        view(storage(4), 0, (0, 1 << 39, 1 << 39), (0, 0, 0)),
        view(storage(4), 0, (2,), (1, 1)),
        view(storage(4), 0, (2.0,), (1,)),
        view(storage(4), 0, (True,), (1,)),
        view(storage(4), 0, (1,) * 40, (1,) * 40),
        view(storage(4), 0, [2], (1,)),
        view(storage(1 << 41), 0, (2,), (1,)),
        view(storage(-1), 0, (2,), (1,)),
        view(storage(4, "../../etc/passwd"), 0, (2,), (1,)),
        view(storage(4, 0), 0, (2,), (1,)),
        view(storage(8), 0, (2,), (1,)),  # the member has 4 elements
        view(storage(4, kind="ComplexFloatStorage"), 0, (2,), (1,)),
    ],
)
def test_absurd_tensors(tmp_path: Path, tensor: object) -> None:
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", PickleWriter(protocol=2).dumps({"w": tensor}))
        archive.writestr("a/data/0", bytes(16))
    refused(path, path.read_bytes())


@pytest.mark.parametrize("shape", [(3,), (-4,), (1 << 62, 4), (0, 1 << 39, 1 << 39), [4], (4.0,)])
def test_absurd_arrays(tmp_path: Path, shape: object) -> None:
    empty = Call(
        Name("numpy.core.multiarray", "_reconstruct"), (Name("numpy", "ndarray"), (0,), b"b")
    )
    array = Built(empty, (1, shape, DTYPE, False, bytes(16)))
    refused(tmp_path / "x.pkl", PickleWriter().dumps({"w": array}))


def peak_while(action: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class TestMemory:
    def test_a_zip_bomb(self, tmp_path: Path) -> None:
        path = tmp_path / "x.npz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.npy", bytes(100 * MEGABYTE))
        data = path.read_bytes()
        assert peak_while(lambda: refused(path, data, match="zip bomb")) < MEGABYTE

    def test_a_member_that_lies_about_its_size(self, tmp_path: Path) -> None:
        path = writers.write_torch_zip(tmp_path / "x.pt", {"a": torch.ones(64)})
        data = bytearray(path.read_bytes())
        for signature, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
            start = data.index(signature)
            data[start + place : start + place + 4] = struct.pack("<I", 15 * MEGABYTE)
        refused(path, bytes(data))

    def test_overlapping_members(self, tmp_path: Path) -> None:
        packed = zlib.compress(bytes(1000), wbits=-15)
        local = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 8, 0, 0, 0, len(packed), 1000, 1, 0)
        entry = struct.pack(
            "<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 8, 0, 0, 0, len(packed), 1000, 1, *[0] * 6
        )
        directory = b"".join(entry + b"%c" % (65 + i) for i in range(20))
        start = len(local) + 1 + len(packed)
        end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 20, 20, len(directory), start, 0)
        refused(tmp_path / "x.npz", local + b"A" + packed + directory + end)

    def test_one_storage_read_a_hundred_times(self, tmp_path: Path) -> None:
        stored = writers.bytes_tensor(torch.ones(1 << 16)).args[0].args[0]
        kept = PickleWriter().code(stored) + b"q\x01"
        load = Call(Name("torch.storage", "_load_from_bytes"), (Raw(b"h\x01"),))
        value = {str(i): view(load, 0, (1 << 16,), (1,)) for i in range(100)}
        data = PickleWriter().dumps({"kept": Raw(kept), "g": value})
        peak = peak_while(lambda: refused(tmp_path / "x.pkl", data, match="far more data"))
        assert peak < 20 * MEGABYTE

    def test_one_array_named_a_thousand_times(self, tmp_path: Path) -> None:
        kept = PickleWriter().code(bytes(MEGABYTE)) + b"q\x01"
        empty = Call(
            Name("numpy.core.multiarray", "_reconstruct"), (Name("numpy", "ndarray"), (0,), b"b")
        )
        state = (1, (MEGABYTE // 4,), DTYPE, False, Raw(b"h\x01"))
        value = {str(i): Built(empty, state) for i in range(1000)}
        data = PickleWriter().dumps({"kept": Raw(kept), "g": value})
        peak = peak_while(lambda: refused(tmp_path / "x.pkl", data, match="far more data"))
        assert peak < 20 * MEGABYTE

    def test_one_text_encoded_a_thousand_times(self, tmp_path: Path) -> None:
        kept = Raw(PickleWriter().code("x" * MEGABYTE) + b"q\x01")
        encode = Call(Name("_codecs", "encode"), (Raw(b"h\x01"), "latin1"))
        data = PickleWriter().dumps([kept, *[encode] * 1000])
        peak = peak_while(lambda: refused(tmp_path / "x.pkl", data, match="far more data"))
        assert peak < 20 * MEGABYTE

    def test_doubling_by_memo_costs_nothing(self, tmp_path: Path) -> None:
        doubled = b"]N" + b"a" + b"".join(b"q\x010](h\x01h\x01e" for _ in range(1000))
        data = PickleWriter().dumps({"config": Raw(doubled), "a": np.ones(1)})
        (tmp_path / "x.pkl").write_bytes(data)
        assert list(read_foreign(tmp_path / "x.pkl").networks[""].tensors) == ["a"]

    def test_doubled_settings_come_to_an_end(self, tmp_path: Path) -> None:
        wide = b"](" + b"N" * 200 + b"e"
        for _ in range(4):
            wide += b"q\x010](" + b"h\x01" * 200 + b"e"
        state = {"_init_kwargs": {"x": Raw(wide)}, **writers.module_state({"a": torch.ones(1)})}
        value = {"G_ema": writers.persistent_object("Generator", state)}
        refused(tmp_path / "x.pkl", PickleWriter().dumps(value), match="does not come to an end")

    @pytest.mark.parametrize("opener", [b"]", b"(", b")\x85", b"}"])
    def test_nesting_without_end(self, tmp_path: Path, opener: bytes) -> None:
        depth = 60_000
        closer = {b"]": b"a", b"(": b"t", b")\x85": b"\x86", b"}": b"Ns"}[opener]
        body = opener * depth + (b"N" if opener == b"}" else b"") + closer * (depth - 1)
        path = tmp_path / "x.pkl"
        path.write_bytes(b"\x80\x04" + body + b".")
        with pytest.raises(CheckpointError):
            read_foreign(path)

    def test_modules_that_contain_themselves(self, tmp_path: Path) -> None:
        inner = Raw(PickleWriter().code(Object(MODULE)) + b"q\x01")
        loop = Built(inner, {"_modules": {"a": Raw(b"h\x01"), "b": Raw(b"h\x01")}})
        data = PickleWriter().dumps({"G_ema": loop})
        refused(tmp_path / "x.pkl", data, match="nested without end|does not come to an end")

    def test_a_pickle_without_end(self, tmp_path: Path) -> None:
        data = b"\x80\x04" + b"N0" * 500_001 + b"}."
        refused(tmp_path / "x.pkl", data, match="does not come to an end")


@pytest.mark.parametrize(
    "name", ["../data.pkl", "/a/data.pkl", "a/../../data.pkl", "C:/data.pkl", "a\\..\\data.pkl"]
)
def test_paths_that_lead_out_of_the_archive(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, PickleWriter(protocol=2).dumps({}))
        archive.writestr("a/data.pkl", PickleWriter(protocol=2).dumps({}))
    refused(path, path.read_bytes(), match="lead out of it")
