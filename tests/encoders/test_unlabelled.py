"""A network taught on photos that nobody has labelled."""

import pytest
import torch

from datasetgan.encoders import teach_encoder
from datasetgan.encoders.self_supervised import SelfSupervision
from datasetgan.encoders.unlabelled import square_photos
from datasetgan.errors import UsageError
from tests.encoders.conftest import TINY_CNN, photograph

SHORT = SelfSupervision(steps=3, batch=4)


def test_the_same_photos_teach_the_same_network() -> None:
    photos = [photograph(20, 30 + i, seed=i) for i in range(6)]
    steps: list[tuple[int, int]] = []
    first, second = (
        teach_encoder(
            TINY_CNN, photos, side=32, supervision=SHORT, on_step=lambda *at: steps.append(at)
        )
        for _ in range(2)
    )
    assert steps == [(1, 3), (2, 3), (3, 3)] * 2
    assert first.config.side == 32
    tensors = first.network.state_dict()
    assert all(torch.equal(t, second.network.state_dict()[k]) for k, t in tensors.items())
    assert not any(p.requires_grad for p in first.parameters())
    assert not first.network.training


def test_it_learns_to_tell_photos_apart() -> None:
    """Two halves of a photo lie nearer to each other than to other photos' halves."""
    photos = [photograph(64, 64, seed=i) // (1 + i % 3) for i in range(24)]
    short = SelfSupervision(steps=1, batch=24, learning_rate=1e-9)
    longer = SelfSupervision(steps=30, batch=24)
    scores = []
    for supervision in (short, longer):
        encoder = teach_encoder(TINY_CNN, photos, side=64, supervision=supervision)
        with torch.inference_mode():
            halves = [
                torch.nn.functional.normalize(
                    torch.cat(
                        [encoder.features(p[part]).tensors[0].mean(dim=(2, 3)) for p in photos]
                    ),
                    dim=1,
                )
                for part in (slice(0, 44), slice(20, 64))
            ]
        similarity = halves[0] @ halves[1].T
        scores.append(float(similarity.diag().mean() - similarity.mean()))
    assert scores[1] > scores[0] + 0.05


def test_squares_are_cut_from_the_middle() -> None:
    photo = photograph(40, 60)
    assert (square_photos([photo], side=40)[0] == photo[:, 10:50]).all()
    assert square_photos([photo, photograph(9, 9)], side=16).shape == (2, 16, 16, 3)


def test_one_photo_teaches_nothing() -> None:
    with pytest.raises(UsageError, match="at least 2 photos, got 1"):
        teach_encoder(TINY_CNN, [photograph(20, 20)])
