"""Foreign state dicts to generators of ours."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from torch import Tensor

from datasetgan.checkpoints.native import load_into
from datasetgan.errors import CheckpointError, UsageError, unknown_name
from datasetgan.generators import StyleGAN2, StyleGAN2Config

__all__ = ["Layout", "import_state_dict"]

Layout = Literal["nvidia-stylegan2"]

# Only fixed filters, which our operators hold as constants.
_CONSTANTS = ("resample_filter",)
# Settings of NVIDIA's constructor that do not change the function computed here.
_WITHOUT_EFFECT = {"num_fp16_res", "fp16_channels_last", "fused_modconv_default"}


def import_state_dict(
    state_dict: Mapping[str, Tensor], *, layout: Layout, config: Mapping[str, Any]
) -> StyleGAN2:
    """Build a generator from a state dict of another project's layout.

    Args:
        state_dict: tensors by the layout's names.
        layout: whose names they are.
        config: NVIDIA's `init_kwargs` as they stand.

    Raises:
        UsageError: an unknown layout.
        CheckpointError: a setting is missing or not supported, or names and shapes
            differ; every difference is listed.
    """
    if layout not in get_args(Layout):
        raise UsageError(unknown_name("layout", layout, get_args(Layout)))
    generator = StyleGAN2(_stylegan2_config(config))
    tensors = {k: v for k, v in state_dict.items() if not k.endswith(_CONSTANTS)}
    load_into(generator, tensors, source=f"the {layout} state dict")
    return generator


def _stylegan2_config(kwargs: Mapping[str, Any]) -> StyleGAN2Config:
    # 1. Flatten: mapping_kwargs and synthesis_kwargs hold settings of their own.
    flat = {k: v for k, v in kwargs.items() if not k.endswith("_kwargs")}
    flat |= kwargs.get("synthesis_kwargs", {})
    mapping = dict(kwargs.get("mapping_kwargs", {}))
    names = {
        "img_resolution": "resolution",
        "img_channels": "image_channels",
        "c_dim": "label_dim",
        "z_dim": "z_dim",
        "w_dim": "w_dim",
        "channel_base": "channel_base",
        "channel_max": "channel_max",
        "architecture": "architecture",
        "conv_clamp": "conv_clamp",
    }
    # 2. Translate; anything unknown would change the network silently.
    unknown = sorted(set(flat) - set(names) - _WITHOUT_EFFECT)
    unknown += sorted(f"mapping_kwargs.{k}" for k in set(mapping) - {"num_layers"})
    if unknown:
        raise CheckpointError(
            f"StyleGAN2 settings that are not supported: {', '.join(unknown)}. "
            f"Supported: {', '.join(names)}, mapping_kwargs.num_layers."
        )
    settings = {names[k]: v for k, v in flat.items() if k in names}
    if "num_layers" in mapping:
        settings["mapping_layers"] = mapping["num_layers"]
    if "resolution" not in settings:
        raise CheckpointError("StyleGAN2 settings lack img_resolution.")
    return StyleGAN2Config(**settings)
