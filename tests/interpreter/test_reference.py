"""The reference itself: its stop rule and its training, against plain numbers."""

import numpy as np
import torch

from datasetgan.interpreter.fitting.optimizer import StopRule
from datasetgan.interpreter.reference import fit_members, predict_by_members
from tests.interpreter.conftest import painted_sample


def stops_after(losses: list[tuple[int, float]]) -> int | None:
    rule = StopRule()
    for count, (epoch, loss) in enumerate(losses, start=1):
        if rule.update(epoch, loss):
            return count
    return None


def test_four_epochs_are_always_run() -> None:
    assert stops_after([(epoch, 1.0) for epoch in range(4) for _ in range(500)]) is None


def test_stop_after_more_than_fifty_batches_without_a_best() -> None:
    assert stops_after([(4, 1.0)] * 51) is None
    assert stops_after([(4, 1.0)] * 52) == 52


def test_losses_before_the_fifth_epoch_do_not_count() -> None:
    assert stops_after([(3, 0.0)] * 9 + [(4, 1.0)] * 51) is None


def test_a_new_best_starts_the_count_again() -> None:
    losses = [(4, 1.0)] * 50 + [(5, 0.9)] + [(5, 0.95)] * 50
    assert stops_after(losses) is None
    assert stops_after([*losses, (5, 0.9)]) == len(losses) + 1


def test_members_learn_what_was_painted() -> None:
    samples = [painted_sample(seed) for seed in range(3)]
    members = fit_members(samples, num_classes=3, num_members=2, max_epochs=6)
    unseen = painted_sample(50, unpainted=False)
    prediction = predict_by_members(members, unseen.features, size=(16, 16))
    correct = (prediction.label_map[0] == unseen.label_map).float().mean()
    assert correct > 0.9
    assert not np.array_equal(*(m.layers[0].weight.detach().numpy() for m in members))
    assert torch.allclose(prediction.probabilities.sum(dim=1), torch.ones(1, 16, 16))
