"""When labels are made in bfloat16."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from datasetgan.errors import UsageError
from datasetgan.features.input_spec import InputSpec
from datasetgan.interpreter import Interpreter
from datasetgan.interpreter import label_precision as precision
from datasetgan.interpreter.ensemble.ensemble import Ensemble
from datasetgan.interpreter.label_precision import (
    PrecisionChoice,
    choose_label_precision,
    compare_precisions,
)
from datasetgan.interpreter.labelling import Labeller
from datasetgan.taxonomy import ClassTaxonomy
from tests.interpreter.labelling.test_engines import make_head, make_levels

SIZE = (40, 24)


@pytest.fixture
def interpreter(taxonomy: ClassTaxonomy) -> Interpreter:
    levels = make_levels().levels
    head = make_head("mlp", sum(level.channels for level in levels), classes=len(taxonomy))
    return Interpreter(taxonomy, Ensemble(InputSpec(levels), head))


def test_changed_labels_are_counted(interpreter, monkeypatch):
    asked = []
    maps = {name: torch.zeros(2, *SIZE, dtype=torch.int64) for name in ("float32", "bfloat16")}
    maps["bfloat16"][1, 3, 4:7] = 2

    def predict(_self, _features, *, size, precision):
        asked.append((precision, size))
        return SimpleNamespace(label_map=maps[precision])

    monkeypatch.setattr(Interpreter, "predict", predict)
    share = compare_precisions(interpreter, make_levels(batch=2), size=SIZE)
    assert share == 3 / (2 * 40 * 24)
    assert sorted(asked) == [("bfloat16", SIZE), ("float32", SIZE)]


def test_products_really_differ(interpreter, monkeypatch):
    monkeypatch.setattr(Labeller, "engine", "numba")
    features = make_levels(batch=4)
    maps = [
        interpreter.predict(features, size=SIZE, precision=name).label_map.numpy()
        for name in ("float32", "bfloat16")
    ]
    share = compare_precisions(interpreter, features, size=SIZE)
    assert share == pytest.approx(np.mean(maps[0] != maps[1]))
    # Random weights decide narrowly: eight bits of mantissa change some, far from all.
    assert 0 < share < 0.1
    assert compare_precisions(interpreter, features) != share  # of the finest level's size


def test_plain_pytorch_has_no_bfloat16(interpreter, monkeypatch):
    monkeypatch.setattr(Labeller, "engine", "plain")
    with pytest.raises(UsageError, match=r"precision of plain labelling.*Valid: float32"):
        compare_precisions(interpreter, make_levels(), size=SIZE)


@pytest.mark.parametrize(
    ("share", "chosen"),
    [(0.0, "bfloat16"), (0.00199, "bfloat16"), (0.002, "float32"), (0.3, "float32")],
)
def test_bfloat16_where_labels_hardly_change(interpreter, monkeypatch, share, chosen):
    features = make_levels()
    given = []

    def compare(*arguments, size):
        given.append((*arguments, size))
        return share

    monkeypatch.setattr(Labeller, "engine", "numba")
    monkeypatch.setattr(precision, "training_precision", lambda _device: "bfloat16")
    monkeypatch.setattr(precision, "compare_precisions", compare)
    choice = choose_label_precision(interpreter, lambda: features, size=SIZE)
    assert choice == PrecisionChoice(chosen, "numba", share)
    assert given == [(interpreter, features, SIZE)]


@pytest.mark.parametrize(
    ("engine", "fast"), [("plain", "bfloat16"), ("triton", "bfloat16"), ("numba", "float32")]
)
def test_nothing_is_drawn_where_there_is_no_choice(interpreter, monkeypatch, engine, fast):
    monkeypatch.setattr(Labeller, "engine", engine)
    monkeypatch.setattr(precision, "training_precision", lambda _device: fast)

    def draw():
        raise AssertionError("features were drawn")

    choice = choose_label_precision(interpreter, draw, size=SIZE)
    assert choice == PrecisionChoice("float32", engine, None)
