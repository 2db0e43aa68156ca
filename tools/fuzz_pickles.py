"""Feeds mutated checkpoints to the reader of foreign files, guided by coverage (atheris).

    python tools/fuzz_pickles.py SEEDS_AND_FINDINGS_FOLDER -max_total_time=600

The folder is filled with honest files of every format first. An input that begins
with the byte 0xfe is not a file itself but spells one: its bytes choose among the
names that the reader knows, so that calls with wrong arguments, in wrong places and
of wrong kinds come up often. A finding is an
exception other than `CheckpointError`, a process started or a module imported by
a file, a file opened for writing, more than 1.5 GB of memory, or 20 seconds of
time. The figures of a run are printed every minute. atheris is no dependency of
the project: install it beside the package (`pip install atheris`).
"""

import os
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import atheris
import numpy as np
import torch

with atheris.instrument_imports(include=["datasetgan.checkpoints"]):
    from datasetgan.checkpoints import foreign_files, pickle_names

from datasetgan.errors import CheckpointError

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.checkpoints import writers

# One folder in memory where there is one: every input is written to a file and read.
INPUT = Path(mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)) / "input"
FORBIDDEN = ("import", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.remove")
FORBIDDEN += ("subprocess.Popen", "socket.connect", "shutil", "ctypes.dlopen", "compile")
FORBIDDEN += ("exec", "pickle.find_class", "os.rename", "os.mkdir")

watching = False
outcomes: Counter[str] = Counter()
started = time.monotonic()
reported = started


class SideEffect(BaseException):
    """A file made the process do something; not an Exception, so that nobody catches it."""


def audit(event: str, args: tuple[object, ...]) -> None:
    """Refuse what no reader of weights does (`sys.addaudithook`)."""
    if not watching:
        return
    writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
    if writes or event.startswith(FORBIDDEN):
        raise SideEffect(f"{event} {args!r}"[:300])


SPELT = b"\xfe"
NAMES = [
    writers.Name(*name.rsplit(".", 1))
    for name in sorted({*pickle_names._CALLS, *pickle_names._MAPPINGS, *pickle_names._INERT})
]
NAMES += [
    writers.Name("torch.nn.modules.module", "Module"),
    writers.Name("dnnlib.tflib.network", "Network"),
    writers.Name("torch_utils.persistence", "_reconstruct_persistent_obj"),
    writers.Name("os", "system"),
]
WORDS = ["storage", "0", "cpu", "latin1", "f4", "<", "C", "G_ema", "class_name", "state", "a"]
WORDS += ["_parameters", "_buffers", "_modules", "_init_kwargs", "variables", "components"]
# Honest parts, which dishonest calls are made of.
PARTS = [
    writers.Persistent(("storage", writers.Name("torch", "FloatStorage"), "0", "cpu", 2)),
    writers.bytes_tensor(torch.ones(2)).args[0],
    writers.bytes_tensor(torch.ones(2)),
    writers.dtype_value(np.dtype("f4")),
    np.ones(2, "f4"),
    np.float32(1).tobytes(),
]


def spelt_value(choose: atheris.FuzzedDataProvider, depth: int = 0) -> Any:
    """Return a value of `writers`, chosen by the input's bytes."""
    kind = choose.ConsumeIntInRange(0, 14 if depth < 6 else 6)
    inner = [
        spelt_value(choose, depth + 1)
        for _ in range(choose.ConsumeIntInRange(0, 7) if kind > 6 else 0)
    ]
    first, second = (*inner, None, 0)[:2]
    match kind:
        case 0:
            return choose.PickValueInList([None, True, 0, 1, 2, 4, -1, 1 << 40, 1 << 70, 0.5])
        case 1 | 2:
            return choose.PickValueInList(NAMES)
        case 3:
            return choose.PickValueInList(WORDS)
        case 4:
            return choose.ConsumeBytes(choose.ConsumeIntInRange(0, 16))
        case 5:
            return writers.Raw(choose.PickValueInList([b"h\x00", b"Nq\x00", b"2", b"0", b"N\x94"]))
        case 6:
            return choose.PickValueInList(PARTS)
        case 7:
            return inner
        case 8:
            return tuple(inner)
        case 9:
            return {choose.PickValueInList(WORDS): value for value in inner}
        case 10:
            return writers.Built(first, second)
        case 11:
            return writers.Object(choose.PickValueInList(NAMES), first)
        case 12:
            return writers.Persistent(tuple(inner))
        case _:
            return writers.Call(choose.PickValueInList(NAMES), tuple(inner))


def spelt_file(data: bytes) -> None:
    """Write the file that an input spells."""
    choose = atheris.FuzzedDataProvider(data)
    container = choose.ConsumeIntInRange(0, 3)
    value = {"G_ema": spelt_value(choose)}
    if container == 0:
        writers.write_torch_zip(INPUT, value)
    elif container == 1:
        INPUT.write_bytes(writers.legacy_bytes(value))
    else:
        writers.write_pickle(INPUT, value, protocol=choose.ConsumeIntInRange(2, 5))


def seeds(folder: Path) -> None:
    """Write honest files of every format, small enough to mutate well."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        "mapping.fc0.weight": torch.arange(6.0).reshape(2, 3),
        "mapping.w_avg": torch.ones(2),
        "synthesis.b4.const": torch.zeros(1, 2, 2).transpose(1, 2),
    }
    network = writers.nvidia_network("Generator", tensors, {"z_dim": 2, "mapping_kwargs": {"n": 2}})
    for protocol in (2, 3, 4, 5):
        value = {"G_ema": network, "training_set_kwargs": {"path": "x"}, "augment_pipe": None}
        writers.write_pickle(folder / f"nvidia-{protocol}", value, protocol=protocol)
        arrays = {"a": np.arange(4.0), "b": np.ones((2, 2), "f4")}
        mapping = writers.tf_network("G_mapping", arrays, {"x": 1}, name="G_mapping")
        parts = {"G_mapping": mapping}
        gs = writers.tf_network("G_style", {"lod": arrays["a"]}, {"r": 8}, components=parts)
        writers.write_pickle(folder / f"tf-{protocol}", (gs, gs, gs), protocol=protocol)
        writers.write_pickle(folder / f"arrays-{protocol}", arrays, protocol=protocol)
    value = {"g_ema": tensors, "latent_avg": torch.ones(2), "args": {"size": 8}}
    writers.write_torch_zip(folder / "torch-zip", value)
    (folder / "torch-legacy").write_bytes(writers.legacy_bytes(value))
    writers.write_safetensors(folder / "safetensors", tensors)
    np.savez(folder / "arrays.npz", **{"a.weight": np.ones((2, 3), "f4"), "b": np.ones(2)})
    np.savez_compressed(folder / "packed.npz", a=np.zeros(100))
    stream = np.random.RandomState(0)
    for index in range(20):
        (folder / f"spelt-{index}").write_bytes(SPELT + stream.bytes(200))


def read(data: bytes) -> None:
    """Read one input and count how it ended."""
    global watching, reported
    if data.startswith(SPELT):
        spelt_file(data[1:])
    else:
        INPUT.write_bytes(data)
    watching = True
    try:
        file = foreign_files.read_foreign(INPUT)
        outcomes[f"read as {file.format}"] += 1
    except CheckpointError:
        outcomes["refused"] += 1
    finally:
        watching = False
    if time.monotonic() - reported > 60:
        reported = time.monotonic()
        report()


def report() -> None:
    """Print the figures so far."""
    figures = ", ".join(f"{count} {name}" for name, count in sorted(outcomes.items()))
    seconds = time.monotonic() - started
    print(f"{seconds:.0f} s, {sum(outcomes.values())} inputs: {figures}", flush=True)


def main() -> None:
    """Fill the folder and start libFuzzer; its own options may follow the folder."""
    folder = Path(sys.argv[1])
    seeds(folder)
    # What the reader imports late is imported before the watch begins.
    for path in sorted(folder.iterdir()):
        read(path.read_bytes())
    sys.addaudithook(audit)
    limits = ["-rss_limit_mb=1536", "-timeout=20", "-max_len=8192", "-print_final_stats=1"]
    findings = f"-artifact_prefix={folder.resolve()}{os.sep}"
    atheris.Setup([sys.argv[0], *limits, findings, *sys.argv[1:]], read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
