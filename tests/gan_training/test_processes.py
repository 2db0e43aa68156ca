"""Several processes train one network: real processes, joined by accelerate over gloo."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from datasetgan.checkpoints.generator_files import load_generator
from datasetgan.errors import UsageError
from datasetgan.gan_training import ProcessGroup, RunFiles, join_processes

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(folder: Path, rank: int, port: int) -> subprocess.Popen[str]:
    variables = {
        "WORLD_SIZE": "2",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "tests.gan_training.processes_worker", str(folder)],
        cwd=ROOT,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_two_processes_share_every_batch_and_agree(tmp_path: Path) -> None:
    port = free_port()
    workers = [start(tmp_path, rank, port) for rank in (0, 1)]
    outputs = [worker.communicate(timeout=240)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], outputs
    reports = [json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
    assert reports[0]["count"] == 2
    # Losses are means over both, so both tell the same; so are the weights they lead to.
    assert reports[0] == reports[1]
    assert reports[0]["snapshots"] == [32, 64]
    assert len(reports[0]["losses"]) == 8
    assert load_generator(tmp_path / "out.safetensors").resolution == 8
    assert len(list(RunFiles(tmp_path).folder.glob("snapshots/*.safetensors"))) == 2


def test_alone_nothing_is_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    group, device = join_processes("auto")
    assert (group, device, group.is_first) == (ProcessGroup(), "auto", True)
    x = torch.tensor([1.0, 2.0])
    group.average_([x])
    assert x.tolist() == [1.0, 2.0]


def test_several_processes_need_accelerate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(UsageError, match=r"datasetgan\[distributed\]"):
        join_processes("auto")
