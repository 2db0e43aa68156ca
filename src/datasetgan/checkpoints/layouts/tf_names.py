"""What the layouts of NVIDIA's TensorFlow networks share: prefixes, axes, growth."""

import re
from collections.abc import Callable, Collection, Mapping

from torch import Tensor

from datasetgan.errors import CheckpointError, listed

__all__ = [
    "Change",
    "as_it_is",
    "block_resolutions",
    "check_generator",
    "dense_layers",
    "oihw",
    "plain_name",
    "plain_names",
    "transposed",
    "without_ones",
]

Change = Callable[[Tensor], Tensor]
"""From TensorFlow's order of axes to ours. What does not have these axes passes unchanged,
to be listed as misshapen with its true shape."""

# The pickles list the two networks as `mapping` and `synthesis`; each calls itself G_*.
_PREFIX = re.compile(r"(?:.*/)?(?:G_)?(mapping|synthesis)/(.*)")
_BLOCK = re.compile(r"synthesis/(\d{1,9})x\1/")
_DENSE = re.compile(r"mapping/Dense\d+/weight")


def plain_name(name: str) -> str:
    """Return a variable's name below `mapping/` or `synthesis/`, without TensorFlow's `:0`."""
    bare = name.removesuffix(":0")
    found = _PREFIX.fullmatch(bare)
    return f"{found[1]}/{found[2]}" if found else bare


def plain_names(tensors: Mapping[str, Tensor], *, source: str) -> dict[str, Tensor]:
    """Return the tensors by their plain names.

    Raises:
        CheckpointError: two variables have one plain name, as two networks in one file would.
    """
    plain: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if plain.setdefault(plain_name(name), tensor) is not tensor:
            raise CheckpointError(
                f"{source} holds {plain_name(name)} twice, as two generators would. "
                "Give the tensors of one, for instance Gs, the averaged one."
            )
    return plain


def as_it_is(tensor: Tensor) -> Tensor:
    """Return the tensor."""
    return tensor


def transposed(weight: Tensor) -> Tensor:
    """Return a dense layer's weight [O, I] from TensorFlow's [I, O]."""
    return weight.t() if weight.ndim == 2 else weight


def oihw(weight: Tensor) -> Tensor:
    """Return a convolution's weight [O, I, k, k] from TensorFlow's [k, k, I, O]."""
    return weight.permute(3, 2, 0, 1) if weight.ndim == 4 else weight


def without_ones(tensor: Tensor) -> Tensor:
    """Return a constant [C, 4, 4] from [1, C, 4, 4], a noise map [R, R] from [1, 1, R, R]."""
    while tensor.ndim > 2 and tensor.shape[0] == 1:
        tensor = tensor.squeeze(0)
    return tensor


def block_resolutions(names: Collection[str]) -> list[int]:
    """Return the sizes of the synthesis blocks, coarse to fine."""
    return sorted({int(found[1]) for name in names if (found := _BLOCK.match(name))})


def dense_layers(names: Collection[str]) -> int:
    """Return the number of fully connected layers of the mapping."""
    return sum(_DENSE.fullmatch(name) is not None for name in names)


def check_generator(tensors: Mapping[str, Tensor], *, source: str) -> None:
    """Refuse what is no generator, or one that has not grown to its full size yet.

    Raises:
        CheckpointError: no mapping or no synthesis network, or a level of detail above 0.
    """
    if not dense_layers(tensors) or not block_resolutions(tensors):
        raise CheckpointError(
            f"{source} lacks mapping/Dense* or synthesis/4x4/* and so is no generator. "
            f"It holds: {listed(sorted(tensors))}."
        )
    # The whole network's level of detail overwrites that of its synthesis network.
    lod = tensors.get("lod", tensors.get("synthesis/lod"))
    if lod is not None and (lod.numel() != 1 or float(lod.reshape(())) > 0):
        raise CheckpointError(
            f"{source} is a snapshot from the middle of progressive growing (lod "
            f"{lod.tolist()}): its images are not of full size yet. Use a later snapshot."
        )
