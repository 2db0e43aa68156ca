"""Runtimes and random streams."""

import numpy as np
import pytest
import torch

from datasetgan.errors import UsageError
from datasetgan.runtime import random_state, resolve_runtime, training_precision


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
