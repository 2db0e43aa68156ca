"""The style interpreter: from a generator's features to labels and their uncertainty."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, Self, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from datasetgan.checkpoints.native import (
    WeightCard,
    content_digest,
    load_into,
    read_checkpoint,
    write_checkpoint,
)
from datasetgan.errors import UsageError, unknown_name
from datasetgan.features import FeatureLevel, FeaturePyramid
from datasetgan.features.block_means import Context, input_levels, input_tensors
from datasetgan.features.reading import check_levels, picture_size
from datasetgan.interpreter.ensemble.heads import HEADS, HeadName, build_head
from datasetgan.interpreter.ensemble.official_members import read_official_members
from datasetgan.interpreter.ensemble.stacked import StackedHead
from datasetgan.interpreter.fitting.settings import FitReport
from datasetgan.interpreter.labelling import Area, LabelEngine, Labeller, LabelMaps
from datasetgan.interpreter.uncertainty import ScoreRule, score_uncertainty
from datasetgan.runtime import Precision, Runtime
from datasetgan.taxonomy import ClassTaxonomy

__all__ = ["Interpreter", "Prediction", "ProbabilityOutput", "load_interpreter"]

_ARCHITECTURE = "pixel-classifiers"

ProbabilityOutput = Literal["none", "mean"]
"""Whether a prediction carries class probabilities: not at all, or the members' mean."""


@dataclass(frozen=True)
class Prediction:
    """Labels of a batch of images and how far the members agree on them.

    Attributes:
        label_map: [N, H, W] int64 class ids, the members' majority vote.
        uncertainty: [N, H, W] float32, Jensen-Shannon divergence in nats.
        uncertainty_score: [N] float32, one per image.
        probabilities: [N, K, H, W] float32 mean of the members' softmax, if asked for.
    """

    label_map: Tensor
    uncertainty: Tensor
    uncertainty_score: Tensor
    probabilities: Tensor | None = None


@dataclass(frozen=True)
class InterpreterConfig:
    """What an interpreter's checkpoint says about it beside the weights."""

    taxonomy: ClassTaxonomy
    levels: tuple[FeatureLevel, ...]
    num_members: int
    generator_digest: str
    head: HeadName = "paper"  # of files that do not say
    context: Context = "none"  # the same

    def __post_init__(self) -> None:
        if self.num_members < 1 or not self.levels:
            raise UsageError("an interpreter needs at least one member and one feature level.")
        if self.head not in HEADS:
            raise UsageError(unknown_name("head", self.head, HEADS))
        if self.context not in get_args(Context):
            raise UsageError(unknown_name("context", self.context, get_args(Context)))


@dataclass(frozen=True, eq=False)
class Interpreter:
    """An ensemble of pixel classifiers that reads labels off a generator's features.

    Attributes:
        taxonomy: the classes that it tells apart.
        levels: the feature levels that it was fitted on, coarse to fine.
        classifiers: the members, in evaluation mode.
        generator_digest: SHA-256 of the generator's checkpoint; empty if not known.
        context: what the members read beside a pixel's own features.
        report: of the fit that made it; None for one loaded from a file.
    """

    taxonomy: ClassTaxonomy
    levels: tuple[FeatureLevel, ...]
    classifiers: StackedHead
    generator_digest: str = ""
    context: Context = "none"
    report: FitReport | None = None

    @classmethod
    def import_official(
        cls, folder: Path, levels: Sequence[FeatureLevel], taxonomy: ClassTaxonomy
    ) -> Self:
        """Import the members that the official code trained; see `read_official_members`.

        Args:
            folder: with ``model_0.pth``, ``model_1.pth``, ..., without a gap.
            levels: the feature levels that they were trained on, coarse to fine; those of
                DatasetGAN's StyleGAN1 with the tap ``"official"``.
            taxonomy: one class per output, background first.

        Raises:
            CheckpointError: no members, a gap in their numbers, or one whose tensors do
                not fit the levels and the classes.
        """
        return cls(taxonomy, tuple(levels), read_official_members(folder, levels, taxonomy))

    @torch.inference_mode()
    def predict(
        self,
        features: FeaturePyramid,
        *,
        size: tuple[int, int] | None = None,
        area: Area | None = None,
        return_probabilities: ProbabilityOutput = "none",
        score_rule: ScoreRule = "top_decile_mean",
        precision: Precision = "float32",
        engine: LabelEngine | None = None,
    ) -> Prediction:
        """Label every pixel of a batch of images.

        Images are worked on in tiles: memory does not grow with the picture beyond the
        results, and a result does not depend on its neighbours in the batch.

        Args:
            features: of the generator that the interpreter was fitted on.
            size: (height, width) of the label map; the finest level's by default.
            area: the part of the label map to compute, where the rest is no picture;
                all of it by default. Its grid must be `size`, if both are given.
            return_probabilities: ``"mean"`` adds the members' mean softmax.
            score_rule: how an image is scored; see `score_uncertainty`.
            precision: of the products; bfloat16 is faster on processors that multiply
                in it (see `compare_precisions`).
            engine: how to do it; the fastest one at hand by default.

        Raises:
            UsageError: levels that differ from the fitted ones (every difference is
                listed), a size below 1, contradictory sizes, or an unknown choice.
        """
        check_levels(features.levels, self.levels, source="these features")
        if return_probabilities not in get_args(ProbabilityOutput):
            valid = get_args(ProbabilityOutput)
            raise UsageError(unknown_name("probability output", return_probabilities, valid))
        if area is None:
            area = Area.whole(picture_size(features) if size is None else size)
        elif size is not None and size != area.size:
            raise UsageError(
                f"the label map cannot be {size} and the area one of {area.size}: give one of them."
            )
        levels = [_at_most(tensor, area.size) for tensor in input_tensors(features, self.context)]
        out = LabelMaps.empty(
            features.batch_size,
            area,
            num_classes=len(self.taxonomy) if return_probabilities == "mean" else None,
            device=self.labeller.head.first_bias.device,
        )
        images = [[tensor[n] for tensor in levels] for n in range(features.batch_size)]
        self.labeller.label(images, area, out=out, precision=precision, engine=engine)
        score = score_uncertainty(out.uncertainty, rule=score_rule)
        return Prediction(out.label_map, out.uncertainty, score, out.probabilities)

    @cached_property
    def labeller(self) -> Labeller:
        """What does the labelling, its weights laid out."""
        levels = input_levels(self.levels, self.context)
        return Labeller(self.classifiers.fold(), [level.channels for level in levels])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that predictions depend on; the card does not count."""
        return content_digest(self._config, self.classifiers.state_dict())

    @property
    def _config(self) -> InterpreterConfig:
        return InterpreterConfig(
            self.taxonomy,
            self.levels,
            self.classifiers.num_members,
            self.generator_digest,
            self.classifiers.name,
            self.context,
        )

    def place(self, runtime: Runtime) -> Self:
        """Move the weights to a runtime's device; go on with the interpreter returned.

        Its arithmetic is float32 whatever the precision: features of a lower
        precision are widened as they are read.
        """
        return replace(self, classifiers=self.classifiers.to(runtime.torch_device).eval())

    def save(self, path: Path, *, card: WeightCard) -> None:
        """Write a native checkpoint, atomically; the same interpreter gives the same bytes.

        The report is left out: it holds times.

        Raises:
            StorageError: the disk is full or the place cannot be written.
        """
        write_checkpoint(
            path,
            self.classifiers.state_dict(),
            kind="interpreter",
            architecture=_ARCHITECTURE,
            config=self._config,
            card=card,
        )


def _at_most(tensor: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring a level that is finer than the label map to its size, while it is narrow."""
    if tensor.shape[-2] <= size[0] and tensor.shape[-1] <= size[1]:
        return tensor
    return F.interpolate(tensor.float(), size=size, mode="bilinear", align_corners=False)


def load_interpreter(path: Path, *, runtime: Runtime | None = None) -> Interpreter:
    """Load an interpreter from a native checkpoint.

    Args:
        path: what `Interpreter.save` wrote.
        runtime: where it runs; the CPU by default.

    Raises:
        CheckpointError: the file is missing, truncated, of another kind, or its
            tensors do not fit its configuration; every difference is listed.
    """
    checkpoint = read_checkpoint(path, kind="interpreter")
    config = checkpoint.config_as(InterpreterConfig)
    channels = sum(level.channels for level in input_levels(config.levels, config.context))
    classifiers = build_head(
        config.head,
        num_members=config.num_members,
        in_channels=channels,
        num_outputs=len(config.taxonomy),
    )
    load_into(classifiers, checkpoint.tensors, source=str(path))
    interpreter = Interpreter(
        config.taxonomy,
        config.levels,
        classifiers.requires_grad_(False),
        config.generator_digest,
        config.context,
    )
    return interpreter.place(runtime or Runtime())
