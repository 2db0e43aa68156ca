"""The exact symmetries of the square: quarter turns and mirror images, no pixel resampled."""

from typing import get_args

import torch
from torch import Tensor

from datasetgan.choices import Symmetry
from datasetgan.errors import UsageError, unknown_name

__all__ = ["apply_symmetry", "draw_symmetries"]


def draw_symmetries(symmetry: Symmetry, count: int, *, generator: torch.Generator) -> Tensor:
    """Draw one transformation per picture, as `apply_symmetry` numbers them.

    Args:
        generator: on the CPU; ``"none"`` draws nothing from it.

    Returns:
        [count] int64 on the CPU: 0 for ``"none"``, 0 or 4 for ``"flip"``, 0 to 7 for
        ``"dihedral"``, each as likely as the others.

    Raises:
        UsageError: the symmetry is unknown.
    """
    if symmetry == "none":
        return torch.zeros(count, dtype=torch.int64)
    if symmetry == "flip":
        return torch.randint(2, (count,), generator=generator) * 4
    if symmetry == "dihedral":
        return torch.randint(8, (count,), generator=generator)
    raise UsageError(unknown_name("symmetry", symmetry, get_args(Symmetry)))


def apply_symmetry(pictures: Tensor, choices: Tensor) -> Tensor:
    """Turn and mirror each picture by its own symmetry of the square; exact and differentiable.

    Args:
        pictures: [N, C, H, W] of any type; square where a choice is a quarter turn.
        choices: [N] integers. ``k`` of 0 to 3 turns by ``k`` quarters, counterclockwise;
            ``4 + k`` turns by ``k`` quarters and then mirrors left and right.

    Returns:
        [N, C, H, W].

    Raises:
        UsageError: a choice is not 0 to 7, their number is not N, or a picture that is
            not square is to be turned by a quarter.
    """
    if pictures.ndim != 4 or choices.shape != pictures.shape[:1]:
        raise UsageError(
            f"expected pictures [N, C, H, W] and one choice each, got {list(pictures.shape)} "
            f"and {list(choices.shape)}."
        )
    if ((choices < 0) | (choices > 7)).any():
        raise UsageError(f"a symmetry of the square is 0 to 7, got {choices.tolist()}.")
    square = pictures.shape[2] == pictures.shape[3]
    if not square and (choices % 2 == 1).any():
        raise UsageError(
            f"only square pictures can be turned by a quarter, got {list(pictures.shape)}. "
            "Use the symmetry 'flip' or 'none'."
        )
    changed = pictures.clone()
    # By transformation, not by picture: at most seven steps, however large the batch.
    for choice in sorted(set(choices.tolist())):
        if choice == 0:
            continue
        rows = (choices == choice).nonzero()[:, 0].to(pictures.device)
        turned = torch.rot90(pictures[rows], choice % 4, dims=(2, 3))
        changed[rows] = turned.flip(3) if choice >= 4 else turned
    return changed
