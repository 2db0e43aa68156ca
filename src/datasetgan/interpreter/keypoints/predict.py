"""The keypoint interpreter: from a generator's features to named points."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from datasetgan.checkpoints.native import WeightCard, read_checkpoint
from datasetgan.errors import UsageError
from datasetgan.features import FeatureLevel, FeaturePyramid, InputSpec, Surroundings
from datasetgan.interpreter.ensemble.ensemble import Ensemble
from datasetgan.interpreter.ensemble.heads import HeadName
from datasetgan.interpreter.labelling import Area, Labeller
from datasetgan.interpreter.reports import KeypointReport
from datasetgan.keypoints import Keypoints, KeypointSchema
from datasetgan.keypoints.heat_maps import SIGMA_SHARE, find_maxima
from datasetgan.runtime import Runtime

__all__ = ["KeypointInterpreter", "KeypointPrediction", "load_keypoint_interpreter"]

_KIND = "keypoint-interpreter"
# All members' heat of a strip of rows; beyond, one strip follows the other.
_STRIP_BYTES = 64 << 20


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
    """What a keypoint interpreter's checkpoint says about it beside the weights.

    Attributes:
        surroundings: `InputSpec.surroundings`; files say nothing where there are none.
    """

    schema: KeypointSchema
    levels: tuple[FeatureLevel, ...]
    num_members: int
    head: HeadName
    sigma_share: float
    threshold: float
    generator_digest: str
    surroundings: Surroundings | None = None
    level_falloff: float | None = None
    heeded: Surroundings | None = None

    def __post_init__(self) -> None:
        if self.num_members < 1 or not (0 < self.sigma_share < 1 and 0 < self.threshold < 1):
            raise UsageError(
                "a keypoint interpreter needs at least one member, and sigma_share and threshold "
                "between 0 and 1."
            )
        _ = self.inputs  # checked too

    @property
    def inputs(self) -> InputSpec:
        """What the members read, as one value."""
        return InputSpec(self.levels, self.surroundings or "none", self.level_falloff, self.heeded)


@dataclass(frozen=True, eq=False)
class KeypointInterpreter:
    """An ensemble that regresses heat maps of keypoints from a generator's features.

    Attributes:
        schema: the names of its points.
        ensemble: the members, and what they read.
        sigma_share: of the heat maps that it was fitted to.
        threshold: heat from which on a point counts as visible.
        report: of the fit that made it; None for one loaded from a file.
    """

    schema: KeypointSchema
    ensemble: Ensemble
    sigma_share: float = SIGMA_SHARE
    threshold: float = 0.05
    report: KeypointReport | None = None

    @torch.inference_mode()
    def predict(
        self, features: FeaturePyramid, *, size: tuple[int, int] | None = None
    ) -> KeypointPrediction:
        """Find the points of a batch of images.

        The heat is the mean over the members (Zhang et al. 2021, sec. 3); a point is its
        highest place, finer than a pixel. Images are worked on one at a time, in strips
        of rows: beyond one mean heat map per name, memory hardly grows with the picture.

        Args:
            features: of the generator that the interpreter was fitted on.
            size: (height, width) of the grid; the finest level's by default.

        Raises:
            UsageError: levels that differ from the fitted ones (every difference is
                listed), or a size below 1.
        """
        size = features.picture_size if size is None else size
        if min(size) < 1:
            raise UsageError(f"the size of a heat map must be at least 1 x 1, got {size}.")
        found = [self._find(image, size) for image in self.ensemble.read(features, size=size)]
        points, scores, visible, spread = (torch.cat(part) for part in zip(*found, strict=True))
        return KeypointPrediction(points, scores, visible, spread)

    def _find(
        self, image: tuple[Tensor, ...], size: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return points, scores, visible and spread of one image, each with N = 1."""
        members, names = self.ensemble.members.num_members, len(self.schema)
        heat = self.ensemble.folded.first_bias.new_empty(names, *size)
        best = torch.full((members, names), -torch.inf)
        own = torch.zeros(members, names, 2, dtype=torch.float64)
        rows = max(1, _STRIP_BYTES // (4 * members * names * size[1]))
        for top in range(0, size[0], rows):
            strip = Area(size, top, 0, min(rows, size[0] - top), size[1])
            outputs = self.labeller.outputs([image], strip)[0]  # [M, J, R, W]
            heat[:, strip.rows] = outputs.mean(dim=0)
            # Maps of all members would be ten times the mean: only their maxima are kept.
            points, scores, _ = find_maxima(outputs, threshold=self.threshold)
            points[..., 1] += top
            higher = scores.cpu() > best
            best[higher], own[higher] = scores.cpu()[higher], points[higher]
        points, scores, visible = (
            part.cpu() for part in find_maxima(heat[None], threshold=self.threshold)
        )
        spread = (own - points).square().sum(dim=-1).mean(dim=0, keepdim=True).sqrt()  # [1, J]
        return points, scores, visible, spread.float()

    @cached_property
    def labeller(self) -> Labeller:
        """What computes the members' heat, its weights laid out."""
        return Labeller(self.ensemble.folded, self.ensemble.inputs.channels)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that predictions depend on; card and choices do not count."""
        return self.ensemble.digest(replace(self._config, level_falloff=None, heeded=None))

    @property
    def _config(self) -> KeypointConfig:
        members, inputs = self.ensemble.members, self.ensemble.inputs
        return KeypointConfig(
            schema=self.schema,
            levels=inputs.levels,
            num_members=members.num_members,
            head=members.name,
            sigma_share=self.sigma_share,
            threshold=self.threshold,
            generator_digest=self.ensemble.generator_digest,
            surroundings=None if inputs.surroundings == "none" else inputs.surroundings,
            level_falloff=inputs.level_falloff,
            heeded=inputs.heeded,
        )

    def place(self, runtime: Runtime) -> Self:
        """Return a copy whose members lie on a runtime's device; see `Ensemble.place`."""
        return replace(self, ensemble=self.ensemble.place(runtime))

    def save(self, path: Path, *, card: WeightCard) -> None:
        """Write a native checkpoint of kind ``"keypoint-interpreter"``, atomically.

        The same interpreter gives the same bytes; the report is left out: it holds times.

        Raises:
            StorageError: the disk is full or the place cannot be written.
        """
        config = self._config
        self.ensemble.save(path, kind=_KIND, architecture=config.head, config=config, card=card)


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
    ensemble = Ensemble.load(
        checkpoint,
        config.inputs,
        head=config.head,
        num_members=config.num_members,
        num_outputs=len(config.schema),
        generator_digest=config.generator_digest,
    )
    interpreter = KeypointInterpreter(config.schema, ensemble, config.sigma_share, config.threshold)
    return interpreter.place(runtime or Runtime())
