"""Names that settings and options take, where a name stands for one of a few ways.

They lie here, below everything that imports PyTorch, so that the command line can offer
them without it.
"""

from typing import Literal

__all__ = [
    "Augment",
    "Compile",
    "Crop",
    "HeadName",
    "KeypointFormat",
    "LabelPrecisionChoice",
    "LabelSource",
    "NetworkOption",
    "NetworkSize",
    "Precision",
    "PrecisionOption",
    "Symmetry",
    "UncertaintyOutput",
]

Precision = Literal["float32", "bfloat16", "float16"]
"""Type of activations."""

PrecisionOption = Literal["auto", Precision]
"""The same; ``"auto"`` leaves it to the stage."""

HeadName = Literal["paper", "linear", "mlp", "conv"]
"""What a member is: the paper's classifier, a linear one, one with dropout, or one that looks
at its neighbours."""

UncertaintyOutput = Literal["score", "map"]
"""What a dataset keeps of each image's uncertainty: its score alone, or its map as well."""

LabelPrecisionChoice = Literal["auto", "float32", "bfloat16"]
"""Type of the products that labels come from; ``"auto"`` measures whether bfloat16 is safe."""

KeypointFormat = Literal["auto", "cvat", "coco"]
"""Format of a keypoint file; ``"auto"`` tells them apart."""

NetworkSize = Literal["small", "standard", "paper"]
"""Of a fresh generator."""

NetworkOption = Literal["auto", NetworkSize]
"""The same; ``"auto"`` decides by the device."""

Symmetry = Literal["none", "flip", "dihedral"]
"""Under what a photograph stays one: nothing, mirroring, or any turn of the square."""

Augment = Literal["ada", "none"]
"""Adaptive discriminator augmentation, or none."""

LabelSource = Literal["none", "folders", "file"]
"""Where class labels of photographs come from."""

Crop = Literal["center", "resize"]
"""How a photograph becomes square: by cutting it, or by squashing it."""

Compile = Literal["auto", "on", "off"]
"""``torch.compile``: on CUDA alone, always, never."""
