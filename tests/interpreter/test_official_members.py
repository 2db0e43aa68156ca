"""DatasetGAN's trained interpreters, as its code saves them."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from datasetgan.errors import CheckpointError
from datasetgan.features import FeatureLevel
from datasetgan.interpreter import Interpreter
from datasetgan.taxonomy import ClassTaxonomy
from tests.interpreter.conftest import Golden, make_members, make_pyramid

LEVELS = make_pyramid().levels


def write_members(folder: Path, members: list[nn.Module], *, prefix: str = "module.") -> None:
    """Save as the official code does: a DataParallel's state dict in a dictionary."""
    for i, member in enumerate(members):
        state = {f"{prefix}{name}": tensor for name, tensor in member.state_dict().items()}
        torch.save({"model_state_dict": state}, folder / f"model_{i}.pth")


@pytest.fixture
def folder(tmp_path: Path, taxonomy: ClassTaxonomy) -> Path:
    write_members(tmp_path, list(make_members(3, 18, len(taxonomy))))
    (tmp_path / "model_20parts_iter5000_number_0.pth").write_bytes(b"a snapshot, left alone")
    return tmp_path


def test_golden(tmp_path: Path, golden: Golden) -> None:
    write_members(tmp_path, list(golden.members))
    num_classes = golden.mean_probability.shape[0]
    taxonomy = ClassTaxonomy.from_names([f"part {i}" for i in range(num_classes)])
    interpreter = Interpreter.import_official(tmp_path, golden.features.levels, taxonomy)
    prediction = interpreter.predict(golden.features, size=golden.size, return_probabilities="mean")
    assert torch.equal(prediction.label_map[0], golden.majority_vote)
    assert torch.allclose(prediction.uncertainty[0], golden.js_divergence, atol=1e-5)
    assert prediction.probabilities is not None
    assert torch.allclose(prediction.probabilities[0], golden.mean_probability, atol=1e-5)
    assert math.isclose(
        prediction.uncertainty_score[0].item(), golden.image_uncertainty, rel_tol=1e-4
    )


@pytest.mark.parametrize("prefix", ["module.", ""])
def test_every_tensor_of_every_member(tmp_path: Path, taxonomy: ClassTaxonomy, prefix: str) -> None:
    members = make_members(3, 18, len(taxonomy))
    write_members(tmp_path, list(members), prefix=prefix)
    interpreter = Interpreter.import_official(tmp_path, LEVELS, taxonomy)
    assert interpreter.ensemble.members.num_members == 3
    assert not any(p.requires_grad for p in interpreter.ensemble.members.parameters())
    for i, member in enumerate(members):
        own = interpreter.ensemble.members.member(i).state_dict()
        for name, tensor in member.state_dict().items():
            assert torch.equal(own[name], tensor), name


def test_more_than_ten_members_keep_their_order(tmp_path: Path, taxonomy: ClassTaxonomy) -> None:
    members = make_members(11, 18, len(taxonomy))
    write_members(tmp_path, list(members))
    interpreter = Interpreter.import_official(tmp_path, LEVELS, taxonomy)
    last = interpreter.ensemble.members.member(10).state_dict()["layers.0.weight"]
    assert torch.equal(last, members[10].state_dict()["layers.0.weight"])


def rewrite(path: Path, edit: Callable[[dict[str, Tensor]], object]) -> None:
    """Save a member of five classes again, one thing wrong with it."""
    (member,) = make_members(1, 18, 5)
    state = {f"module.{name}": tensor for name, tensor in member.state_dict().items()}
    edit(state)
    torch.save({"model_state_dict": state}, path)


def test_a_gap_is_named(folder: Path, taxonomy: ClassTaxonomy) -> None:
    (folder / "model_1.pth").unlink()
    with pytest.raises(CheckpointError, match=r"lacks model_1\.pth of members 0 to 2"):
        Interpreter.import_official(folder, LEVELS, taxonomy)


def test_no_members(tmp_path: Path, taxonomy: ClassTaxonomy) -> None:
    with pytest.raises(CheckpointError, match=r"holds no model_0\.pth"):
        Interpreter.import_official(tmp_path, LEVELS, taxonomy)
    with pytest.raises(CheckpointError, match="is not a folder"):
        Interpreter.import_official(tmp_path / "none", LEVELS, taxonomy)


def test_other_classes_or_levels(folder: Path, taxonomy: ClassTaxonomy) -> None:
    three = ClassTaxonomy.from_names(["background", "a", "b"])
    with pytest.raises(CheckpointError, match="tells 5 classes apart, but the taxonomy has 3"):
        Interpreter.import_official(folder, LEVELS, three)
    levels = (*LEVELS, FeatureLevel("more", 7, 16, 16))
    with pytest.raises(CheckpointError, match=r"reads 18 feature channels, but .* give 25"):
        Interpreter.import_official(folder, levels, taxonomy)


def test_a_member_of_another_shape_or_kind(folder: Path, taxonomy: ClassTaxonomy) -> None:
    second = folder / "model_1.pth"
    rewrite(second, lambda state: state["module.layers.3.bias"].fill_(math.nan))
    with pytest.raises(CheckpointError, match=r"model_1\.pth: layers\.3\.bias hold NaN"):
        Interpreter.import_official(folder, LEVELS, taxonomy)
    rewrite(second, lambda state: state.pop("module.layers.3.bias"))
    with pytest.raises(CheckpointError, match=r"missing: layers\.3\.bias"):
        Interpreter.import_official(folder, LEVELS, taxonomy)
    rewrite(second, lambda state: state.pop("module.layers.6.weight"))
    with pytest.raises(CheckpointError, match="no official pixel classifier"):
        Interpreter.import_official(folder, LEVELS, taxonomy)
    second.write_bytes(second.read_bytes()[:500])
    with pytest.raises(CheckpointError, match=r"model_1\.pth"):
        Interpreter.import_official(folder, LEVELS, taxonomy)
