"""Which images to paint next: those that stand for many others, doubtful ones above all.

The paper ranks candidates by the ensemble's disagreement, drops the most uncertain
tenth, which are often broken images, and spreads its choice over the next tenth by a
coreset, k-centre (Zhang et al. 2021, sec. 4). Here the choice is the k-median coreset
of all candidates, weighed by their disagreement: k-centre goes for the farthest
images, which stand for nothing but themselves, and on the embedded cells four images
of it taught less than four random ones.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import floor

import torch
from torch import Tensor

from datasetgan.errors import UsageError
from datasetgan.features import FeaturePyramid
from datasetgan.interpreter.predict import Interpreter

__all__ = [
    "MAX_CANDIDATES",
    "ImageDescriptors",
    "Suggestion",
    "describe_images",
    "describe_pyramids",
    "suggest_images",
]

MAX_CANDIDATES = 8192
"""Images to choose among at once: the table of their distances then takes 256 MiB."""


@dataclass(frozen=True)
class ImageDescriptors:
    """What a choice among images needs to know of them.

    Attributes:
        vectors: [N, C] float32, see `describe_images`.
        scores: [N] float32 uncertainty of each image in nats; None without interpreter.
    """

    vectors: Tensor
    scores: Tensor | None = None

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2:
            raise UsageError(f"descriptors must be [N, C], got {list(self.vectors.shape)}.")
        if self.scores is not None and self.scores.shape != self.vectors.shape[:1]:
            raise UsageError(
                f"{len(self.vectors)} images need as many scores, got {list(self.scores.shape)}."
            )

    def __len__(self) -> int:
        return len(self.vectors)


@dataclass(frozen=True)
class Suggestion:
    """One image of a choice, and why it was chosen.

    Attributes:
        index: of the candidate.
        stands_for: candidates that no other chosen or existing image is nearer to,
            itself included.
        surpasses: share of the candidates with a lower uncertainty score, 0 to 1; None
            without scores.
    """

    index: int
    stands_for: int
    surpasses: float | None = None


def describe_images(features: FeaturePyramid) -> Tensor:
    """Summarize each image by how much every channel varies over it.

    On the embedded cells the deviations choose better than the channels' means, and
    better than both together.

    Returns:
        [N, C] float32 on the CPU: standard deviation over the pixels of the picture of
        every channel, levels coarse to fine; 0 in a level of one pixel.
    """
    parts = [tensor.float().flatten(2).std(dim=2, correction=0) for tensor in features.cropped]
    return torch.cat(parts, dim=1).cpu()


@torch.inference_mode()
def describe_pyramids(
    pyramids: Iterable[FeaturePyramid],
    *,
    interpreter: Interpreter | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> ImageDescriptors:
    """Describe images one batch of features after another; only descriptors stay.

    Args:
        pyramids: features of one generator, at least one image.
        interpreter: scores the images; without it there are no scores.
        on_progress: called after every batch with the number of images done.

    Raises:
        UsageError: no images, features that are not finite, or of another generator
            than the interpreter's.
    """
    vectors: list[Tensor] = []
    scores: list[Tensor] = []
    done = 0
    # No `enumerate`: it would hold each pyramid until the next one is there.
    for features in pyramids:
        found = describe_images(features)
        if not bool(found.isfinite().all()):
            raise UsageError(
                "the features of an image hold NaN or infinite values: use the precision float32."
            )
        vectors.append(found)
        if interpreter is not None:
            scores.append(interpreter.predict(features).uncertainty_score.cpu())
        done += features.batch_size
        del features  # before the next images' features are made
        if on_progress is not None:
            on_progress(done)
    if not vectors:
        raise UsageError("there is no image to describe.")
    return ImageDescriptors(torch.cat(vectors), torch.cat(scores) if scores else None)


def suggest_images(
    candidates: ImageDescriptors,
    existing: Tensor | None = None,
    *,
    count: int,
    drop_share: float = 0.05,
) -> tuple[Suggestion, ...]:
    """Choose the images that, painted, stand for most of the others.

    Every candidate costs its distance to the nearest image that is chosen or existing,
    times its uncertainty score; images are chosen one after another, each the one
    that saves most (greedy k-median). Without scores all weigh alike and the first
    choice is the most central image.

    Distances are Euclidean, every channel divided by its standard deviation over the
    candidates; a channel that is the same in all of them does not count.

    Args:
        candidates: to choose among.
        existing: [E, C] descriptors of images that are painted or wait to be.
        count: images to choose, at most as many as are left after the drop.
        drop_share: of the candidates with the highest scores, which are neither chosen nor
            count: broken images. Nothing is dropped without scores.

    Returns:
        The chosen candidates in the order of choice.

    Raises:
        UsageError: too few or too many candidates, a share outside [0, 1), descriptors of
            different lengths, or values that are not finite.
    """
    total = len(candidates)
    if not 0 <= drop_share < 1:
        raise UsageError(f"the share to drop must be at least 0 and below 1, got {drop_share}.")
    kept = _kept(candidates, drop_share=drop_share)  # [N'] indices, ascending
    if not 1 <= count <= len(kept) or total > MAX_CANDIDATES:
        dropped = f" ({total - len(kept)} of them dropped as broken)" if len(kept) < total else ""
        raise UsageError(
            f"{count} images are to be chosen among {total} candidates{dropped}: "
            f"choose at least 1 and at most {len(kept)}, among at most {MAX_CANDIDATES}."
        )
    vectors, centres = _scaled(candidates.vectors[kept], existing)
    weights = torch.ones(len(kept)) if candidates.scores is None else candidates.scores[kept]
    to_centres = torch.cdist(vectors, centres)  # [N', E]
    distances = torch.cdist(vectors, vectors).fill_diagonal_(0)  # [N', N']
    # Without centres all start from beyond the farthest: the first choice is the median.
    nearest = torch.cat([to_centres, distances.max().expand(len(kept), 1)], dim=1).min(dim=1).values
    chosen: list[int] = []
    for _ in range(count):
        saved = ((nearest[:, None] - distances).clamp_(min=0) * weights[:, None]).sum(dim=0)
        saved[chosen] = -1.0
        chosen.append(int(saved.argmax()))
        nearest = torch.minimum(nearest, distances[:, chosen[-1]])
    owner = torch.cat([distances[:, chosen], to_centres], dim=1).argmin(dim=1)
    return tuple(
        Suggestion(
            index=int(kept[number]),
            stands_for=int((owner == place).sum()),
            surpasses=_share_below(candidates.scores, int(kept[number])),
        )
        for place, number in enumerate(chosen)
    )


def _share_below(scores: Tensor | None, index: int) -> float | None:
    return None if scores is None else float((scores < scores[index]).float().mean())


def _kept(candidates: ImageDescriptors, *, drop_share: float) -> Tensor:
    """Return the indices of all but the most uncertain candidates, ascending."""
    if candidates.scores is None:
        return torch.arange(len(candidates))
    if not bool(candidates.scores.isfinite().all()):
        raise UsageError("uncertainty scores must be finite.")
    order = torch.argsort(candidates.scores, stable=True)
    return order[: len(order) - floor(drop_share * len(order))].sort().values


def _scaled(vectors: Tensor, existing: Tensor | None) -> tuple[Tensor, Tensor]:
    """Divide every channel by its deviation over the candidates: [N, C] and [E, C]."""
    channels = vectors.shape[1]
    existing = vectors.new_empty(0, channels) if existing is None else existing
    if existing.ndim != 2 or existing.shape[1] != channels:
        raise UsageError(
            f"existing images must have descriptors [E, {channels}] as the candidates have, "
            f"got {list(existing.shape)}."
        )
    if not bool(vectors.isfinite().all() and existing.isfinite().all()):
        raise UsageError("descriptors must be finite.")
    mean, deviation = vectors.mean(dim=0), vectors.std(dim=0, correction=0)
    factor = torch.where(deviation > 1e-6 * mean.abs(), 1 / deviation, 0.0)
    return (vectors - mean) * factor, (existing - mean) * factor
