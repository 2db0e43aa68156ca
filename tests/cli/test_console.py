"""What a long command says where its output is no terminal."""

import time

import pytest

from datasetgan.cli import console as module
from datasetgan.cli.console import progress_bar


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(module, "say", said.append)
    return said


def test_a_line_every_twentieth(lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOG_PAUSE", 0.0)
    with progress_bar("Counting") as advance:
        for done in range(1001):
            advance(done, 1000, f"loss {done}")
    assert lines[0] == "Counting: 50 of 1,000  loss 50"
    assert lines[-2:] == ["Counting: 950 of 1,000  loss 950", "Counting: done"]
    assert len(lines) == 20


def test_quick_work_says_little(lines: list[str]) -> None:
    with progress_bar("Counting") as advance:
        for done in range(1001):
            advance(done, 1000, "")
    assert lines == ["Counting: done"]


def test_a_line_after_a_long_silence(lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOG_SILENCE", 0.02)
    with progress_bar("Waiting") as advance:
        advance(3, None, "features")
        deadline = time.monotonic() + 30
        while not lines and time.monotonic() < deadline:
            time.sleep(0.005)
    assert lines[0] == "Waiting: 3  features"
    assert lines[-1] == "Waiting: done"


def test_a_failure_is_not_done(lines: list[str]) -> None:
    with pytest.raises(RuntimeError), progress_bar("Failing"):
        raise RuntimeError
    assert lines == []


def test_a_second_count_of_one_part(lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOG_PAUSE", 0.0)
    with progress_bar("Fitting") as advance:
        advance(9, 10, "")
        advance(1, 100, "")
        advance(50, 100, "")
    assert lines == ["Fitting: 9 of 10", "Fitting: 50 of 100", "Fitting: done"]
