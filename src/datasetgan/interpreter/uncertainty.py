"""The ensemble's answer: majority vote, disagreement per pixel, score per image."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from datasetgan.errors import UsageError, unknown_name

__all__ = ["EnsembleAnswer", "ScoreRule", "combine_members", "score_uncertainty"]

ScoreRule = Literal["top_decile_mean", "sum"]
"""How an image's uncertainty is scored: as the official code does, or as the paper does."""


@dataclass(frozen=True)
class EnsembleAnswer:
    """What all members say together about some pixels.

    Attributes:
        labels: [P] int64, the class of most votes; ties go to the smallest id.
        divergence: [P] Jensen-Shannon divergence in nats, 0 to ln(members).
        mean_probability: [P, K], the mean of the members' softmax outputs.
    """

    labels: Tensor
    divergence: Tensor
    mean_probability: Tensor


def combine_members(logits: Tensor) -> EnsembleAnswer:
    """Combine the members' logits in one pass (Zhang et al. 2021, sec. 3).

    The divergence is ``H(mean p) - mean H(p)``, natural logarithm, over the
    members' probabilities p; rounding below zero is clamped.

    Args:
        logits: [M, P, K].
    """
    num_members, _, num_classes = logits.shape
    log_probability = logits.log_softmax(dim=-1)  # [M, P, K]
    probability = log_probability.exp()
    mean = probability.mean(dim=0)  # [P, K]
    entropy_of_mean = -torch.xlogy(mean, mean).sum(dim=-1)
    mean_entropy = -(probability * log_probability).sum(dim=(0, 2)) / num_members
    # Among the classes of most votes, the lower id has the higher key.
    choices = logits.argmax(dim=-1)  # [M, P]
    votes = torch.zeros_like(mean, dtype=torch.int64)
    votes.scatter_add_(1, choices.mT, torch.ones_like(choices.mT))
    key = votes * num_classes + torch.arange(num_classes - 1, -1, -1, device=votes.device)
    return EnsembleAnswer(
        labels=key.argmax(dim=-1),
        divergence=(entropy_of_mean - mean_entropy).clamp(min=0.0),
        mean_probability=mean,
    )


def score_uncertainty(uncertainty: Tensor, *, rule: ScoreRule = "top_decile_mean") -> Tensor:
    """Score each image by the uncertainty of its pixels.

    Args:
        uncertainty: [N, H, W] in nats.
        rule: ``"top_decile_mean"`` is the mean of the highest tenth of the pixels
            (at least one), which the official code takes and which does not depend
            on the size of the picture; ``"sum"`` is the sum over all pixels, in the
            paper's words.

    Returns:
        [N] float32, nats.

    Raises:
        UsageError: an unknown rule.
    """
    if rule not in get_args(ScoreRule):
        raise UsageError(unknown_name("score rule", rule, get_args(ScoreRule)))
    pixels = uncertainty.flatten(1).float()  # [N, HW]
    if rule == "sum":
        return pixels.sum(dim=1)
    return pixels.topk(max(1, pixels.shape[1] // 10), dim=1).values.mean(dim=1)
