"""Foreign layouts of tensor names, one file each, in one plain dict."""

from datasetgan.checkpoints.layouts import (
    datasetgan_stylegan1,
    nvidia_stylegan2,
    nvidia_stylegan3,
    nvidia_tf_stylegan1,
    nvidia_tf_stylegan2,
    rosinality_stylegan2,
)
from datasetgan.checkpoints.layouts.base import LayoutSpec

__all__ = ["LAYOUTS"]

LAYOUTS: dict[str, LayoutSpec] = {
    module.LAYOUT.name: module.LAYOUT
    for module in (
        nvidia_stylegan2,
        nvidia_stylegan3,
        rosinality_stylegan2,
        datasetgan_stylegan1,
        nvidia_tf_stylegan1,
        nvidia_tf_stylegan2,
    )
}
"""Every layout by its name."""
