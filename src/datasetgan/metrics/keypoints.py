"""Scores of predicted keypoints, all of them from counts and sums that add up over images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasetgan.errors import UsageError
from datasetgan.keypoints import Keypoints, KeypointSchema

__all__ = [
    "PCK_SHARES",
    "KeypointErrors",
    "KeypointScores",
    "PointScore",
    "keypoint_errors",
    "score_keypoints",
]

PCK_SHARES = (0.05, 0.10, 0.15)
"""Shares of the longer side within which a point counts as correct (Zhang et al. 2021, table 2)."""


@dataclass(frozen=True, eq=False)
class KeypointErrors:
    """What scores are made of; ``a + b`` is that of both sets of images together.

    Attributes:
        shares: of the longer side, within which a point counts as correct.
        images: how many were compared.
        points: [J] int64, visible points in truth; only their places are scored.
        pixels: [J] float64, their summed distances in pixels.
        sides: [J] float64, their summed distances as shares of the longer side.
        correct: [S, J] int64, how many lie within each share.
        visibility: [J, 2, 2] int64, images by true and by predicted visibility.
    """

    shares: tuple[float, ...]
    images: int
    points: NDArray[np.int64]
    pixels: NDArray[np.float64]
    sides: NDArray[np.float64]
    correct: NDArray[np.int64]
    visibility: NDArray[np.int64]

    def __add__(self, other: "KeypointErrors") -> "KeypointErrors":
        if self.shares != other.shares or self.points.shape != other.points.shape:
            raise UsageError("errors of other keypoints or other shares do not add up.")
        return KeypointErrors(
            self.shares,
            self.images + other.images,
            self.points + other.points,
            self.pixels + other.pixels,
            self.sides + other.sides,
            self.correct + other.correct,
            self.visibility + other.visibility,
        )


@dataclass(frozen=True, kw_only=True)
class PointScore:
    """The scores of one keypoint, or of all together; None where nothing was to be scored.

    Attributes:
        name: of the keypoint.
        points: visible ones in truth.
        l2_pixels: mean distance in pixels of the picture.
        l2_sides: mean distance as a share of the picture's longer side.
        pck: share of the points that are correct, 0 to 1, for each of the evaluation's shares.
        precision: share of the points called visible that are.
        recall: share of the visible points that are called so.
    """

    name: str
    points: int
    l2_pixels: float | None
    l2_sides: float | None
    pck: tuple[float, ...]
    precision: float | None
    recall: float | None


@dataclass(frozen=True, kw_only=True)
class KeypointScores:
    """The scores of a set of images.

    Attributes:
        images: how many were compared.
        shares: of the longer side, that `PointScore.pck` stands for.
        overall: over the points of all names together.
        keypoints: each name's own scores, in the order of the schema.
    """

    images: int
    shares: tuple[float, ...]
    overall: PointScore
    keypoints: tuple[PointScore, ...]


def keypoint_errors(
    prediction: Keypoints,
    truth: Keypoints,
    *,
    size: tuple[int, int],
    shares: tuple[float, ...] = PCK_SHARES,
) -> KeypointErrors:
    """Compare the points of one image with the true ones.

    A point that is visible in truth is scored by the place predicted for it, whether
    or not it was predicted to be visible: visibility is scored on its own.

    Args:
        size: (height, width) of the picture that both are given in.
        shares: of the longer side, within which a point counts as correct.

    Raises:
        UsageError: different numbers of points, or a share that is not above 0.
    """
    if len(prediction) != len(truth):
        raise UsageError(f"{len(prediction)} points were predicted, {len(truth)} are true.")
    if not all(share > 0 for share in shares):
        raise UsageError(f"shares of the side must be above 0, got {list(shares)}.")
    there = truth.visible
    distance = np.linalg.norm(prediction.points - truth.points, axis=1) * there  # [J]
    share_of_side = distance / max(size)
    within = share_of_side <= np.array(shares).reshape(-1, 1)  # [S, J]
    visibility = np.zeros((len(truth), 2, 2), dtype=np.int64)
    visibility[np.arange(len(truth)), there.astype(int), prediction.visible.astype(int)] = 1
    return KeypointErrors(
        shares=shares,
        images=1,
        points=there.astype(np.int64),
        pixels=distance,
        sides=share_of_side,
        correct=(within & there).astype(np.int64),
        visibility=visibility,
    )


def score_keypoints(errors: Sequence[KeypointErrors], schema: KeypointSchema) -> KeypointScores:
    """Score a set of images by the errors of each.

    Raises:
        UsageError: no image, or errors that do not fit the schema or each other.
    """
    if not errors:
        raise UsageError("there are no images to score keypoints on; at least one is needed.")
    total = errors[0]
    for one in errors[1:]:
        total = total + one
    if len(total.points) != len(schema):
        raise UsageError(f"errors of {len(total.points)} keypoints, the schema has {len(schema)}.")
    everything = np.arange(len(schema))
    return KeypointScores(
        images=total.images,
        shares=total.shares,
        overall=_score("all", total, everything),
        keypoints=tuple(
            _score(name, total, everything[j : j + 1]) for j, name in enumerate(schema.names)
        ),
    )


def _score(name: str, errors: KeypointErrors, which: NDArray[np.int64]) -> PointScore:
    points = int(errors.points[which].sum())
    visibility = errors.visibility[which].sum(axis=0)  # [truth, prediction]
    return PointScore(
        name=name,
        points=points,
        l2_pixels=_ratio(errors.pixels[which].sum(), points),
        l2_sides=_ratio(errors.sides[which].sum(), points),
        pck=tuple(float(row[which].sum()) / points for row in errors.correct) if points else (),
        precision=_ratio(visibility[1, 1], visibility[:, 1].sum()),
        recall=_ratio(visibility[1, 1], visibility[1].sum()),
    )


def _ratio(part: float, whole: float) -> float | None:
    return float(part) / float(whole) if whole else None
