"""Interpreters on disk."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from datasetgan.checkpoints.native import WeightCard, write_checkpoint
from datasetgan.errors import CheckpointError
from datasetgan.interpreter import Interpreter, load_interpreter
from datasetgan.interpreter.predict import InterpreterConfig
from datasetgan.runtime import Runtime
from tests.interpreter.conftest import TwinEnsemble, make_pyramid

CARD = WeightCard(title="a test", licence="CC0-1.0")


def test_round_trip(fitted: Interpreter, tmp_path: Path) -> None:
    path = tmp_path / "interpreter.safetensors"
    fitted.save(path, card=CARD)
    loaded = load_interpreter(path)
    assert loaded.taxonomy == fitted.taxonomy
    assert loaded.ensemble.inputs.levels == fitted.ensemble.inputs.levels
    assert loaded.ensemble.generator_digest == "b" * 64
    assert loaded.report is None
    assert loaded.digest == fitted.digest
    first, second = fitted.predict(make_pyramid(9)), loaded.predict(make_pyramid(9))
    assert torch.equal(first.label_map, second.label_map)
    assert torch.equal(first.uncertainty, second.uncertainty)


def test_bytes_depend_on_content_alone(fitted: Interpreter, tmp_path: Path) -> None:
    fitted.save(tmp_path / "a.safetensors", card=CARD)
    load_interpreter(tmp_path / "a.safetensors").save(tmp_path / "b.safetensors", card=CARD)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_digest_names_the_content(fitted: Interpreter) -> None:
    assert len(fitted.digest) == 64
    assert replace(fitted, report=None).digest == fitted.digest
    assert (
        replace(fitted, ensemble=replace(fitted.ensemble, generator_digest="c" * 64)).digest
        != fitted.digest
    )
    other = load_copy(fitted)
    with torch.no_grad():
        other.ensemble.members.layers[0].weight[0, 0, 0] += 1
    assert other.digest != fitted.digest


def load_copy(interpreter: Interpreter) -> Interpreter:
    return interpreter.place(Runtime())


def saved_tensors(interpreter: Interpreter, path: Path) -> dict[str, torch.Tensor]:
    interpreter.save(path, card=CARD)
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def rewrite(
    interpreter: Interpreter, path: Path, tensors: dict[str, torch.Tensor], config: object = None
) -> None:
    write_checkpoint(
        path,
        tensors,
        kind="interpreter",
        architecture="pixel-classifiers",
        config=config or interpreter._config,
        card=CARD,
    )


def test_file_of_the_papers_head_has_the_official_names(
    ensemble: TwinEnsemble, tmp_path: Path
) -> None:
    tensors = saved_tensors(ensemble.interpreter, tmp_path / "i.safetensors")
    assert tensors["layers.0.weight"].shape == (4, 128, 18)
    assert tensors["layers.6.weight"].shape[0] == 4
    assert {name.rsplit(".", 1)[0] for name in tensors} == {f"layers.{i}" for i in (0, 2, 3, 5, 6)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("layers.4.bias"), "missing: layers.4.bias"),
        (lambda t: t.update(extra=torch.zeros(2)), "unexpected: extra"),
        (lambda t: t.update({"layers.8.bias": torch.zeros(3, 5)}), r"\[3, 5\], expected \[3, 4\]"),
        (lambda t: t["layers.8.bias"].fill_(torch.nan), "NaN or infinite"),
    ],
)
def test_damaged_tensors(fitted: Interpreter, tmp_path: Path, change: object, message: str) -> None:
    path = tmp_path / "interpreter.safetensors"
    tensors = saved_tensors(fitted, path)
    change(tensors)  # type: ignore[operator]
    rewrite(fitted, path, tensors)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_interpreter(path)
    assert str(path) in str(caught.value)


def test_truncated_file(fitted: Interpreter, tmp_path: Path) -> None:
    path = tmp_path / "interpreter.safetensors"
    fitted.save(path, card=CARD)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="truncated"):
        load_interpreter(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        load_interpreter(tmp_path / "none.safetensors")


def test_file_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="not a DatasetGAN checkpoint"):
        load_interpreter(path)


def test_impossible_configuration(fitted: Interpreter, tmp_path: Path) -> None:
    path = tmp_path / "interpreter.safetensors"
    tensors = saved_tensors(fitted, path)
    config = fitted._config
    # Valid when written, but it names no member.
    object.__setattr__(config, "num_members", 0)
    assert isinstance(config, InterpreterConfig)
    rewrite(fitted, path, tensors, config)
    with pytest.raises(CheckpointError, match="at least one member"):
        load_interpreter(path)
