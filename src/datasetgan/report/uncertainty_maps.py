"""Uncertainty maps of samples to show: as stored, or made again from their seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from datasetgan.dataset import LabelledDataset, SampleRecord
from datasetgan.errors import ConfigError, unknown_name
from datasetgan.factory import GenerationSettings
from datasetgan.generators import sample_images
from datasetgan.interpreter import Interpreter
from datasetgan.project import Project
from datasetgan.runtime import Precision, Runtime
from datasetgan.serialization import from_plain

__all__ = ["UncertaintyMaps", "uncertainty_maps"]


@dataclass(frozen=True, eq=False)
class UncertaintyMaps:
    """Uncertainty maps by sample key.

    Attributes:
        maps: [H, W] float32 nats by key.
        note: why maps are missing, if they are.
    """

    maps: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    note: str | None = None


def uncertainty_maps(
    project: Project,
    dataset: LabelledDataset,
    records: Sequence[SampleRecord],
    *,
    interpreter: Interpreter | None,
    runtime: Runtime,
) -> UncertaintyMaps:
    """Return the uncertainty maps of some samples.

    A dataset that kept scores alone names the seed of every sample; generator and
    interpreter then give the map again, if they are still those of the dataset.

    Args:
        interpreter: of the project; None if there is none.
        runtime: where the generator runs; the precision is that of the dataset.

    Raises:
        DatasetError: a stored map is missing or damaged.
        CheckpointError: the generator is damaged.
        ConfigError: the manifest holds settings that do not parse.
    """
    if all(record.uncertainty is not None for record in records):
        loaded = [(record.key, dataset.load(record).uncertainty) for record in records]
        return UncertaintyMaps({key: found for key, found in loaded if found is not None})
    manifest = dataset.manifest
    kept = "The dataset keeps each image's score, not its uncertainty map, and"
    if interpreter is None:
        return UncertaintyMaps(
            note=f"{kept} the interpreter that could make the maps again is missing."
        )
    if (manifest.generator_sha256, manifest.interpreter_sha256) != (
        project.settings.generator_sha256,
        interpreter.digest,
    ):
        return UncertaintyMaps(
            note=f"{kept} the project's generator or interpreter is no longer the one that made "
            "it. Generate again to see heat maps."
        )
    return UncertaintyMaps(_make_again(project, dataset, records, interpreter, runtime))


@torch.inference_mode()
def _make_again(
    project: Project,
    dataset: LabelledDataset,
    records: Sequence[SampleRecord],
    interpreter: Interpreter,
    runtime: Runtime,
) -> dict[str, NDArray[np.float32]]:
    runtime = replace(runtime, precision=_precision(dataset))
    settings = _generation_settings(dataset)
    generator = project.load_generator(runtime)
    labeller = interpreter.place(runtime)
    maps = {}
    for record in records:
        _, synthesis = sample_images(generator, [record.seed], settings)
        # In float32 whatever the labels were made in: every machine has it, and no eye
        # sees the difference.
        prediction = labeller.predict(synthesis.features, size=dataset.manifest.label_size)
        maps[record.key] = prediction.uncertainty[0].float().cpu().numpy()
    return maps


def _generation_settings(dataset: LabelledDataset) -> GenerationSettings:
    plain = {k: v for k, v in dataset.manifest.settings.items() if k != "precision"}
    return from_plain(GenerationSettings, plain, source=f"{dataset.folder}: settings")


def _precision(dataset: LabelledDataset) -> Precision:
    name = dataset.manifest.settings.get("precision", "float32")
    for precision in get_args(Precision):
        if name == precision:
            return cast(Precision, precision)
    message = unknown_name("precision", str(name), get_args(Precision))
    raise ConfigError(f"{dataset.folder}: settings: {message}")
