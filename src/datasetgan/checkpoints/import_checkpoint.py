"""A foreign checkpoint to a native one: read safely, recognised, converted, judged, carded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datasetgan.checkpoints.foreign_files import (
    FileFormat,
    ForeignFile,
    ForeignNetwork,
    read_foreign,
)
from datasetgan.checkpoints.generator_files import save_generator
from datasetgan.checkpoints.importers import import_state_dict, recognize_layout
from datasetgan.checkpoints.layouts import LAYOUTS
from datasetgan.checkpoints.native import WeightCard
from datasetgan.checkpoints.plausibility import (
    PlausibilityReport,
    check_plausibility,
    render_samples,
)
from datasetgan.errors import CheckpointError, UsageError, unknown_name
from datasetgan.generators import ARCHITECTURES, architecture_of
from datasetgan.runtime import Runtime

__all__ = ["ImportReport", "import_checkpoint", "read_mean_latent"]

# Which network of a file is the one to sample from: the average before the last step.
_PREFERRED = ("G_ema", "g_ema", "Gs", "generator_ema", "G", "g", "generator", "")
_LARGEST_MEAN_LATENT = 1 << 24  # bytes; 18 rows of 512 numbers take 74 kB


@dataclass(frozen=True)
class ImportReport:
    """What an import found and made.

    Attributes:
        format: how the file was written, for instance ``"nvidia-pickle"``.
        network: which network of the file; ``""`` for a bare state dict.
        layout: whose tensor names they were.
        architecture: of the native checkpoint, for instance ``"stylegan2"``.
        resolution: height and width of the image.
        label_dim: classes that the generator is conditioned on, 0 for none.
        parameters: numbers that training set.
        plausibility: whether the generator behaves as a trained one does.
        card: as it stands in the native checkpoint.
        licence_note: what is known of the licence of the family's published weights.
    """

    format: FileFormat
    network: str
    layout: str
    architecture: str
    resolution: int
    label_dim: int
    parameters: int
    plausibility: PlausibilityReport
    card: WeightCard
    licence_note: str


def import_checkpoint(
    source: Path,
    out: Path,
    *,
    layout: str = "auto",
    config: Mapping[str, Any] | None = None,
    mean_latent: Path | None = None,
    licence: str | None = None,
    network: str | None = None,
    render: Path | None = None,
) -> ImportReport:
    """Convert a foreign checkpoint of a generator; nothing in it is run.

    A generator that does not behave as a trained one is written all the same: the
    report and the card say so.

    Args:
        source: a pickle, ``.pt``, ``.pth``, ``.npz`` or safetensors file.
        out: the native checkpoint to write.
        layout: whose tensor names they are; ``"auto"`` recognises them.
        config: NVIDIA's `init_kwargs`, instead of those in the file or read from shapes.
        mean_latent: ``.npy`` file of the mean latent, [w_dim] or [num_ws, w_dim], instead
            of the one in the file.
        licence: of the weights, as the user states it.
        network: which network of the file; the averaged generator by default.
        render: PNG of a grid of samples to write.

    Raises:
        UsageError: an unknown layout, several networks to choose from, `out` is `source`,
            or `render` is either or no ``.png``.
        CheckpointError: the file cannot be read, is of another kind, holds no such
            network, or does not fit.
        StorageError: the disk is full or a place cannot be written.
    """
    if layout not in ("auto", *LAYOUTS):
        raise UsageError(unknown_name("layout", layout, ("auto", *LAYOUTS)))
    if out.resolve() == source.resolve():
        raise UsageError(f"{out} is the file to import: write the native checkpoint elsewhere.")
    if render is not None and (
        render.suffix.lower() != ".png" or render.resolve() in (source.resolve(), out.resolve())
    ):
        raise UsageError(f"the grid of samples is a PNG of its own, not {render}.")
    foreign = read_foreign(source, member=network)
    chosen = _chosen_network(foreign)
    tensors = dict(chosen.tensors)
    try:
        if layout == "auto":
            layout = recognize_layout(tensors)
        spec = LAYOUTS[layout]
        notes = [spec.licence_note]
        if mean_latent is not None:
            tensors[spec.mean_latent] = read_mean_latent(mean_latent, layout=layout)
            notes.append(f"Mean latent from {mean_latent.name}.")
        elif spec.mean_latent_draws is not None and spec.mean_latent not in tensors:
            notes.append(f"Mean latent taken over {spec.mean_latent_draws} mapped latents.")
        settings = chosen.config if config is None else config
        generator = import_state_dict(tensors, layout=layout, config=settings or None)
    except CheckpointError as error:
        raise CheckpointError(f"{source}: {error}") from error
    generator.place(Runtime())
    plausibility = check_plausibility(generator)
    notes += [f"Warning: {warning}" for warning in plausibility.warnings]
    architecture = architecture_of(generator)
    kind = ARCHITECTURES[architecture]
    card = WeightCard(
        title=f"{kind.family}, {generator.resolution} px, imported from {source.name}",
        licence=licence or "unknown",
        source=source.name,
        source_sha256=foreign.sha256,
        paper=kind.paper.reference,
        settings=f"layout={layout} architecture={architecture} format={foreign.format}"
        + (f" network={chosen.name}" if chosen.name else ""),
        notes=" ".join(notes),
    )
    if render is not None:
        render_samples(render, generator)
    # Last: where the checkpoint is, all went well.
    save_generator(out, generator, card=card)
    return ImportReport(
        format=foreign.format,
        network=chosen.name,
        layout=layout,
        architecture=architecture,
        resolution=generator.resolution,
        label_dim=generator.label_dim,
        parameters=sum(parameter.numel() for parameter in generator.parameters()),
        plausibility=plausibility,
        card=card,
        licence_note=spec.licence_note,
    )


def _chosen_network(foreign: ForeignFile) -> ForeignNetwork:
    if len(foreign.networks) == 1:
        return next(iter(foreign.networks.values()))
    for preferred in _PREFERRED:
        if preferred in foreign.networks:
            return foreign.networks[preferred]
    raise UsageError(
        f"{foreign.path} holds several networks, none with a generator's usual name: "
        f"{', '.join(foreign.networks)}. Say which one: --network of "
        "`datasetgan import-checkpoint`, or network=."
    )


def read_mean_latent(path: Path, *, layout: str) -> Tensor:
    """Read a mean latent from a ``.npy`` file, without unpickling.

    Returns:
        float32 [num_ws, w_dim] as it stands for StyleGAN1, whose rows may differ; [w_dim]
        for the others.

    Raises:
        CheckpointError: no such file, not an array of finite numbers of that shape, or
            rows that differ where the network has one mean latent.
    """
    expected = "Expected numbers [w_dim], or the same row once per style input."
    try:
        if path.stat().st_size > _LARGEST_MEAN_LATENT:
            raise ValueError(f"more than {_LARGEST_MEAN_LATENT} bytes")
        loaded = np.asarray(np.load(path, allow_pickle=False), dtype=np.float32)
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise CheckpointError(
            f"{path} is not the .npy file of a mean latent ({error}). {expected}"
        ) from error
    if not loaded.size or not loaded.ndim or not np.isfinite(loaded).all():
        raise CheckpointError(
            f"{path} holds an array {list(loaded.shape)} that is empty or not finite. {expected}"
        )
    rows = loaded.reshape(-1, loaded.shape[-1])
    if LAYOUTS[layout].mean_latent_rows == "own":
        return torch.from_numpy(rows.copy())
    if not np.allclose(rows, rows[:1], atol=1e-4):
        raise CheckpointError(f"{path} holds {len(rows)} rows that differ. {expected}")
    return torch.from_numpy(rows[0].copy())
