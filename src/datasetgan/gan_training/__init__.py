"""A generator from photographs: StyleGAN2 with adaptive augmentation."""

from datasetgan.gan_training.photos.images import TrainingImages, read_training_images
from datasetgan.gan_training.processes import ProcessGroup, join_processes
from datasetgan.gan_training.run import TrainingResult, train_generator
from datasetgan.gan_training.run_files import RunFiles, RunPlan, SnapshotRecord
from datasetgan.gan_training.settings import (
    RunSettings,
    TrainingSettings,
    default_warmup,
    read_training_settings,
)
from datasetgan.gan_training.step_report import StepReport
from datasetgan.gan_training.trainer import GeneratorTrainer
from datasetgan.generators.network_sizes import network_config

__all__ = [
    "GeneratorTrainer",
    "ProcessGroup",
    "RunFiles",
    "RunPlan",
    "RunSettings",
    "SnapshotRecord",
    "StepReport",
    "TrainingImages",
    "TrainingResult",
    "TrainingSettings",
    "default_warmup",
    "join_processes",
    "network_config",
    "read_training_images",
    "read_training_settings",
    "train_generator",
]
