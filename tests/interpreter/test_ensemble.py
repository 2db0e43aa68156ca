"""The ensemble as a value: where it lies, what it reads, whose features it knows."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from datasetgan.errors import UsageError
from datasetgan.features import FeaturePyramid
from datasetgan.interpreter import Interpreter, check_fitted_on
from datasetgan.interpreter.labelling import Area, LabelMaps
from datasetgan.runtime import Runtime
from tests.interpreter.conftest import make_pyramid

META = Runtime(device="meta")  # a device that computes nothing, and is no CPU


def test_a_placed_copy_leaves_the_original_where_it_is(fitted: Interpreter) -> None:
    placed = fitted.place(META)
    assert {p.device.type for p in placed.ensemble.members.parameters()} == {"meta"}
    assert {p.device.type for p in fitted.ensemble.members.parameters()} == {"cpu"}
    again = fitted.place(Runtime())
    with torch.no_grad():
        next(again.ensemble.members.parameters()).zero_()
    assert again.digest != replace(fitted).digest


def test_features_come_to_the_members(fitted: Interpreter, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[str] = set()
    placed = fitted.place(META)

    def label(images: list[list[torch.Tensor]], area: Area, *, out: LabelMaps, **_: object) -> None:
        seen.update(level.device.type for levels in images for level in levels)
        seen.add(out.label_map.device.type)

    placed.__dict__["labeller"] = SimpleNamespace(label=label)
    assert placed.predict(make_pyramid()).label_map.shape == (1, 16, 16)
    assert seen == {"meta"}


def test_reading_crops_and_narrows(fitted: Interpreter) -> None:
    features = make_pyramid(batch=2)
    images = fitted.ensemble.read(features, size=(10, 12))
    assert len(images) == 2
    assert [tuple(level.shape) for level in images[0]] == [
        (6, 4, 4),
        (5, 8, 8),
        (4, 10, 12),
        (3, 10, 12),
        (4, 8, 8),
        (3, 8, 8),
    ]
    other = FeaturePyramid.from_tensors([torch.zeros(1, 3, 4, 4)])
    with pytest.raises(UsageError, match="these features do not fit"):
        fitted.ensemble.read(other, size=(10, 12))


def test_whose_features_it_knows(fitted: Interpreter) -> None:
    check_fitted_on(fitted.ensemble, "b" * 64, what="interpreter")
    check_fitted_on(fitted.ensemble, "", what="interpreter")
    check_fitted_on(replace(fitted.ensemble, generator_digest=""), "c" * 64, what="interpreter")
    with pytest.raises(UsageError, match=r"interpreter was fitted on the generator bbbbbbbbbbbb"):
        check_fitted_on(fitted.ensemble, "c" * 64, what="interpreter")
