"""Triton's kernel is taken where it says what plain PyTorch says, and sooner."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest
import torch

from datasetgan.errors import UsageError
from datasetgan.interpreter.ensemble.folded import FoldedHead
from datasetgan.interpreter.labelling import EngineChoice, Labeller, LabelMaps, engines
from datasetgan.interpreter.labelling.engines import (
    fastest_engine,
    tried_kernel,
    verified_engine,
)
from tests.interpreter.labelling.test_engines import make_head

Engine = Callable[[], LabelMaps]


def maps() -> LabelMaps:
    random = torch.Generator().manual_seed(0)
    probabilities = torch.rand(1, 3, 64, 64, generator=random)
    return LabelMaps(probabilities.argmax(dim=1), probabilities[:, 0] / 2, probabilities)


class Clock:
    """Stands still but for what engines take."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def engine(self, seconds: Iterator[float], result: LabelMaps) -> Engine:
        def label() -> LabelMaps:
            self.now += next(seconds)
            return result

        return label


def choose(result: LabelMaps, *, triton: float = 0.001, plain: float = 0.004) -> EngineChoice:
    """Let fakes race: a first call that loads and compiles, then three that count."""
    clock = Clock()
    return verified_engine(
        clock.engine(iter([9.0, plain, 2 * plain, 3 * plain]), maps()),
        clock.engine(iter([60.0, 3 * triton, triton, 2 * triton]), result),
        clock=clock,
    )


def test_a_kernel_that_is_right_and_faster_is_taken() -> None:
    reason = "Triton's kernel gives the same labels in 1.0 ms where plain PyTorch takes 4.0 ms."
    assert choose(maps()) == EngineChoice("triton", reason)


@pytest.mark.parametrize("seconds", [0.004, 0.01])
def test_a_kernel_that_is_no_faster_is_not(seconds: float) -> None:
    choice = choose(maps(), triton=seconds)
    assert choice.engine == "plain"
    assert choice.reason.startswith("Triton's kernel is no faster: ")


def test_rounding_does_not_count() -> None:
    given = maps()
    given.label_map[0, 0, :4] += 1  # 4 of 4,096 pixels
    close = replace(given, uncertainty=given.uncertainty + 1e-5)
    assert choose(close).engine == "triton"


def wrong(what: str) -> LabelMaps:
    given = maps()
    if what == "labels":
        given.label_map[0, 0, :5] += 1
    elif what == "divergence":
        given.uncertainty[0] += 0.01
    elif what == "probabilities":
        assert given.probabilities is not None
        given.probabilities[0, 1] += 0.01
    else:
        given.uncertainty[0, 3, 3] = torch.nan
    return given


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("labels", "0.12 % of labels."),
        ("divergence", "divergence by 0.01 on average."),
        ("probabilities", "probabilities by 0.0033 on average."),
        ("nan", "divergence by nan on average."),
    ],
)
def test_a_kernel_that_is_wrong_is_not(what: str, said: str) -> None:
    reason = f"Triton's kernel differs from plain PyTorch: {said}"
    assert choose(wrong(what)) == EngineChoice("plain", reason)


@pytest.mark.parametrize("error", [RuntimeError("no such image"), UsageError("not finite")])
@pytest.mark.parametrize("calls", [0, 2])
def test_a_kernel_that_fails_is_not(error: Exception, calls: int) -> None:
    left = iter(range(calls))

    def failing() -> LabelMaps:
        if next(left, None) is None:
            raise error
        return maps()

    choice = verified_engine(maps, failing)
    assert choice.engine == "plain"
    assert choice.reason == f"Triton's kernel failed: {type(error).__name__}: {error}"


def test_an_error_of_plain_pytorch_is_no_choice() -> None:
    def failing() -> LabelMaps:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        verified_engine(failing, maps)


@pytest.mark.parametrize("shift", [0, 1])
def test_the_trial_labels_one_small_picture(monkeypatch: pytest.MonkeyPatch, shift: int) -> None:
    """With plain PyTorch in the kernel's place: there is no GPU."""
    pictures = []

    def kernel(images, head, area, *, out, precision):  # type: ignore[no-untyped-def]
        pictures.append([tuple(level.shape) for level in images[0]])
        assert (len(images), area.size, precision) == (1, (128, 128), "float32")
        engines.label_plainly(images, head, area, out=out)
        assert len(out.label_map.unique()) > 2
        out.label_map.add_(shift)

    monkeypatch.setattr(engines, "label_on_gpu", kernel)
    channels = [5, 4, 3, 2]
    choice = tried_kernel(make_head("mlp", sum(channels)).fold(), channels)
    if shift:
        assert choice.engine == "plain"
        assert choice.reason.endswith("differs from plain PyTorch: 100.00 % of labels.")
    else:
        assert "no faster" in choice.reason or "the same labels" in choice.reason
    assert pictures == (4 - 3 * shift) * [[(5, 8, 8), (4, 16, 16), (3, 64, 64), (2, 128, 128)]]


def test_a_head_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    head = make_head("paper", 9).fold()

    def try_kernel(head: FoldedHead, channels: Sequence[int]) -> EngineChoice:
        tried.append((head, channels))
        return EngineChoice("triton", "It is faster.")

    monkeypatch.setattr(engines, "triton_available", lambda _device: True)
    monkeypatch.setattr(engines, "tried_kernel", try_kernel)
    on_gpu = replace(head, first_bias=head.first_bias.to("meta"))
    labeller = Labeller(on_gpu, [4, 5])
    assert tried == []
    assert [labeller.engine, labeller.engine] == ["triton", "triton"]
    assert labeller.choice.reason == "It is faster."
    assert tried == [(on_gpu, (4, 5))]


def test_heads_and_machines_without_a_kernel_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    head = make_head("conv", 9).fold()
    head = replace(head, first_bias=head.first_bias.to("meta"))
    reason = "Triton's kernel does not run on meta."
    assert fastest_engine(head, [9]) == EngineChoice("plain", reason)
    monkeypatch.setattr(engines, "triton_available", lambda _device: True)
    reason = "Triton's kernel does not know this head."
    assert fastest_engine(head, [9]) == EngineChoice("plain", reason)


def test_without_numba_a_cpu_labels_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda _name: None)
    choice = fastest_engine(make_head("paper", 9).fold(), [9])
    assert choice == EngineChoice("plain", "Numba is not installed.")
