"""Foreign state dicts to generators of ours."""

from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor, nn

from datasetgan.checkpoints.layouts import LAYOUTS
from datasetgan.errors import CheckpointError, UsageError, listed, unknown_name
from datasetgan.generators import Generator

__all__ = ["import_state_dict", "recognize_layout"]


def import_state_dict(
    state_dict: Mapping[str, Tensor], *, layout: str, config: Mapping[str, Any] | None = None
) -> Generator:
    """Build a generator from a state dict of another project's layout.

    Every tensor is used exactly once, or is a constant of the layout whose value is
    checked.

    Args:
        state_dict: tensors by the layout's names.
        layout: whose names they are, a key of `LAYOUTS`.
        config: NVIDIA's `init_kwargs` as they stand; read from the shapes if None. What
            leaves the image's size out amends what the shapes tell.

    Returns:
        The generator on the CPU in float32; `Generator.place` freezes it for use.

    Raises:
        UsageError: an unknown layout.
        CheckpointError: a value is no tensor, as in a nested checkpoint; a setting is
            missing or not supported, values are not finite, or names and shapes differ;
            every difference is listed.
    """
    if layout not in LAYOUTS:
        raise UsageError(unknown_name("layout", layout, LAYOUTS))
    spec = LAYOUTS[layout]
    _check_tensors(state_dict)
    _check_values(state_dict, source=f"the {layout} state dict")
    settings = spec.infer_config(state_dict) if config is None else config
    return spec.build(state_dict, settings)


def recognize_layout(names: Collection[str]) -> str:
    """Return the layout that a state dict's names belong to.

    Raises:
        CheckpointError: none, or more than one, knows these names.
    """
    found = [name for name, spec in LAYOUTS.items() if spec.recognizes(names)]
    if len(found) == 1:
        return found[0]
    if found:
        raise CheckpointError(
            f"these tensor names fit several layouts: {', '.join(found)}. Name one with layout=."
        )
    shown = listed(sorted(names)) if names else "none at all"
    raise CheckpointError(
        f"no layout knows these tensor names: {shown}. Known layouts: {', '.join(LAYOUTS)}. "
        "Is this a StyleGAN generator, and not a discriminator or another project's network?"
    )


def _check_tensors(state_dict: Mapping[str, object]) -> None:
    others = [str(name) for name, value in state_dict.items() if not isinstance(value, Tensor)]
    if not others:
        return
    nested = [name for name in others if isinstance(state_dict[name], Mapping | nn.Module)]
    nested.sort(key=lambda name: "ema" not in name.lower())  # the averaged one first
    remedy = (
        f"This is a whole checkpoint: give the state dict of its averaged generator, for "
        f"instance checkpoint[{nested[0]!r}], or the file itself to import_checkpoint."
        if nested
        else "Expected tensors by name, as state_dict() returns them."
    )
    raise CheckpointError(f"not a tensor: {listed(others)}. {remedy}")


def _check_values(tensors: Mapping[str, Tensor], *, source: str) -> None:
    strange = [n for n, t in tensors.items() if t.is_complex() or t.is_quantized or t.is_sparse]
    if strange:
        raise CheckpointError(
            f"{source}: {listed(sorted(strange))} are complex, quantised or sparse. "
            "Expected plain numbers."
        )
    broken = [n for n, t in tensors.items() if t.is_floating_point() and not t.isfinite().all()]
    if broken:
        raise CheckpointError(
            f"{source}: {listed(sorted(broken))} hold NaN or infinite values. "
            "The training that wrote it diverged: use an earlier snapshot."
        )
