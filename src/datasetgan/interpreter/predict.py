"""The style interpreter: from a generator's features to labels and their uncertainty."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from datasetgan.checkpoints.native import WeightCard, read_checkpoint
from datasetgan.errors import UsageError, unknown_name
from datasetgan.features import FeatureLevel, FeaturePyramid, InputSpec, Surroundings
from datasetgan.interpreter.ensemble.ensemble import Ensemble
from datasetgan.interpreter.ensemble.heads import HEADS, HeadName
from datasetgan.interpreter.ensemble.official_members import read_official_members
from datasetgan.interpreter.labelling import Area, LabelEngine, Labeller, LabelMaps
from datasetgan.interpreter.reports import FitReport
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
    """What an interpreter's checkpoint says about it beside the weights.

    Attributes:
        context: `InputSpec.surroundings`; files say it in this word.
    """

    taxonomy: ClassTaxonomy
    levels: tuple[FeatureLevel, ...]
    num_members: int
    generator_digest: str
    head: HeadName = "paper"  # of files that do not say
    context: Surroundings = "none"  # the same
    level_falloff: float | None = None
    heeded: Surroundings | None = None

    def __post_init__(self) -> None:
        if self.num_members < 1:
            raise UsageError("an interpreter needs at least one member.")
        if self.head not in HEADS:
            raise UsageError(unknown_name("head", self.head, HEADS))
        _ = self.inputs  # checked too

    @property
    def inputs(self) -> InputSpec:
        """What the members read, as one value."""
        return InputSpec(self.levels, self.context, self.level_falloff, self.heeded)


@dataclass(frozen=True, eq=False)
class Interpreter:
    """An ensemble of pixel classifiers that reads labels off a generator's features.

    Attributes:
        taxonomy: the classes that it tells apart.
        ensemble: the members, and what they read.
        report: of the fit that made it; None for one loaded from a file.
    """

    taxonomy: ClassTaxonomy
    ensemble: Ensemble
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
        members = read_official_members(folder, levels, taxonomy)
        return cls(taxonomy, Ensemble(InputSpec(tuple(levels)), members))

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
        if return_probabilities not in get_args(ProbabilityOutput):
            valid = get_args(ProbabilityOutput)
            raise UsageError(unknown_name("probability output", return_probabilities, valid))
        if area is None:
            area = Area.whole(features.picture_size if size is None else size)
        elif size is not None and size != area.size:
            raise UsageError(
                f"the label map cannot be {size} and the area one of {area.size}: give one of them."
            )
        images = self.ensemble.read(features, size=area.size)
        out = LabelMaps.empty(
            features.batch_size,
            area,
            num_classes=len(self.taxonomy) if return_probabilities == "mean" else None,
            device=self.ensemble.device,
        )
        self.labeller.label(images, area, out=out, precision=precision, engine=engine)
        score = score_uncertainty(out.uncertainty, rule=score_rule)
        return Prediction(out.label_map, out.uncertainty, score, out.probabilities)

    @cached_property
    def labeller(self) -> Labeller:
        """What does the labelling, its weights laid out."""
        return Labeller(self.ensemble.folded, self.ensemble.inputs.channels)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that predictions depend on; card and choices do not count."""
        return self.ensemble.digest(replace(self._config, level_falloff=None, heeded=None))

    @property
    def _config(self) -> InterpreterConfig:
        members, inputs = self.ensemble.members, self.ensemble.inputs
        return InterpreterConfig(
            self.taxonomy,
            inputs.levels,
            members.num_members,
            self.ensemble.generator_digest,
            members.name,
            inputs.surroundings,
            inputs.level_falloff,
            inputs.heeded,
        )

    def place(self, runtime: Runtime) -> Self:
        """Return a copy whose members lie on a runtime's device; see `Ensemble.place`."""
        return replace(self, ensemble=self.ensemble.place(runtime))

    def save(self, path: Path, *, card: WeightCard) -> None:
        """Write a native checkpoint, atomically; the same interpreter gives the same bytes.

        The report is left out: it holds times.

        Raises:
            StorageError: the disk is full or the place cannot be written.
        """
        self.ensemble.save(
            path, kind="interpreter", architecture=_ARCHITECTURE, config=self._config, card=card
        )


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
    ensemble = Ensemble.load(
        checkpoint,
        config.inputs,
        head=config.head,
        num_members=config.num_members,
        num_outputs=len(config.taxonomy),
        generator_digest=config.generator_digest,
    )
    return Interpreter(config.taxonomy, ensemble).place(runtime or Runtime())
