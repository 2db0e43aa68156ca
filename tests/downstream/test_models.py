import subprocess
import sys

import pytest
import torch

from datasetgan.downstream.models import DEFAULT_SEGMENTER, SEGMENTERS, build_segmenter
from datasetgan.errors import UsageError


@pytest.mark.parametrize("name", SEGMENTERS)
def test_logits_have_the_size_of_the_image(name):
    network = build_segmenter(name, 3).eval()
    with torch.inference_mode():
        logits = network(torch.randn(2, 3, 48, 32))
    assert logits.shape == (2, 3, 48, 32)
    assert logits.isfinite().all()
    # The classes differ: the head is connected to all of them.
    assert logits.std(dim=1).min() > 0


def test_every_weight_of_the_default_is_trained():
    network = build_segmenter(DEFAULT_SEGMENTER, 5)
    network(torch.randn(2, 3, 32, 32)).square().sum().backward()
    idle = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


def test_the_papers_network_is_a_resnet101():
    network = build_segmenter("deeplabv3_resnet101", 20)
    blocks = [len(network.get_submodule(f"network.backbone.layer{i}")) for i in (1, 2, 3, 4)]
    assert blocks == [3, 4, 23, 3]
    assert network.get_submodule("network.classifier.4").out_channels == 20


def test_unknown_name_lists_the_valid_ones():
    with pytest.raises(UsageError, match=r"Did you mean 'unet_resnet18'\?.*deeplabv3_resnet101"):
        build_segmenter("unet_resnet81", 5)


@pytest.mark.parametrize("count", [-1, 0, 1, 256])
def test_number_of_classes(count):
    with pytest.raises(UsageError, match=f"2 to 255 classes, got {count}"):
        build_segmenter(DEFAULT_SEGMENTER, count)


def test_importing_the_room_is_cheap():
    """The libraries of the networks take seconds to import; they wait for a network."""
    code = (
        "import sys, datasetgan.downstream; "
        "print({'torchvision', 'segmentation_models_pytorch', 'timm'} & set(sys.modules))"
    )
    done = subprocess.run(  # the interpreter that runs the tests
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
