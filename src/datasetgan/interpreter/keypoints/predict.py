"""The keypoint interpreter: from a generator's features to named points."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from datasetgan.checkpoints.native import (
    WeightCard,
    content_digest,
    load_into,
    read_checkpoint,
    write_checkpoint,
)
from datasetgan.errors import UsageError
from datasetgan.features import FeatureLevel, FeaturePyramid
from datasetgan.features.reading import check_levels, cropped_tensors, picture_size
from datasetgan.interpreter.ensemble.folded import FoldedHead
from datasetgan.interpreter.ensemble.heads import HeadName, build_head
from datasetgan.interpreter.ensemble.stacked import StackedHead
from datasetgan.interpreter.keypoints.settings import KeypointReport, KeypointSettings
from datasetgan.interpreter.labelling.base import Area
from datasetgan.interpreter.labelling.plain import member_outputs
from datasetgan.keypoints import Keypoints, KeypointSchema
from datasetgan.keypoints.heat_maps import SIGMA_SHARE, find_maxima
from datasetgan.runtime import Runtime

__all__ = ["KeypointInterpreter", "KeypointPrediction", "load_keypoint_interpreter"]

_KIND = "keypoint-interpreter"


@dataclass(frozen=True)
class KeypointPrediction:
    """The points of a batch of images, on the CPU.

    Attributes:
        points: [N, J, 2] float64, (x, y) in pixels of the asked size, pixel centres at .5.
        scores: [N, J] float32, the members' mean heat there, about 0 to 1.
        visible: [N, J] bool, whether the score reaches the interpreter's threshold.
        spread: [N, J] float32, how far the members disagree: root mean square distance of
            their own maxima from the point, in pixels.
    """

    points: Tensor
    scores: Tensor
    visible: Tensor
    spread: Tensor

    def keypoints(self, index: int) -> Keypoints:
        """Return the points of one image of the batch."""
        return Keypoints(self.points[index].numpy(), self.visible[index].numpy())


@dataclass(frozen=True)
class KeypointConfig:
    """What a keypoint interpreter's checkpoint says about it beside the weights."""

    schema: KeypointSchema
    levels: tuple[FeatureLevel, ...]
    num_members: int
    head: HeadName
    sigma_share: float
    threshold: float
    generator_digest: str

    def __post_init__(self) -> None:
        if not self.levels:
            raise UsageError("a keypoint interpreter needs at least one feature level.")
        KeypointSettings(
            num_members=self.num_members,
            head=self.head,
            sigma_share=self.sigma_share,
            threshold=self.threshold,
        )


@dataclass(frozen=True, eq=False)
class KeypointInterpreter:
    """An ensemble that regresses heat maps of keypoints from a generator's features.

    Attributes:
        schema: the names of its points.
        levels: the feature levels that it was fitted on, coarse to fine.
        members: all of them, in evaluation mode.
        head: kind of the members.
        sigma_share: of the heat maps that it was fitted to.
        threshold: heat from which on a point counts as visible.
        generator_digest: SHA-256 of the generator's checkpoint; empty if not known.
        report: of the fit that made it; None for one loaded from a file.
    """

    schema: KeypointSchema
    levels: tuple[FeatureLevel, ...]
    members: StackedHead
    head: HeadName
    sigma_share: float = SIGMA_SHARE
    threshold: float = 0.05
    generator_digest: str = ""
    report: KeypointReport | None = None

    @torch.inference_mode()
    def predict(
        self, features: FeaturePyramid, *, size: tuple[int, int] | None = None
    ) -> KeypointPrediction:
        """Find the points of a batch of images.

        The heat is the mean over the members (Zhang et al. 2021, sec. 3); a point is its
        highest place, finer than a pixel. Images are worked on one at a time, in tiles:
        beyond one mean heat map per name, memory does not grow with the picture.

        Args:
            features: of the generator that the interpreter was fitted on.
            size: (height, width) of the grid; the finest level's by default.

        Raises:
            UsageError: levels that differ from the fitted ones (every difference is
                listed), or a size below 1.
        """
        check_levels(features.levels, self.levels, source="these features")
        size = picture_size(features) if size is None else size
        if min(size) < 1:
            raise UsageError(f"the size of a heat map must be at least 1 x 1, got {size}.")
        levels = cropped_tensors(features)
        found = [
            self._find([tensor[n] for tensor in levels], size) for n in range(features.batch_size)
        ]
        points, scores, visible, spread = (torch.cat(part) for part in zip(*found, strict=True))
        return KeypointPrediction(points, scores, visible, spread)

    def _find(
        self, image: list[Tensor], size: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return points, scores, visible and spread of one image, each with N = 1."""
        head = self._folded
        heat = head.first_bias.new_empty(len(self.schema), *size)
        best = torch.full((head.num_members, len(self.schema)), -torch.inf)
        own = torch.zeros(head.num_members, len(self.schema), 2, dtype=torch.float64)
        for tile, outputs in member_outputs(image, head, Area.whole(size)):
            maps = outputs.permute(0, 3, 1, 2)  # [M, J, T, S]
            heat[:, tile.rows, tile.columns] = maps.mean(dim=0)
            # Maps of all members would be ten times the mean: only their maxima are kept.
            points, scores, _ = find_maxima(maps, threshold=self.threshold)
            points += torch.tensor([tile.columns.start, tile.rows.start])
            higher = scores.cpu() > best
            best[higher], own[higher] = scores.cpu()[higher], points[higher]
        points, scores, visible = (
            part.cpu() for part in find_maxima(heat[None], threshold=self.threshold)
        )
        spread = (own - points).square().sum(dim=-1).mean(dim=0, keepdim=True).sqrt()  # [1, J]
        return points, scores, visible, spread.float()

    @cached_property
    def _folded(self) -> FoldedHead:
        return self.members.fold()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that predictions depend on; the card does not count."""
        return content_digest(self._config, self.members.state_dict())

    @property
    def _config(self) -> KeypointConfig:
        return KeypointConfig(
            schema=self.schema,
            levels=self.levels,
            num_members=self.members.num_members,
            head=self.head,
            sigma_share=self.sigma_share,
            threshold=self.threshold,
            generator_digest=self.generator_digest,
        )

    def place(self, runtime: Runtime) -> Self:
        """Move the weights to a runtime's device; go on with the interpreter returned.

        Its arithmetic is float32 whatever the precision.
        """
        return replace(self, members=self.members.to(runtime.torch_device).eval())

    def save(self, path: Path, *, card: WeightCard) -> None:
        """Write a native checkpoint of kind ``"keypoint-interpreter"``, atomically.

        The same interpreter gives the same bytes; the report is left out: it holds times.

        Raises:
            StorageError: the disk is full or the place cannot be written.
        """
        write_checkpoint(
            path,
            self.members.state_dict(),
            kind=_KIND,
            architecture=self.head,
            config=self._config,
            card=card,
        )


def load_keypoint_interpreter(path: Path, *, runtime: Runtime | None = None) -> KeypointInterpreter:
    """Load a keypoint interpreter from a native checkpoint.

    Args:
        path: what `KeypointInterpreter.save` wrote.
        runtime: where it runs; the CPU by default.

    Raises:
        CheckpointError: the file is missing, truncated, of another kind, or its
            tensors do not fit its configuration; every difference is listed.
    """
    checkpoint = read_checkpoint(path, kind=_KIND)
    config = checkpoint.config_as(KeypointConfig)
    members = build_head(
        config.head,
        num_members=config.num_members,
        in_channels=sum(level.channels for level in config.levels),
        num_outputs=len(config.schema),
    )
    load_into(members, checkpoint.tensors, source=str(path))
    interpreter = KeypointInterpreter(
        schema=config.schema,
        levels=config.levels,
        members=members.requires_grad_(False),
        head=config.head,
        sigma_share=config.sigma_share,
        threshold=config.threshold,
        generator_digest=config.generator_digest,
    )
    return interpreter.place(runtime or Runtime())
