"""Networks of timm by name, without their classifiers and without any download.

timm is imported inside the functions: it brings torchvision along and takes seconds.
"""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import torch
from torch import nn

from datasetgan.errors import UsageError
from datasetgan.features import FeatureLevel

__all__ = [
    "PREFIX",
    "NetworkFacts",
    "build_network",
    "describe_network",
    "intermediate_tensors",
    "network_name",
    "weights_page",
]

PREFIX = "timm:"
_NEAR = 8
# Of blocks that all have one resolution, evenly spaced ones up to the last say most
# (Oquab et al. 2023, "DINOv2", sec. 7.4 read four).
_BLOCKS = 4


@dataclass(frozen=True)
class NetworkFacts:
    """What a network's maker says of it, and what a trial has shown.

    Attributes:
        side: rows and columns of the pictures it was made for, a multiple of `stride`.
        stride: what the sides of a picture must be multiples of.
        outputs: the numbers of the intermediate outputs that are read.
        mean: of red, green and blue in [0, 1], subtracted from a picture.
        std: what it is divided by then.
        levels: the outputs of a square picture of `side`, coarse to fine.
    """

    side: int
    stride: int
    outputs: tuple[int, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    levels: tuple[FeatureLevel, ...]


def network_name(source: str) -> str:
    """Return NAME of ``timm:NAME``, which may end in a tag: ``vit_small_patch14_dinov2.lvd142m``.

    Raises:
        UsageError: another kind of source, or a name that timm does not know; lists near ones.
    """
    import timm

    name = source.removeprefix(PREFIX)
    if name == source:
        raise UsageError(
            f"unknown source {source!r}. Expected {PREFIX}NAME with the name of a network of "
            f"timm, for instance {PREFIX}resnet18."
        )
    known = timm.list_models()
    plain = name.partition(".")[0]
    if plain not in known:
        near = get_close_matches(plain, known, n=_NEAR, cutoff=0.5)
        hint = f"Near ones: {', '.join(near)}." if near else "`timm.list_models()` lists all."
        raise UsageError(f"timm {timm.__version__} has no network {plain!r}. {hint}")
    return name


def weights_page(name: str) -> str:
    """Return where a network's weights are published: the name of a model on the model hub."""
    import timm

    published = timm.list_pretrained(f"{name}*" if "." in name else f"{name}.*")
    return f"timm/{published[0]}" if published else name


def build_network(name: str) -> nn.Module:
    """Build a network of timm with random weights and without its classifier.

    A transformer's grid of positions follows the picture's size.

    Args:
        name: what `network_name` returns.

    Raises:
        UsageError: timm cannot build it, or it shows no intermediate outputs.
    """
    import timm

    options: dict[str, Any] = {"pretrained": False, "num_classes": 0}
    try:
        try:
            network = timm.create_model(name, dynamic_img_size=True, **options)
        except TypeError:  # networks without such a grid do not know the word
            network = timm.create_model(name, **options)
    except (RuntimeError, ValueError, TypeError, ImportError) as error:
        raise UsageError(f"timm cannot build {name!r}: {error}") from error
    if not hasattr(network, "forward_intermediates"):
        raise UsageError(
            f"timm's {name!r} does not show its intermediate outputs. "
            "Choose another, for instance one of the families resnet, convnext or vit."
        )
    assert isinstance(network, nn.Module)
    return network.eval()


def describe_network(name: str, network: nn.Module) -> NetworkFacts:
    """Find out what a built network reads and gives, by one pass over an empty picture.

    Read are all stages of a network that halves its picture again and again, and four
    blocks of a transformer that keeps one grid.

    Raises:
        UsageError: the network takes pictures of one shape only, or its outputs do not
            cover the picture evenly.
    """
    facts: Any = network
    data = facts.pretrained_cfg
    infos = facts.feature_info
    infos = infos if isinstance(infos, list) else infos.info
    strides = [int(info["reduction"]) for info in infos]
    numbers = range(len(infos))
    outputs = list(numbers)
    if len(infos) > _BLOCKS and len(set(strides)) == 1:
        outputs = [round((i + 1) * len(infos) / _BLOCKS) - 1 for i in range(_BLOCKS)]
    stride = max(strides)
    side = -(-int(data["input_size"][-1]) // stride) * stride
    wide = side + stride
    try:
        with torch.inference_mode():
            tensors = intermediate_tensors(network, torch.zeros(1, 3, side, wide), outputs)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise UsageError(
            f"timm's {name!r} takes pictures of one shape only ({error}). Choose another, for "
            "instance one of the families resnet, convnext or vit."
        ) from error
    levels = []
    for number, tensor in zip(outputs, tensors, strict=True):
        rows, columns = side // strides[number], wide // strides[number]
        if tensor.ndim != 4 or tuple(tensor.shape[2:]) != (rows, columns):
            raise UsageError(
                f"timm's {name!r} gives {list(tensor.shape)} at {infos[number]['module']}, where "
                f"[1, C, {rows}, {columns}] covers the picture. Choose another network."
            )
        levels.append(FeatureLevel(infos[number]["module"], tensor.shape[1], rows, rows))
    red, green, blue = data["mean"]
    red_std, green_std, blue_std = data["std"]
    return NetworkFacts(
        side=side,
        stride=stride,
        outputs=tuple(outputs),
        mean=(red, green, blue),
        std=(red_std, green_std, blue_std),
        levels=tuple(reversed(levels)),
    )


def intermediate_tensors(
    network: Any, picture: torch.Tensor, outputs: list[int]
) -> list[torch.Tensor]:
    """Return some intermediate outputs [N, C, h, w], in the order of the network.

    Those of a transformer have gone through its last normalisation, as DINOv2's authors
    read them: raw ones hold a few huge channels.
    """
    options: dict[str, Any] = {"intermediates_only": True, "output_fmt": "NCHW"}
    if hasattr(network, "patch_embed") and hasattr(network, "blocks"):
        options["norm"] = True
    tensors: list[torch.Tensor] = network.forward_intermediates(picture, indices=outputs, **options)
    return tensors
