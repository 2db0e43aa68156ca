"""Downstream: train a segmenter on a generated dataset, prove it on real photos."""

from datasetgan.downstream.augment import NO_AUGMENTATION, AugmentationSettings
from datasetgan.downstream.evaluate import Evaluation, PhotoScore, evaluate_segmenter
from datasetgan.downstream.metrics import (
    confusion_matrix,
    f1,
    iou,
    mean_iou,
    pixel_accuracy,
)
from datasetgan.downstream.models import SEGMENTERS, build_segmenter
from datasetgan.downstream.segmenter import Segmenter, load_segmenter
from datasetgan.downstream.settings import SegmenterSettings, paper_settings
from datasetgan.downstream.train import TrainProgress, train_segmenter

__all__ = [
    "NO_AUGMENTATION",
    "SEGMENTERS",
    "AugmentationSettings",
    "Evaluation",
    "PhotoScore",
    "Segmenter",
    "SegmenterSettings",
    "TrainProgress",
    "build_segmenter",
    "confusion_matrix",
    "evaluate_segmenter",
    "f1",
    "iou",
    "load_segmenter",
    "mean_iou",
    "paper_settings",
    "pixel_accuracy",
    "train_segmenter",
]
