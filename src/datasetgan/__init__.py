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
    from datasetgan.pipeline import (
        DemoResult,
        Event,
        Finished,
        Fitted,
        Note,
        Progress,
        Result,
        Suggested,
        evaluate_project,
        evaluate_project_keypoints,
        fit_project,
        generate_project,
        import_generator,
        import_project_keypoints,
        import_project_labels,
        new_project,
        report_project,
        run_demo,
        sample_project,
        suggest_project,
        train_generator_from_photos,
        train_project,
        train_project_keypoints,
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
    "DemoResult",
    "Event",
    "Finished",
    "FitSettings",
    "Fitted",
    "GenerationSettings",
    "Generator",
    "ImportReport",
    "Interpreter",
    "Note",
    "Progress",
    "Project",
    "Result",
    "RunSettings",
    "Runtime",
    "Sampling",
    "SamplingSettings",
    "Segmenter",
    "SegmenterSettings",
    "Suggested",
    "TrainingSettings",
    "WeightCard",
    "evaluate_project",
    "evaluate_project_keypoints",
    "evaluate_segmenter",
    "find_pairs",
    "fit_interpreter",
    "fit_project",
    "generate_project",
    "generate_samples",
    "import_checkpoint",
    "import_generator",
    "import_project_keypoints",
    "import_project_labels",
    "import_state_dict",
    "load_generator",
    "load_interpreter",
    "load_segmenter",
    "network_config",
    "new_project",
    "painted_photos",
    "painted_samples",
    "read_dataset",
    "read_training_images",
    "report_project",
    "resolve_runtime",
    "run_demo",
    "sample_images",
    "sample_latents",
    "sample_project",
    "save_generator",
    "suggest_project",
    "train_generator",
    "train_generator_from_photos",
    "train_project",
    "train_project_keypoints",
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
    "pipeline": (
        "DemoResult",
        "Event",
        "Finished",
        "Fitted",
        "Note",
        "Progress",
        "Result",
        "Suggested",
        "evaluate_project",
        "evaluate_project_keypoints",
        "fit_project",
        "generate_project",
        "import_generator",
        "import_project_keypoints",
        "import_project_labels",
        "new_project",
        "report_project",
        "run_demo",
        "sample_project",
        "suggest_project",
        "train_generator_from_photos",
        "train_project",
        "train_project_keypoints",
    ),
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
