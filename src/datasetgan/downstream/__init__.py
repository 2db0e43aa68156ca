"""Downstream: train networks on a generated dataset, prove them on real photos."""

from datasetgan.downstream.augment import NO_AUGMENTATION, AugmentationSettings
from datasetgan.downstream.evaluate import Evaluation, PhotoScore, evaluate_segmenter
from datasetgan.downstream.keypoint_evaluate import AnnotatedPhoto, evaluate_keypoint_network
from datasetgan.downstream.keypoint_network import (
    KeypointNetwork,
    PhotoKeypoints,
    load_keypoint_network,
)
from datasetgan.downstream.keypoint_train import train_keypoint_network
from datasetgan.downstream.models import SEGMENTERS, build_segmenter
from datasetgan.downstream.segmenter import Segmenter, load_segmenter
from datasetgan.downstream.settings import (
    KeypointNetworkSettings,
    NetworkTraining,
    SegmenterSettings,
    paper_settings,
)
from datasetgan.downstream.train import train_segmenter
from datasetgan.downstream.training_loop import TrainProgress
from datasetgan.metrics.segmentation import (
    confusion_matrix,
    f1,
    iou,
    mean_iou,
    pixel_accuracy,
)

__all__ = [
    "NO_AUGMENTATION",
    "SEGMENTERS",
    "AnnotatedPhoto",
    "AugmentationSettings",
    "Evaluation",
    "KeypointNetwork",
    "KeypointNetworkSettings",
    "NetworkTraining",
    "PhotoKeypoints",
    "PhotoScore",
    "Segmenter",
    "SegmenterSettings",
    "TrainProgress",
    "build_segmenter",
    "confusion_matrix",
    "evaluate_keypoint_network",
    "evaluate_segmenter",
    "f1",
    "iou",
    "load_keypoint_network",
    "load_segmenter",
    "mean_iou",
    "paper_settings",
    "pixel_accuracy",
    "train_keypoint_network",
    "train_segmenter",
]
