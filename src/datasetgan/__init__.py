"""DatasetGAN: a labelled-data factory.

Paint a few images of a generator once, fit a Style Interpreter on its features,
and sample images with their label maps without end.

The names in `__all__` are the public API. They are imported on first use, so that
``import datasetgan`` and ``datasetgan --help`` stay instant.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasetgan.assets import EMBEDDED_CLASSES, painted_photos, painted_samples
    from datasetgan.checkpoints.generator_files import load_generator, save_generator
    from datasetgan.checkpoints.import_checkpoint import ImportReport, import_checkpoint
    from datasetgan.checkpoints.importers import import_state_dict
    from datasetgan.checkpoints.native import WeightCard
    from datasetgan.dataset import find_pairs, read_dataset, verify_dataset
    from datasetgan.downstream import (
        Segmenter,
        SegmenterSettings,
        evaluate_segmenter,
        load_segmenter,
        train_segmenter,
    )
    from datasetgan.errors import DatasetGANError
    from datasetgan.factory import GenerationSettings, generate_samples
    from datasetgan.gan_training import (
        RunSettings,
        TrainingSettings,
        network_config,
        read_training_images,
        train_generator,
    )
    from datasetgan.generators import Generator, Sampling, sample_images, sample_latents
    from datasetgan.interpreter import (
        FitSettings,
        Interpreter,
        fit_interpreter,
        load_interpreter,
    )
    from datasetgan.project import Project, SamplingSettings
    from datasetgan.report import write_report
    from datasetgan.runtime import Runtime, resolve_runtime
    from datasetgan.taxonomy import ClassTaxonomy

__version__ = "0.1.0"

__all__ = [
    "EMBEDDED_CLASSES",
    "ClassTaxonomy",
    "DatasetGANError",
    "FitSettings",
    "GenerationSettings",
    "Generator",
    "ImportReport",
    "Interpreter",
    "Project",
    "RunSettings",
    "Runtime",
    "Sampling",
    "SamplingSettings",
    "Segmenter",
    "SegmenterSettings",
    "TrainingSettings",
    "WeightCard",
    "evaluate_segmenter",
    "find_pairs",
    "fit_interpreter",
    "generate_samples",
    "import_checkpoint",
    "import_state_dict",
    "load_generator",
    "load_interpreter",
    "load_segmenter",
    "network_config",
    "painted_photos",
    "painted_samples",
    "read_dataset",
    "read_training_images",
    "resolve_runtime",
    "sample_images",
    "sample_latents",
    "save_generator",
    "train_generator",
    "train_segmenter",
    "verify_dataset",
    "write_report",
]

# Where each public name lies; `__getattr__` imports it from there.
_MODULES = {
    "assets": ("EMBEDDED_CLASSES", "painted_photos", "painted_samples"),
    "checkpoints.generator_files": ("load_generator", "save_generator"),
    "checkpoints.import_checkpoint": ("ImportReport", "import_checkpoint"),
    "checkpoints.importers": ("import_state_dict",),
    "checkpoints.native": ("WeightCard",),
    "dataset": ("find_pairs", "read_dataset", "verify_dataset"),
    "downstream": (
        "Segmenter",
        "SegmenterSettings",
        "evaluate_segmenter",
        "load_segmenter",
        "train_segmenter",
    ),
    "errors": ("DatasetGANError",),
    "factory": ("GenerationSettings", "generate_samples"),
    "generators": ("Generator", "Sampling", "sample_images", "sample_latents"),
    "interpreter": ("FitSettings", "Interpreter", "fit_interpreter", "load_interpreter"),
    "project": ("Project", "SamplingSettings"),
    "report": ("write_report",),
    "runtime": ("Runtime", "resolve_runtime"),
    "taxonomy": ("ClassTaxonomy",),
    "gan_training": (
        "RunSettings",
        "TrainingSettings",
        "network_config",
        "read_training_images",
        "train_generator",
    ),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
