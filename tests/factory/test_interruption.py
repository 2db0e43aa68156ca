"""Interrupted anywhere and run again, the factory leaves the same bytes."""

import errno
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from datasetgan.dataset import read_dataset, verify_dataset
from datasetgan.errors import DatasetError, StorageError
from datasetgan.factory import GenerationProgress, GenerationSettings, generate_samples
from datasetgan.interpreter import Interpreter

# 8 samples of 3 files, 3 parts, plan and manifest: every file that a run writes.
NUM_WRITES = 8 * 3 + 3 + 1 + 1


def content(folder: Path) -> dict[str, bytes | None]:
    """Return every file with its bytes and every folder with None."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def run(tiny_generator, interpreter, settings) -> Callable[..., None]:
    def run(out: Path, on_progress=None) -> None:
        generate_samples(
            tiny_generator, interpreter, out, settings=settings, on_progress=on_progress
        )

    return run


@pytest.fixture
def uninterrupted(tmp_path, run) -> dict[str, bytes | None]:
    run(tmp_path / "whole")
    return content(tmp_path / "whole")


def fail_at_write(monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException) -> None:
    """Let a write fail in the middle of the file, and all later ones of the run too."""
    written = 0
    sync = os.fsync

    def failing(descriptor: int) -> None:
        nonlocal written
        written += 1
        if written >= number:
            raise error
        sync(descriptor)

    monkeypatch.setattr("os.fsync", failing)


@pytest.mark.parametrize(("done", "kept"), [(0, 0), (3, 6), (6, 8), (8, 8)])
def test_ctrl_c_between_batches(tmp_path, run, uninterrupted, done, kept):
    def stop(progress: GenerationProgress) -> None:
        if progress.done == done:
            raise KeyboardInterrupt

    # `caught` keeps the frames alive: threads must have ended without their going.
    with pytest.raises(KeyboardInterrupt) as caught:
        run(tmp_path / "d", stop)
    assert not [t for t in threading.enumerate() if t.name.startswith("datasetgan-writer")]
    assert caught.type is KeyboardInterrupt
    with pytest.raises(DatasetError, match="unfinished"):
        read_dataset(tmp_path / "d")
    first = []
    run(tmp_path / "d", lambda progress: first.append(progress.done))
    assert first[0] == kept  # nothing is made twice, not even the batch under way
    assert content(tmp_path / "d") == uninterrupted


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_ctrl_c_while_labelling(tmp_path, run, uninterrupted, monkeypatch, batch):
    calls = 0
    predict = Interpreter.predict

    def interrupted(self, features, **options):
        nonlocal calls
        calls += 1
        if calls == batch:
            raise KeyboardInterrupt
        return predict(self, features, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Interpreter, "predict", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "d")
    run(tmp_path / "d")
    assert content(tmp_path / "d") == uninterrupted


def test_ctrl_c_in_the_middle_of_any_file(tmp_path, tiny_generator, interpreter, monkeypatch):
    settings = GenerationSettings(num_samples=3, batch=2)
    num_writes = 3 * 2 + 2 + 1 + 1

    def run(out: Path) -> None:
        generate_samples(tiny_generator, interpreter, out, settings=settings)

    with monkeypatch.context() as patch:  # the count is right: one later, nothing fails
        fail_at_write(patch, num_writes + 1, KeyboardInterrupt())
        run(tmp_path / "whole")
    for number in range(1, num_writes + 1):
        out = tmp_path / f"d{number}"
        with monkeypatch.context() as patch:
            fail_at_write(patch, number, KeyboardInterrupt())
            with pytest.raises(KeyboardInterrupt):
                run(out)
        assert not list(out.rglob("*.partial"))
        assert not (out / "manifest.json").exists()
        run(out)
        assert content(out) == content(tmp_path / "whole"), f"interrupted at write {number}"


def test_ctrl_c_after_the_manifest(tmp_path, run, uninterrupted, monkeypatch):
    def interrupted(_path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "d")
    assert (tmp_path / "d/.parts").exists()
    verify_dataset(tmp_path / "d")  # the manifest is there, so the dataset is complete
    run(tmp_path / "d")
    assert content(tmp_path / "d") == uninterrupted


def test_a_killed_run_leaves_no_trace(tmp_path, run, uninterrupted):
    def stop(progress: GenerationProgress) -> None:
        if progress.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "d", stop)
    for name in ("images/.000004.png.77.partial", ".parts/.part-000001.json.77.partial"):
        (tmp_path / "d" / name).write_bytes(b"half")
    run(tmp_path / "d")
    assert content(tmp_path / "d") == uninterrupted


def test_files_deleted_in_between_are_made_again(tmp_path, run, uninterrupted):
    def stop(progress: GenerationProgress) -> None:
        if progress.done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "d", stop)
    (tmp_path / "d/labels/000001.png").unlink()
    run(tmp_path / "d")
    assert content(tmp_path / "d") == uninterrupted


@pytest.mark.parametrize("number", [1, 5, 14, NUM_WRITES])
def test_full_disk(tmp_path, run, uninterrupted, monkeypatch, number):
    with monkeypatch.context() as patch:
        fail_at_write(patch, number, OSError(errno.ENOSPC, "No space left on device"))
        with pytest.raises(StorageError, match="disk is full: free some space and run"):
            run(tmp_path / "d")
    left = content(tmp_path / "d")
    assert not [name for name in left if name.endswith(".partial")]
    assert "manifest.json" not in left
    for name, data in left.items():  # what is there is whole
        if name.endswith(".png"):
            assert data == uninterrupted[name]
    run(tmp_path / "d")
    assert content(tmp_path / "d") == uninterrupted


def test_an_unfinished_dataset_of_another_version_is_not_mixed(
    tmp_path, tiny_generator, interpreter, monkeypatch
):
    settings = GenerationSettings(num_samples=4, batch=2)

    def stop(progress: GenerationProgress) -> None:
        if progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_samples(
            tiny_generator, interpreter, tmp_path / "d", settings=settings, on_progress=stop
        )
    monkeypatch.setattr("torch.__version__", "99.0")
    with pytest.raises(DatasetError, match=r"torch_version was .*, now 99\.0"):
        generate_samples(tiny_generator, interpreter, tmp_path / "d", settings=settings)
