"""DatasetGAN's trained interpreters: ``model_0.pth``, ``model_1.pth``, ... to one of ours."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from datasetgan.checkpoints.foreign_files import read_foreign
from datasetgan.checkpoints.native import load_into
from datasetgan.errors import CheckpointError
from datasetgan.features import FeatureLevel
from datasetgan.interpreter.ensemble.classifier import PixelClassifier, StackedClassifiers
from datasetgan.taxonomy import ClassTaxonomy

__all__ = ["read_official_members"]

_MEMBER = re.compile(r"model_(\d+)\.pth")
# DataParallel's, where the reader left it.
_PREFIX = "module."


def read_official_members(
    folder: Path, levels: Sequence[FeatureLevel], taxonomy: ClassTaxonomy
) -> StackedClassifiers:
    """Read the members that the official code's training wrote, stacked for prediction.

    Each ``model_N.pth`` holds ``{"model_state_dict": ...}`` with the names
    ``module.layers.{0,2,3,5,6}.*``. As many are read as there are; the official code
    trains ten. Snapshots (``model_20parts_iter...``) are left alone.

    Args:
        folder: the official experiment folder.
        levels: the feature levels that the members were trained on, in that order.
        taxonomy: one class per output, background first.

    Raises:
        CheckpointError: no members, a gap in their numbers, or one whose tensors do not
            fit the levels and the classes.
    """
    channels = sum(level.channels for level in levels)
    members = []
    for path in _member_files(folder):
        tensors = _read_member(path)
        _check_sizes(path, tensors, channels, len(taxonomy))
        member = PixelClassifier(channels, len(taxonomy))
        load_into(member, tensors, source=str(path))
        members.append(member.eval())
    return StackedClassifiers.from_members(members).eval().requires_grad_(False)


def _member_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder. Expected one with model_0.pth and so on.")
    found = {int(m[1]): p for p in folder.iterdir() if (m := _MEMBER.fullmatch(p.name))}
    if not found:
        raise CheckpointError(
            f"{folder} holds no model_0.pth, model_1.pth, ... "
            "Give the folder that the official train_interpreter.py wrote (its exp_dir)."
        )
    missing = sorted(set(range(max(found) + 1)) - found.keys())
    if missing:
        names = ", ".join(f"model_{i}.pth" for i in missing[:5])
        raise CheckpointError(
            f"{folder} lacks {names} of members 0 to {max(found)}. "
            "Copy the missing files, or remove those behind the gap."
        )
    return [found[i] for i in sorted(found)]


def _read_member(path: Path) -> dict[str, Tensor]:
    networks = read_foreign(path).networks
    if len(networks) != 1:
        raise CheckpointError(
            f"{path} holds {len(networks)} networks ({', '.join(networks)}); "
            "expected one pixel classifier."
        )
    (network,) = networks.values()
    tensors = {name.removeprefix(_PREFIX): tensor for name, tensor in network.tensors.items()}
    broken = [n for n, t in tensors.items() if t.is_floating_point() and not t.isfinite().all()]
    if broken:
        raise CheckpointError(f"{path}: {', '.join(sorted(broken))} hold NaN or infinite values.")
    return tensors


def _check_sizes(path: Path, tensors: Mapping[str, Tensor], channels: int, classes: int) -> None:
    """Say in the user's words what the shapes of the first and the last layer mean."""
    first, last = tensors.get("layers.0.weight"), tensors.get("layers.6.weight")
    if first is None or last is None or first.ndim != 2 or last.ndim != 2:
        raise CheckpointError(
            f"{path} holds no official pixel classifier: expected layers.0.weight and "
            f"layers.6.weight among its tensors."
        )
    if first.shape[1] != channels:
        raise CheckpointError(
            f"{path} reads {first.shape[1]} feature channels, but the feature levels give "
            f"{channels}. Use the generator, and the tap, that it was trained on."
        )
    if last.shape[0] != classes:
        raise CheckpointError(
            f"{path} tells {last.shape[0]} classes apart, but the taxonomy has {classes}. "
            "Name one class per output, background first."
        )
