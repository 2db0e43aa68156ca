"""What the benchmarks compare is the same computation."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from datasetgan.gan_training.discriminator import Discriminator
from datasetgan.interpreter import FitSettings
from datasetgan.runtime import Runtime
from datasetgan.taxonomy import IGNORE_INDEX
from tests.gan_training.conftest import build_small

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def _beside_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)  # as when one is run as a script


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


SCRIPTS = [p for p in sorted(BENCHMARKS.glob("*.py")) if "__main__" in p.read_text("utf-8")]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.stem)
def test_every_benchmark_loads(path: Path) -> None:
    assert callable(load(path.stem).main)


def test_the_plain_training_step_computes_the_same() -> None:
    plain = load("plain_stylegan2")
    generator = build_small()
    discriminator = Discriminator(8, image_channels=3, channel_base=64, channel_max=8)
    z = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.3)
        image = generator.synthesize(generator.map(z)).image
        logits = discriminator(image)
        with plain.plain_operators():
            plain_image = generator.synthesize(generator.map(z)).image
            plain_logits = discriminator(image)
    assert not torch.equal(image, plain_image)  # another way was taken
    assert torch.allclose(image, plain_image, atol=1e-6)
    assert torch.allclose(logits, plain_logits, atol=1e-5)


def test_photos_are_split_so_that_each_is_scored_once(capsys: pytest.CaptureFixture[str]) -> None:
    script = load("photo_features")
    photos, label_maps = script.read_painted()
    assert len(photos) == 20
    encoder = script.random_encoder("test_resnet", side=32, runtime=Runtime())
    pyramids = [script.colours(encoder, photo) for photo in photos]
    settings = FitSettings(head="paper", num_members=2, max_steps=3)
    confusion = script.score(pyramids, label_maps, settings=settings, runtime=Runtime())
    painted = sum(int((label_map != IGNORE_INDEX).sum()) for label_map in label_maps)
    assert confusion.sum() == painted
    script.print_line("colours", [confusion, confusion], seconds=1)
    assert capsys.readouterr().out.startswith("colours: ")
