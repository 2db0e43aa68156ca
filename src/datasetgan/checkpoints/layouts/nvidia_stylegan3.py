"""The names of NVIDIA's PyTorch StyleGAN3, t and r.

Parameters of ours carry the same names. The filters that lie beside them follow from
the settings: they are compared, since other filters mean other settings.
"""

from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor

from datasetgan.checkpoints.layouts.base import LayoutSpec
from datasetgan.checkpoints.layouts.construction import check_extent
from datasetgan.checkpoints.layouts.stylegan3_settings import (
    SCHEDULE,
    SOURCE,
    completed,
    filter_plans,
    infer_config,
    stylegan3_config,
)
from datasetgan.checkpoints.native import load_into
from datasetgan.errors import CheckpointError, listed
from datasetgan.generators.stylegan3 import StyleGAN3, StyleGAN3Config, design_filter
from datasetgan.generators.stylegan3_schedule import plan_layers

__all__ = ["LAYOUT"]


def _recognizes(names: Collection[str]) -> bool:
    return "synthesis.input.freqs" in names


def _build(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> StyleGAN3:
    settings = stylegan3_config(completed(tensors, config))
    filters = {
        name: tensor
        for name, tensor in tensors.items()
        if name.endswith((".up_filter", ".down_filter"))
    }
    weights = {name: tensor for name, tensor in tensors.items() if name not in filters}
    check_extent(_described_weights(settings), weights, source=SOURCE)
    generator = StyleGAN3(settings)
    load_into(generator, weights, source=SOURCE)
    _check_filters(settings, filters)
    return generator


def _described_weights(config: StyleGAN3Config) -> int:
    """Count the network's weights, or nearly: no biases."""
    plans = plan_layers(config)
    styled = sum(p.in_channels * (p.out_channels * p.conv_kernel**2 + config.w_dim) for p in plans)
    inputs = config.z_dim + (config.mapping_layers - 1) * config.w_dim
    if config.label_dim:
        inputs += config.w_dim + config.label_dim
    return styled + plans[0].in_channels ** 2 + inputs * config.w_dim


def _check_filters(config: StyleGAN3Config, filters: Mapping[str, Tensor]) -> None:
    """Raise `CheckpointError` unless the stored filters are those of the settings.

    Weights without any filters pass: they follow from the settings alone.
    """
    if not filters:
        return
    plans = dict(filter_plans(config))
    missing, unexpected = sorted(plans.keys() - filters), sorted(filters.keys() - plans)
    if missing or unexpected:
        raise CheckpointError(
            f"{SOURCE} does not fit: missing: {listed(missing) or 'none'}; "
            f"unexpected: {listed(unexpected) or 'none'}."
        )
    wrong = []
    for name, plan in plans.items():
        ours, stored = design_filter(plan), filters[name].float()
        if stored.shape != ours.shape or (stored - ours).abs().max() > 1e-3 * ours.abs().max():
            wrong.append(name)
    if wrong:
        raise CheckpointError(
            f"{SOURCE}: {listed(wrong)} are not the filters of these settings, so the network "
            f"was made with others. Give its init_kwargs in full; filters depend on {SCHEDULE}, "
            "filter_size and use_radial_filters."
        )


LAYOUT = LayoutSpec(
    name="nvidia-stylegan3",
    mean_latent="mapping.w_avg",
    recognizes=_recognizes,
    infer_config=infer_config,
    build=_build,
    licence_note=(
        "NVIDIA publishes its StyleGAN3 weights for non-commercial use only "
        "(NVIDIA Source Code License), and so are weights that were trained from them."
    ),
)
