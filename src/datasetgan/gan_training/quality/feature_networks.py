"""Feature networks by name; none is downloaded."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from datasetgan.encoders.pictures import to_float
from datasetgan.encoders.self_supervised import SelfSupervision, train_encoder
from datasetgan.errors import UsageError, unknown_name
from datasetgan.gan_training.quality.picture_batches import (
    check_pictures,
    picture_batches,
    seeded_rows,
)
from datasetgan.gan_training.quality.random_network import RandomNetwork
from datasetgan.runtime import Runtime, Stream

__all__ = ["FEATURE_NETWORKS", "FeatureNetwork", "build_feature_network", "extract_features"]

FEATURE_NETWORKS = ("random", "self-supervised", "package.module:function")
"""Names that `build_feature_network` takes; the last stands for the user's own."""

_STANDARD_IMAGES = 1024
_LIMIT = 3.0


@dataclass(frozen=True)
class FeatureNetwork:
    """A network that turns pictures into feature vectors.

    Attributes:
        module: images [N, 3, R, R] in [-1, 1] to features [N, D] float32; frozen.
        name: as `build_feature_network` was given it.
        description: one sentence for reports, on what the features are.
        device: where the module lies.
    """

    module: nn.Module
    name: str
    description: str
    device: torch.device


class _Standardised(nn.Module):
    """A network whose features have mean 0 and deviation 1 over the photographs, then limited.

    tanh limits each to 3 deviations: under the cubic kernel a few odd pictures would
    otherwise outweigh all others, and KID would say little.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, body: nn.Module, features: Tensor) -> None:
        super().__init__()
        self.body = body
        wide = features.double()
        deviation = wide.std(dim=0, unbiased=False)
        # A feature that all photographs share has no scale of its own.
        deviation[deviation < 1e-6] = 1.0
        self.register_buffer("mean", wide.mean(dim=0).float())
        self.register_buffer("deviation", deviation.float())

    def forward(self, images: Tensor) -> Tensor:
        """Return features [N, D] from images [N, 3, R, R] in [-1, 1]."""
        features: Tensor = self.body(images)
        return _LIMIT * torch.tanh((features - self.mean) / (_LIMIT * self.deviation))


@torch.inference_mode(mode=False)
def build_feature_network(
    name: str,
    images: NDArray[np.uint8],
    *,
    runtime: Runtime,
    seed: int = 0,
    supervision: SelfSupervision | None = None,
) -> FeatureNetwork:
    """Build a feature network; weights and features are float32 whatever the precision.

    ``"random"`` and ``"self-supervised"`` are standardised per feature over up to 1024 of
    the photographs, which gives the polynomial kernel of KID its scale, and limited to 3
    deviations. Their scores compare generators of the same photographs; they are not the
    Inception scores of papers.

    Args:
        name: ``"random"``: fixed random convolutions; ``"self-supervised"``: a small network
            trained now on the photographs; ``"package.module:function"``: the user's own,
            imported; the function takes nothing and returns an `nn.Module`.
        images: the photographs, uint8 [N, R, R, 3], may be memory-mapped.
        runtime: names the device.
        seed: of weights and training.
        supervision: of ``"self-supervised"``; its defaults if None.

    Raises:
        UsageError: the name is unknown, the images are misshapen, or the user's own
            network cannot be imported or does not return finite float features [N, D].
    """
    check_pictures("photographs", images)
    device = runtime.torch_device
    if ":" in name:
        module = _import_network(name).to(device).eval().requires_grad_(False)
        _check_network(name, module, images, device=device)
        return FeatureNetwork(module, name, f"features of the user's own network {name}", device)
    if name == "random":
        body: nn.Module = RandomNetwork(images.shape[1], seed=seed).to(device)
        text = f"random convolution features, not trained (seed {seed})"
    elif name == "self-supervised":
        chosen = supervision or SelfSupervision()
        body = train_encoder(images, settings=chosen, seed=seed, device=device)
        text = (
            f"self-supervised features (SimCLR, {chosen.steps} steps on the photographs "
            f"themselves, seed {seed})"
        )
    else:
        raise UsageError(unknown_name("feature network", name, FEATURE_NETWORKS))
    rows = seeded_rows(len(images), _STANDARD_IMAGES, seed=seed, stream=Stream.STANDARDISING_PHOTOS)
    plain = FeatureNetwork(body, name, text, device)
    features = extract_features(plain, picture_batches(images, batch=64, rows=rows))
    module = _Standardised(body, features).to(device).eval()
    text += f", standardised over the photographs and limited to {_LIMIT:g} deviations"
    return FeatureNetwork(module, name, text, device)


def _import_network(name: str) -> nn.Module:
    place, _, function = name.partition(":")
    wanted = f"feature network {name!r}: expected 'package.module:function'"
    try:
        build = getattr(import_module(place), function)
    except (ImportError, ValueError) as error:
        raise UsageError(
            f"{wanted}, but {place!r} cannot be imported ({error}). "
            "Install it, or put its folder on PYTHONPATH."
        ) from error
    except AttributeError as error:
        raise UsageError(f"{wanted}, but {place!r} has no {function!r}.") from error
    try:
        module = build()
    except Exception as error:  # the user's code may raise anything
        raise UsageError(
            f"{wanted}, called without arguments, but it failed: {type(error).__name__}: {error}."
        ) from error
    if not isinstance(module, nn.Module):
        raise UsageError(f"{wanted} that returns a torch.nn.Module, got {type(module).__name__}.")
    return module


def _check_network(
    name: str, module: nn.Module, images: NDArray[np.uint8], *, device: torch.device
) -> None:
    """Raise `UsageError` unless the network gives finite float features for two photographs."""
    probe = to_float(images[np.arange(2) % len(images)]).to(device)
    wanted = "finite float features [2, D] for two images [2, 3, R, R] in [-1, 1]"
    try:
        with torch.inference_mode():
            features = module(probe)
    except Exception as error:  # the user's code may raise anything
        raise UsageError(
            f"feature network {name!r}: expected {wanted}, but it failed at "
            f"{list(probe.shape)}: {type(error).__name__}: {error}."
        ) from error
    if not isinstance(features, Tensor):
        came = type(features).__name__
    elif features.ndim != 2 or len(features) != 2 or not features.is_floating_point():
        came = f"{features.dtype} {list(features.shape)}"
    elif not features.isfinite().all():
        came = "values that are not finite"
    else:
        return
    raise UsageError(f"feature network {name!r}: expected {wanted}, got {came}.")


@torch.inference_mode()
def extract_features(network: FeatureNetwork, batches: Iterable[Tensor]) -> Tensor:
    """Return the features [N, D] float32 on the CPU of all batches [B, 3, R, R] in [-1, 1].

    One batch is held at a time, besides the features.

    Raises:
        UsageError: there is no batch, or a feature is not finite.
    """
    parts = [network.module(images.to(network.device)).float().cpu() for images in batches]
    if not parts:
        raise UsageError("features need at least one batch of images, got none.")
    features = torch.cat(parts)
    if not features.isfinite().all():
        raise UsageError(
            f"feature network {network.name!r} returned values that are not finite. "
            "Are the pictures finite? Is the network meant for images in [-1, 1]?"
        )
    return features
