"""Small pyramids, painted samples and the golden ensembles."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from datasetgan.features import FeatureLevel, FeaturePyramid
from datasetgan.features.input_spec import InputSpec
from datasetgan.interpreter import (
    FitSettings,
    Interpreter,
    PaintedSample,
    PixelClassifier,
    StackedClassifiers,
    fit_interpreter,
)
from datasetgan.interpreter.ensemble.ensemble import Ensemble
from datasetgan.taxonomy import ClassTaxonomy

GOLDEN = Path(__file__).parent.parent / "golden"

# name, channels, height, width, margin
SHAPES = (("b4", 6, 4, 4, 0), ("b8", 5, 8, 8, 0), ("b16", 4, 20, 20, 2), ("b16b", 3, 16, 16, 0))


def make_pyramid(seed: int = 0, batch: int = 1) -> FeaturePyramid:
    """Levels of 4, 8 and 16 pixels, one of them with a margin of 2."""
    random = torch.Generator().manual_seed(seed)
    levels = tuple(FeatureLevel(*shape) for shape in SHAPES)
    tensors = tuple(
        torch.randn(batch, level.channels, level.height, level.width, generator=random)
        for level in levels
    )
    return FeaturePyramid(levels, tensors)


def make_members(num_members: int, in_channels: int, num_classes: int) -> list[PixelClassifier]:
    """Members whose weights and running statistics are far from their start."""
    random = torch.Generator().manual_seed(7)
    members = []
    for m in range(num_members):
        member = PixelClassifier(in_channels, num_classes, seed=1, member=m)
        with torch.no_grad():
            for name, tensor in member.state_dict().items():
                if name.endswith("running_var"):
                    tensor.copy_(torch.rand(tensor.shape, generator=random) + 0.1)
                elif tensor.is_floating_point():
                    scale = 10.0 if tensor.ndim == 2 else 1.0
                    noise = torch.randn(tensor.shape, generator=random)
                    tensor.mul_(scale).add_(0.3 * noise)
        members.append(member.eval())
    return members


@dataclass(frozen=True)
class TwinEnsemble:
    """The same ensemble twice: one by one for the reference, stacked for the fast path."""

    members: list[PixelClassifier]
    interpreter: Interpreter


@pytest.fixture
def ensemble(taxonomy: ClassTaxonomy) -> TwinEnsemble:
    members = make_members(4, 18, len(taxonomy))
    stacked = StackedClassifiers.from_members(members).eval().requires_grad_(False)
    levels = make_pyramid().levels
    ensemble = Ensemble(InputSpec(levels), stacked, generator_digest="a" * 64)
    return TwinEnsemble(members, Interpreter(taxonomy, ensemble))


def painted_sample(seed: int, *, unpainted: bool = True) -> PaintedSample:
    """A sample whose class can be read off one channel: below, between, above."""
    features = make_pyramid(seed)
    value = features.tensors[3][0, 0]
    label_map = torch.bucketize(value, torch.tensor([-0.5, 0.5]))
    if unpainted:
        label_map[:3] = 255
    return PaintedSample(features, label_map, key=f"sample-{seed:04d}")


QUICK = FitSettings(
    num_members=3, learning_rate=5e-3, batch=32, max_steps=120, pixels_per_image=100
)


@pytest.fixture(scope="session")
def fitted() -> Interpreter:
    """An interpreter fitted on four easy samples in a moment."""
    taxonomy = ClassTaxonomy.from_names(["background", "low", "high", "never_painted"])
    samples = (painted_sample(seed) for seed in range(4))
    return fit_interpreter(samples, taxonomy, settings=QUICK, generator_digest="b" * 64)


@dataclass(frozen=True)
class Golden:
    """One golden file: members, features and what they must give."""

    members: list[PixelClassifier]
    features: FeaturePyramid
    mean_probability: Tensor
    js_divergence: Tensor
    majority_vote: Tensor
    image_uncertainty: float

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.majority_vote.shape
        return height, width


@pytest.fixture(params=[20, 34])
def golden(request: pytest.FixtureRequest) -> Golden:
    path = GOLDEN / f"interpreter_{request.param}_classes.safetensors"
    with safe_open(path, "pt") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    names = sorted(name for name in tensors if name.startswith("feature."))
    features = FeaturePyramid.from_tensors([tensors[name] for name in names])
    members = []
    for m in range(json.loads(header["members"])):
        member = PixelClassifier(features.channels, json.loads(header["num_classes"]))
        prefix = f"member.{m}."
        own = {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
        member.load_state_dict(own)  # strict: the official names, nothing else
        members.append(member.eval())
    return Golden(
        members=members,
        features=features,
        mean_probability=tensors["mean_probability"],
        js_divergence=tensors["js_divergence"],
        majority_vote=tensors["majority_vote"].long(),
        image_uncertainty=tensors["image_uncertainty"].item(),
    )
