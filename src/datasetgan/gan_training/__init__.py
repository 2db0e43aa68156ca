"""A generator from photographs: StyleGAN2 with adaptive augmentation."""

from datasetgan.gan_training.loop import GeneratorTrainer, StepReport
from datasetgan.gan_training.photos.images import TrainingImages, read_training_images
from datasetgan.gan_training.processes import ProcessGroup, join_processes
from datasetgan.gan_training.run import RunSettings, TrainingResult, train_generator
from datasetgan.gan_training.run_files import RunFiles, RunPlan, SnapshotRecord
from datasetgan.gan_training.settings import TrainingSettings, network_config

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
    "join_processes",
    "network_config",
    "read_training_images",
    "train_generator",
]
