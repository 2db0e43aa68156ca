"""The paper to the letter: slow, readable, for tests.

Everything that the fast path avoids is done here as the paper and its official code
describe it (Zhang et al. 2021, sec. 3; the code where the text is silent): the whole
upsampled stack of features, all painted pixels, batches of 64, one member after the
other, the official stop rule, votes counted class by class.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from datasetgan.features import FeaturePyramid
from datasetgan.features.painted import PaintedSample
from datasetgan.interpreter.ensemble.classifier import PixelClassifier
from datasetgan.interpreter.fitting.optimizer import StopRule
from datasetgan.interpreter.predict import Prediction
from datasetgan.runtime import Stream, random_state
from datasetgan.taxonomy import IGNORE_INDEX

__all__ = ["fit_members", "hypercolumns", "predict_by_members"]

_BATCH = 64
_LEARNING_RATE = 1e-3


def hypercolumns(features: FeaturePyramid, *, size: tuple[int, int]) -> Tensor:
    """Upsample every level straight to `size` and concatenate: [N, C, H, W] float32."""
    upsampled = []
    for level, tensor in features.items():
        top, left = level.margin, level.margin
        picture = tensor[:, :, top : level.height - top, left : level.width - left].float()
        upsampled.append(
            F.interpolate(picture, size=size, mode="bilinear", align_corners=False, antialias=False)
        )
    return torch.cat(upsampled, dim=1)


def fit_members(
    samples: Sequence[PaintedSample],
    *,
    num_classes: int,
    num_members: int = 10,
    seed: int = 0,
    max_epochs: int = 100,
) -> list[PixelClassifier]:
    """Train the members one by one on all painted pixels of all samples.

    Args:
        samples: one image each.
        num_classes: classes, background included.
        num_members: classifiers to train.
        seed: of initial weights and shuffles.
        max_epochs: limit on passes over the pixels.

    Returns:
        The members in evaluation mode.
    """
    # 1. The official matrix X: one row per painted pixel of every image.
    rows, labels = [], []
    for sample in samples:
        height, width = sample.label_map.shape
        stack = hypercolumns(sample.features, size=(height, width))[0].flatten(1)  # [C, HW]
        painted = sample.label_map.flatten() != IGNORE_INDEX
        rows.append(stack[:, painted].T)
        labels.append(sample.label_map.flatten()[painted].long())
    x, y = torch.cat(rows), torch.cat(labels)
    # 2. Every member sees all of it, from a start and in an order of its own.
    members = []
    for m in range(num_members):
        member = PixelClassifier(x.shape[1], num_classes, seed=seed, member=m).train()
        optimizer = torch.optim.Adam(member.parameters(), lr=_LEARNING_RATE)
        rule = StopRule()
        for epoch, batch in _epochs(len(x), seed=seed, member=m, count=max_epochs):
            loss = F.cross_entropy(member(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if rule.update(epoch, loss.item()):
                break
        members.append(member.eval())
    return members


def _epochs(pixels: int, *, seed: int, member: int, count: int) -> Iterator[tuple[int, Tensor]]:
    random = random_state(seed, Stream.PIXEL_ORDER, member)
    for epoch in range(count):
        for batch in torch.split(torch.from_numpy(random.permutation(pixels)), _BATCH):
            # Batch statistics of a single pixel do not exist.
            if len(batch) > 1:
                yield epoch, batch


@torch.no_grad()
def predict_by_members(
    members: Sequence[PixelClassifier], features: FeaturePyramid, *, size: tuple[int, int]
) -> Prediction:
    """Apply member after member to the hypercolumns; vote; measure the disagreement.

    Returns:
        A prediction with the members' mean probabilities and the official score, the
        mean of the highest tenth of an image's divergences.
    """
    stack = hypercolumns(features, size=size)
    n, channels, height, width = stack.shape
    x = stack.permute(0, 2, 3, 1).reshape(-1, channels)  # [NHW, C]
    probabilities = [member(x).softmax(dim=1) for member in members]  # M x [NHW, K]
    # 1. Majority vote as scipy.stats.mode: of the most frequent values, the smallest.
    choices = torch.stack([p.argmax(dim=1) for p in probabilities])  # [M, NHW]
    winner = torch.zeros(len(x), dtype=torch.int64)
    most = torch.zeros(len(x), dtype=torch.int64)
    for k in range(probabilities[0].shape[1]):
        votes = (choices == k).sum(dim=0)
        winner = torch.where(votes > most, k, winner)
        most = torch.maximum(most, votes)
    # 2. Jensen-Shannon divergence in nats; entr(p) = -p ln p.
    mean = torch.stack(probabilities).mean(dim=0)
    entropy_of_mean = torch.special.entr(mean).sum(dim=1)
    entropies = torch.stack([torch.special.entr(p).sum(dim=1) for p in probabilities])  # [M, NHW]
    divergence = (entropy_of_mean - entropies.mean(dim=0)).clamp(min=0.0)
    divergence = divergence.reshape(n, height, width)
    # 3. The image's score.
    score = []
    for image in divergence:
        descending = image.flatten().sort(descending=True).values
        score.append(descending[: max(1, len(descending) // 10)].mean())
    return Prediction(
        label_map=winner.reshape(n, height, width),
        uncertainty=divergence,
        uncertainty_score=torch.stack(score),
        probabilities=mean.reshape(n, height, width, -1).permute(0, 3, 1, 2),
    )
