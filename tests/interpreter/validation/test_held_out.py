"""Checkpoints of held-out scores: which one is taken, and what is kept alive."""

import weakref
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from datasetgan.interpreter.predict import Prediction
from datasetgan.interpreter.validation.held_out import (
    HeldOutPrediction,
    ScoredCheckpoint,
    ScoredImage,
    best_checkpoint,
    pick_out_of_fold,
    score_checkpoint,
)
from datasetgan.interpreter.validation.scores import measure_image


def a_prediction() -> Prediction:
    labels = torch.zeros(1, 2, 2, dtype=torch.int64)
    return Prediction(labels, torch.zeros(1, 2, 2), torch.zeros(1), torch.full((1, 2, 2, 2), 0.5))


def scored(step: int, wrong: tuple[int, ...]) -> ScoredCheckpoint:
    """One image of 20 pixels per fold, so many of each class's 10 wrong."""
    blank = measure_image(a_prediction(), np.zeros((2, 2), np.int64), num_classes=2)
    confusions = [np.array([[10 - w, w], [w, 10 - w]]) for w in wrong]
    images = tuple(ScoredImage(f, f, c, 0.0) for f, c in enumerate(confusions))
    return ScoredCheckpoint(step, images, tuple(replace(blank, confusion=c) for c in confusions))


def test_a_fold_has_no_say_in_its_own_checkpoint() -> None:
    """All together prefer step 1, for fold 0's sake; folds 1 and 2 alone prefer step 2."""
    checkpoints = [scored(1, (0, 2, 2)), scored(2, (9, 1, 1))]
    assert best_checkpoint(checkpoints, classes=[0, 1]).step == 1
    images, sums = pick_out_of_fold(checkpoints, classes=[0, 1])
    assert [int(image.confusion[0, 1]) for image in images] == [9, 2, 2]
    assert [int(fold.confusion[0, 1]) for fold in sums] == [9, 2, 2]


def test_one_prediction_is_alive_at_a_time() -> None:
    alive: list[weakref.ref[Prediction]] = []

    def predictions() -> Iterator[HeldOutPrediction]:
        for image in range(3):
            assert all(reference() is None for reference in alive)
            held = HeldOutPrediction(image, image, a_prediction(), np.zeros((2, 2), np.int64))
            alive.append(weakref.ref(held.prediction))
            yield held
            del held

    score_checkpoint(1, predictions(), num_folds=3, num_classes=2)
    assert len(alive) == 3
