"""Segmentation networks by name. Libraries are imported when a network is built: they are slow."""

from collections.abc import Callable

from torch import Tensor, nn

from datasetgan.errors import UsageError, unknown_name
from datasetgan.taxonomy import IGNORE_INDEX

__all__ = ["DEFAULT_SEGMENTER", "SEGMENTERS", "SIZE_MULTIPLE", "build_network", "build_segmenter"]

SIZE_MULTIPLE = 16
"""Height and width of a training image are multiples of this: the networks halve four times."""

# On the demo's dataset it took 118 s on two cores and scored 83.3 % mean IoU on 40 photos of
# another source (background, cytoplasm, nucleus); deeplabv3plus_resnet18 211 s and 79.5 %.
DEFAULT_SEGMENTER = "unet_resnet18"


class _Logits(nn.Module):
    """Reduce torchvision's dictionary of outputs to the logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)["out"]
        return logits


def _unet_resnet18(num_classes: int) -> nn.Module:
    from segmentation_models_pytorch import Unet

    # Four halvings leave 4x4 positions of a 64 px image; the encoder's last stage
    # would leave 2x2 and hold three quarters of all weights.
    network: nn.Module = Unet(
        "resnet18",
        encoder_depth=4,
        encoder_weights=None,
        decoder_channels=(128, 64, 32, 16),
        classes=num_classes,
    )
    network.get_submodule("encoder").layer4 = nn.Identity()
    return network


def _deeplabv3plus_resnet18(num_classes: int) -> nn.Module:
    from segmentation_models_pytorch import DeepLabV3Plus

    network: nn.Module = DeepLabV3Plus("resnet18", encoder_weights=None, classes=num_classes)
    return network


def _deeplabv3_mobilenet_v3_large(num_classes: int) -> nn.Module:
    from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large as build

    return _Logits(build(weights=None, weights_backbone=None, num_classes=num_classes))


def _deeplabv3_resnet50(num_classes: int) -> nn.Module:
    from torchvision.models.segmentation import deeplabv3_resnet50 as build

    return _Logits(build(weights=None, weights_backbone=None, num_classes=num_classes))


def _deeplabv3_resnet101(num_classes: int) -> nn.Module:
    from torchvision.models.segmentation import deeplabv3_resnet101 as build

    return _Logits(build(weights=None, weights_backbone=None, num_classes=num_classes))


SEGMENTERS: dict[str, Callable[[int], nn.Module]] = {
    "unet_resnet18": _unet_resnet18,
    "deeplabv3plus_resnet18": _deeplabv3plus_resnet18,
    "deeplabv3_mobilenet_v3_large": _deeplabv3_mobilenet_v3_large,
    "deeplabv3_resnet50": _deeplabv3_resnet50,
    "deeplabv3_resnet101": _deeplabv3_resnet101,
}
"""Network name to builder. ``deeplabv3_resnet101`` is the paper's network (sec. 4)."""


def build_segmenter(name: str, num_classes: int) -> nn.Module:
    """Build a segmentation network with random weights; nothing is downloaded.

    Its forward pass takes images [N, 3, H, W], normalised as `data.normalize` does,
    height and width multiples of `SIZE_MULTIPLE`, and returns logits
    [N, num_classes, H, W]. While it trains, N must be at least 2 (batch statistics).

    Raises:
        UsageError: the name is unknown, or the number of classes is not within 2 to 255.
    """
    if not 2 <= num_classes <= IGNORE_INDEX:
        raise UsageError(f"a segmenter needs 2 to {IGNORE_INDEX} classes, got {num_classes}.")
    return build_network(name, num_classes)


def build_network(name: str, num_outputs: int) -> nn.Module:
    """Build a network as `build_segmenter` does, its outputs of any number and meaning.

    Raises:
        UsageError: the name is unknown, or there is no output.
    """
    if name not in SEGMENTERS:
        raise UsageError(unknown_name("segmenter", name, SEGMENTERS))
    if num_outputs < 1:
        raise UsageError(f"a network needs at least one output, got {num_outputs}.")
    return SEGMENTERS[name](num_outputs)
