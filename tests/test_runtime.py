"""Runtimes and random streams."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import datasetgan
from datasetgan.errors import UsageError
from datasetgan.runtime import (
    Stream,
    random_state,
    resolve_runtime,
    training_precision,
    usable_threads,
)


def test_auto_is_float32_on_a_present_device() -> None:
    runtime = resolve_runtime(threads=1)
    assert runtime.precision == "float32"
    assert torch.zeros(1, device=runtime.torch_device).item() == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "cuda:77"}, "cannot be used here. Present: cpu"),
        ({"device": "gpu"}, "cannot be used here. Present: cpu"),
        ({"precision": "float8"}, "unknown precision"),
        ({"threads": 0}, "threads must be at least 1"),
    ],
)
def test_what_is_not_there_is_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve_runtime(**arguments)  # type: ignore[arg-type]


def test_training_takes_half_precision_only_where_it_multiplies_fast(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    for supported, precision in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda s=supported: s)
        assert training_precision("cpu") == precision
    assert training_precision("mps") == "float32"


def test_random_streams_are_frozen() -> None:
    # These numbers must never change: stored seeds stand for samples.
    first = random_state(3, 0).standard_normal(3)
    np.testing.assert_allclose(first, FROZEN, rtol=1e-12)
    assert not np.allclose(first, random_state(3, 1).standard_normal(3))


FROZEN = [-0.007189215323054462, 0.9717928658845372, -0.47764578818084297]


def test_existing_streams_keep_their_numbers() -> None:
    first = {path: int(random_state(*path).randint(2**31)) for path in PINNED}
    assert first == PINNED


def test_distinct_paths_of_a_new_stream_are_independent() -> None:
    # Of the first streams' paths the ends of zeros did not count, and large integers were cut up.
    paths = [(0, 64), (0, 64, 0), (0, 64, 0, 0), (0, 64 + 2**32), (0, 64, 2**32), (0, 64, 0, 1)]
    assert len({int(random_state(*path).randint(2**62)) for path in paths}) == len(paths)


def test_every_purpose_has_its_stream() -> None:
    # No file names a number of its own.
    assert len(set(Stream)) == len(set(Stream.__members__.values()))
    source = Path(datasetgan.__file__).parent
    for path in source.rglob("*.py"):
        assert not re.search(r"STREAM\w* = \d|random_state\([^)]*, \d", path.read_text()), path


# Drawn before there was a list of streams.
PINNED = {
    (0, 0): 2058676884,
    (3, 0): 1695811068,
    (3, 0, 0): 1695811068,
    (7, 1, 4): 261525936,
    (7, 2, 5, 0): 1639863641,
    (7, 2, 5, 1): 280259718,
    (1, 3, 9): 1918085310,
    (1, 5): 175422652,
    (1, 5, 2): 1085090551,
    (1, 6, 0, 1): 2120948021,
    (2, 16, 1, 0): 1943503251,
    (0, 30): 817667894,
    (4, 21): 713602164,
    (1000003, 0): 1221070127,
}


@pytest.mark.parametrize(
    ("asked", "files", "wanted"),
    [
        ("1", {}, 1),
        ("3,2", {}, 3),
        ("", {}, 8),
        ("zero", {}, 8),
        ("0", {}, 8),
        ("", {"cpu.max": "max 100000"}, 8),
        ("", {"cpu.max": "150000 100000"}, 2),
        ("1", {"cpu.max": "400000 100000"}, 1),
        ("", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ("", {"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ("", {"cpu.max": "nonsense"}, 8),
        ("", {"cpu.max": "100 0"}, 8),
    ],
)
def test_threads_are_those_that_the_process_may_use(
    asked: str,
    files: dict[str, str],
    wanted: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n", "ascii")
    assert usable_threads(tmp_path) == wanted


def test_a_runtime_takes_no_more_threads_than_were_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    resolve_runtime("cpu")
    assert torch.get_num_threads() == 1
