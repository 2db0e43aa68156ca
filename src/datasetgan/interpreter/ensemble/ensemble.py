"""The ensemble as a value: what its members read, their weights, and whose features they know."""

from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from datasetgan.checkpoints.native import (
    Checkpoint,
    WeightCard,
    content_digest,
    load_into,
    write_checkpoint,
)
from datasetgan.errors import UsageError
from datasetgan.features import FeaturePyramid, InputSpec
from datasetgan.interpreter.ensemble.folded import FoldedHead
from datasetgan.interpreter.ensemble.heads import HeadName, build_head
from datasetgan.interpreter.ensemble.stacked import StackedHead
from datasetgan.runtime import Runtime

__all__ = ["Ensemble", "check_fitted_on"]


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Members that were fitted together, whatever is made of their outputs.

    Attributes:
        inputs: what they read.
        members: all of them, in evaluation mode.
        generator_digest: SHA-256 of the checkpoint of the generator whose features they
            know; empty if not known.
    """

    inputs: InputSpec
    members: StackedHead
    generator_digest: str = ""

    @cached_property
    def folded(self) -> FoldedHead:
        """The members as labelling applies them."""
        return self.members.fold()

    @property
    def device(self) -> torch.device:
        """Where the members lie."""
        return next(self.members.parameters()).device

    def read(
        self, features: FeaturePyramid, *, size: tuple[int, int]
    ) -> tuple[tuple[Tensor, ...], ...]:
        """Return what the members read of each image: its levels [C_l, h_l, w_l].

        They lie on the members' device, margins cropped, none finer than `size`.

        Args:
            features: of the generator that the members know.
            size: (height, width) of the grid that outputs are wanted on.

        Raises:
            UsageError: levels that differ from the fitted ones; every difference is listed.
        """
        levels = [
            _at_most(tensor, size).to(self.device)
            for tensor in self.inputs.tensors(features, source="these features")
        ]
        return tuple(tuple(tensor[n] for tensor in levels) for n in range(features.batch_size))

    def place(self, runtime: Runtime) -> Self:
        """Return a copy on a runtime's device; this one stays where it is.

        Its arithmetic is float32 whatever the precision: features of a lower
        precision are widened as they are read.
        """
        return replace(self, members=deepcopy(self.members).to(runtime.torch_device).eval())

    def digest(self, config: object) -> str:
        """Return the SHA-256 of the weights and of what a file says beside them."""
        return content_digest(config, self.members.state_dict())

    def save(
        self, path: Path, *, kind: str, architecture: str, config: Any, card: WeightCard
    ) -> None:
        """Write a native checkpoint; see `write_checkpoint`."""
        write_checkpoint(
            path,
            self.members.state_dict(),
            kind=kind,
            architecture=architecture,
            config=config,
            card=card,
        )

    @classmethod
    def load(
        cls,
        checkpoint: Checkpoint,
        inputs: InputSpec,
        *,
        head: HeadName,
        num_members: int,
        num_outputs: int,
        generator_digest: str,
    ) -> Self:
        """Build an ensemble on the CPU out of a checkpoint's tensors.

        Args:
            checkpoint: as read.
            inputs: what the members read.
            head: their kind.
            num_members: how many.
            num_outputs: of each, classes or keypoints.
            generator_digest: that the checkpoint names.

        Raises:
            CheckpointError: tensors that do not fit; every difference is listed.
        """
        members = build_head(
            head,
            num_members=num_members,
            in_channels=sum(inputs.channels),
            num_outputs=num_outputs,
        )
        load_into(members, checkpoint.tensors, source=str(checkpoint.path))
        return cls(inputs, members.eval().requires_grad_(False), generator_digest)


def check_fitted_on(ensemble: Ensemble, generator_digest: str, *, what: str) -> None:
    """Check that an ensemble knows a generator's features; an unknown digest fits any.

    Args:
        ensemble: of an interpreter.
        generator_digest: of the generator at hand; empty if it has none.
        what: names the interpreter in the message.

    Raises:
        UsageError: it was fitted on another generator.
    """
    fitted_on = ensemble.generator_digest
    if fitted_on and generator_digest and fitted_on != generator_digest:
        raise UsageError(
            f"the {what} was fitted on the generator {fitted_on[:12]}..., this one is "
            f"{generator_digest[:12]}...: its labels would mean nothing. "
            "Fit it again: `datasetgan fit PROJECT`."
        )


def _at_most(tensor: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring a level that is finer than the grid to its size, while it is narrow."""
    if tensor.shape[-2] <= size[0] and tensor.shape[-1] <= size[1]:
        return tensor
    return F.interpolate(tensor.float(), size=size, mode="bilinear", align_corners=False)
