"""The loop: it learns, resumes exactly, and stops when it diverges."""

from pathlib import Path

import numpy as np
import pytest
import torch

from datasetgan.errors import CheckpointError
from datasetgan.generators import StyleGAN2Config
from datasetgan.runtime import Runtime
from datasetgan.training.images import TrainingImages
from datasetgan.training.loop import GeneratorTrainer, TrainingSettings

CONFIG = StyleGAN2Config(
    resolution=8, z_dim=4, w_dim=4, mapping_layers=2, channel_base=64, channel_max=8
)


def build_trainer(**changes: object) -> GeneratorTrainer:
    pixels = np.random.RandomState(0).randint(0, 60, (32, 8, 8, 3)).astype(np.uint8)
    settings = TrainingSettings(batch=4, r1_interval=4, dihedral=True, **changes)  # type: ignore[arg-type]
    return GeneratorTrainer(
        CONFIG, TrainingImages(pixels, ()), settings=settings, runtime=Runtime()
    )


def test_resuming_equals_no_interruption(tmp_path: Path) -> None:
    through = build_trainer()
    expected = [through.step() for _ in range(20)]
    first = build_trainer()
    for _ in range(9):
        first.step()
    first.save_state(tmp_path / "state.safetensors")
    second = build_trainer()
    second.load_state(tmp_path / "state.safetensors")
    resumed = [second.step() for _ in range(11)]
    for wanted, report in zip(expected[9:], resumed, strict=True):
        assert report.images_seen == wanted.images_seen
        np.testing.assert_allclose(report.generator_loss, wanted.generator_loss, rtol=1e-5)
        np.testing.assert_allclose(report.discriminator_loss, wanted.discriminator_loss, rtol=1e-5)
    for a, b in zip(through.average.parameters(), second.average.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_it_learns_the_brightness_of_the_photographs() -> None:
    # All photographs are dark: mean about -0.77.
    trainer = build_trainer()
    z = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))

    def brightness() -> float:
        with torch.no_grad():
            return trainer.average.synthesize(trainer.average.map(z)).image.mean().item()

    assert brightness() > -0.4
    for _ in range(150):
        trainer.step()
    assert -1.1 < brightness() < -0.5


def test_the_first_steps_may_be_the_discriminators_alone() -> None:
    trainer = build_trainer(discriminator_warmup=2)
    before = trainer.generator.synthesis.b4.const.detach().clone()  # type: ignore[union-attr]
    trainer.step()
    trainer.step()
    assert torch.equal(trainer.generator.synthesis.b4.const, before)  # type: ignore[arg-type]
    trainer.step()
    assert not torch.equal(trainer.generator.synthesis.b4.const, before)  # type: ignore[arg-type]


def test_noise_inputs_can_stay_off() -> None:
    trainer = build_trainer(train_noise=False)
    for _ in range(3):
        trainer.step()
    for name, parameter in trainer.generator.named_parameters():
        if name.endswith("noise_strength"):
            assert parameter.item() == 0


def test_a_loss_that_is_not_finite_stops_the_run() -> None:
    trainer = build_trainer()
    with torch.no_grad():
        trainer.discriminator.out.bias.fill_(float("nan"))
    with pytest.raises(CheckpointError, match="diverged at 4 images"):
        trainer.step()
