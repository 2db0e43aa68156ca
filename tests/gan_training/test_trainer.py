"""The step: it learns, resumes exactly, shares batches, and stops when it diverges."""

from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest
import torch

from datasetgan.choices import Compile
from datasetgan.errors import CheckpointError, TrainingError, UsageError
from datasetgan.gan_training import GeneratorTrainer, StepReport, TrainingImages, TrainingSettings
from datasetgan.generators import StyleGAN2
from datasetgan.runtime import Runtime
from tests.gan_training.conftest import build_small
from tests.generators.test_contract import BACKBONES


def build_trainer(
    images: TrainingImages,
    *,
    generator: StyleGAN2 | None = None,
    runtime: Runtime | None = None,
    compile: Compile = "off",
    **changes: Any,
) -> GeneratorTrainer:
    given = {"batch": 4, "learning_rate": 0.0025, "r1_gamma": 0.1, "r1_interval": 4}
    return GeneratorTrainer(
        generator or build_small(label_dim=images.num_classes),
        images,
        settings=TrainingSettings(**{**given, **changes}),
        runtime=runtime or Runtime(),
        compile=compile,
    )


def losses(report: StepReport) -> list[float]:
    return [
        report.generator_loss,
        report.discriminator_loss,
        report.r1,
        report.path_length,
        report.augment_probability,
    ]


def test_resuming_equals_no_interruption(dark_photos: TrainingImages, tmp_path: Path) -> None:
    # Everything that has a state is on: ADA moves, both penalties are lazy.
    settings = {"symmetry": "dihedral", "path_length_weight": 2.0, "augment_images": 100}
    through = build_trainer(dark_photos, **settings)
    expected = [through.step() for _ in range(20)]
    assert expected[-1].augment_probability > 0.1
    first = build_trainer(dark_photos, **settings)
    for _ in range(9):
        first.step()
    first.save_state(tmp_path / "state.safetensors")
    second = build_trainer(dark_photos, **settings)
    second.load_state(tmp_path / "state.safetensors")
    resumed = [second.step() for _ in range(11)]
    for wanted, report in zip(expected[9:], resumed, strict=True):
        assert report.images_seen == wanted.images_seen
        np.testing.assert_allclose(losses(report), losses(wanted), rtol=1e-5)
    for a, b in zip(through.average.parameters(), second.average.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(
        through.generator.get_buffer("mapping.w_avg"),
        second.generator.get_buffer("mapping.w_avg"),
        rtol=1e-5,
        atol=1e-7,
    )


def brightness(trainer: GeneratorTrainer, labels: torch.Tensor | None = None) -> float:
    z = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ws = trainer.average.map(z, labels)
        return trainer.average.synthesize(ws).image.mean().item()


def test_it_learns_the_brightness_of_the_photographs(dark_photos: TrainingImages) -> None:
    # All photographs are dark: mean about -0.77.
    trainer = build_trainer(dark_photos, augment="none", symmetry="dihedral")
    assert brightness(trainer) > -0.4
    for _ in range(150):
        trainer.step()
    assert -1.1 < brightness(trainer) < -0.5


def test_it_learns_what_the_class_labels_say(labelled_photos: TrainingImages) -> None:
    trainer = build_trainer(
        labelled_photos, batch=8, learning_rate=0.005, augment="none", style_mixing=0.0
    )
    for _ in range(300):
        trainer.step()
    dark, bright = (torch.eye(2)[[c] * 64] for c in (0, 1))
    assert brightness(trainer, bright) - brightness(trainer, dark) > 0.8


def test_rounds_give_the_gradients_of_the_whole_batch(dark_photos: TrainingImages) -> None:
    # Without noise, mixing and minibatch deviation across rounds the sum is exact; the
    # deviation compares groups of 4, which the rounds leave together.
    common = {"batch": 8, "noise": "off", "style_mixing": 0.0, "augment": "none", "r1_interval": 1}
    whole = build_trainer(dark_photos, **common).step()
    rounds = build_trainer(dark_photos, accumulate=2, **common).step()
    np.testing.assert_allclose(rounds.r1, whole.r1, rtol=1e-4)
    np.testing.assert_allclose(rounds.real_sign, whole.real_sign)


def test_ada_moves_towards_its_target(dark_photos: TrainingImages) -> None:
    # The sign is above -1 at once, so the probability grows; it never is above 1.
    grows = build_trainer(dark_photos, augment_target=-1.0, augment_images=64)
    reports = [grows.step() for _ in range(12)]
    assert [r.augment_probability for r in reports[3::4]] == [0.25, 0.5, 0.75]
    rests = build_trainer(dark_photos, augment_target=1.0, augment_images=64)
    assert [rests.step().augment_probability for _ in range(8)] == [0.0] * 8


def test_the_first_steps_may_be_the_discriminators_alone(dark_photos: TrainingImages) -> None:
    trainer = build_trainer(dark_photos, discriminator_warmup=2)
    const = trainer.generator.get_parameter("synthesis.b4.const")
    before = const.detach().clone()
    for _ in range(2):
        report = trainer.step()
        assert report.generator_loss > 0
        # Gradients that nobody descends are not computed.
        assert all(parameter.grad is None for parameter in trainer.generator.parameters())
    assert torch.equal(const, before)
    assert trainer.generator.mapping.w_avg.abs().sum() > 0
    trainer.step()
    assert not torch.equal(const, before)


def test_noise_inputs_can_stay_off(dark_photos: TrainingImages) -> None:
    off, learned = (build_trainer(dark_photos, noise=noise) for noise in ("off", "learned"))
    for trainer in (off, learned):
        for _ in range(3):
            trainer.step()
    name = "synthesis.b8.conv1.noise_strength"
    assert off.generator.get_parameter(name).item() == 0
    assert learned.generator.get_parameter(name).item() != 0


def test_half_precision_stays_near_float32(dark_photos: TrainingImages) -> None:
    first = build_trainer(dark_photos).step()
    for precision in ("bfloat16", "float16"):
        half = build_trainer(dark_photos, runtime=Runtime(precision=precision)).step()  # type: ignore[arg-type]
        np.testing.assert_allclose(half.generator_loss, first.generator_loss, rtol=0.05)
        np.testing.assert_allclose(half.discriminator_loss, first.discriminator_loss, rtol=0.05)
        assert half.generator_loss != first.generator_loss


def test_the_running_average_follows_with_its_half_life(dark_photos: TrainingImages) -> None:
    # The half-life of the first step is 0.05 * 4 images: 2 ** -20 of the old weights stay.
    trainer = build_trainer(dark_photos)
    trainer.step()
    for mean, now in zip(trainer.average.parameters(), trainer.generator.parameters(), strict=True):
        torch.testing.assert_close(mean, now, rtol=1e-4, atol=1e-5)
    # Without a ramp and with a half-life of one batch, the average moves half-way.
    slow = build_trainer(dark_photos, ema_images=4.0, ema_ramp=1e9)
    before = [p.detach().clone() for p in slow.average.parameters()]
    slow.step()
    for old, mean, now in zip(
        before, slow.average.parameters(), slow.generator.parameters(), strict=True
    ):
        torch.testing.assert_close(mean, (old + now) / 2, rtol=1e-4, atol=1e-5)


def test_a_loss_that_is_not_finite_stops_the_run(dark_photos: TrainingImages) -> None:
    trainer = build_trainer(dark_photos)
    with torch.no_grad():
        trainer.discriminator.out.bias.fill_(float("nan"))
    with pytest.raises(TrainingError, match="diverged at 4 images"):
        trainer.step()


def test_the_discriminator_alone_can_be_restored(
    dark_photos: TrainingImages, tmp_path: Path
) -> None:
    first = build_trainer(dark_photos)
    first.step()
    first.save_state(tmp_path / "state.safetensors")
    second = build_trainer(dark_photos, generator=build_small(seed=5))
    second.load_discriminator(tmp_path / "state.safetensors")
    for a, b in zip(
        first.discriminator.parameters(), second.discriminator.parameters(), strict=True
    ):
        assert torch.equal(a, b)
    assert second.counters.images_seen == 0


def test_a_foreign_or_truncated_state_is_refused(
    dark_photos: TrainingImages, labelled_photos: TrainingImages, tmp_path: Path
) -> None:
    path = tmp_path / "state.safetensors"
    trainer = build_trainer(dark_photos)
    trainer.step()
    trainer.save_state(path)
    with pytest.raises(CheckpointError, match="does not fit"):
        build_trainer(labelled_photos).load_state(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="truncated"):
        trainer.load_state(path)


@pytest.mark.parametrize("architecture", BACKBONES)
def test_every_backbone_can_be_trained_on(architecture: str) -> None:
    torch.manual_seed(0)
    generator = BACKBONES[architecture](0)
    before = {name: p.detach().clone() for name, p in generator.named_parameters()}
    pixels = np.random.RandomState(0).randint(0, 60, (64, 16, 16, 3)).astype(np.uint8)
    images = TrainingImages(pixels, None, (), (), "dark")
    trainer = build_trainer(images, generator=generator, path_length_weight=2.0)
    for _ in range(2):
        trainer.step()
    for name, parameter in generator.named_parameters():
        assert not torch.equal(parameter, before[name]), name
    assert generator.get_buffer("mapping.w_avg").abs().sum() > 0


@pytest.mark.skipif(which("g++") is None, reason="torch.compile needs a C++ compiler on CPUs")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_compiled_steps_equal_plain_ones(dark_photos: TrainingImages) -> None:
    # Both penalties need second derivatives, which compiled networks do not give.
    plain, compiled = (
        build_trainer(dark_photos, compile=way, r1_interval=2, path_length_weight=2.0)
        for way in ("off", "on")
    )
    for _ in range(3):
        np.testing.assert_allclose(losses(compiled.step()), losses(plain.step()), rtol=1e-4)


def test_what_does_not_fit_together_is_said(
    dark_photos: TrainingImages, labelled_photos: TrainingImages
) -> None:
    with pytest.raises(UsageError, match="2 classes, the generator is conditioned on 0"):
        build_trainer(labelled_photos, generator=build_small())
    bigger = TrainingImages(np.zeros((128, 16, 16, 3), np.uint8), None, (), (), "x")
    with pytest.raises(UsageError, match="photographs are 16 px, the generator makes 8 px"):
        build_trainer(bigger)
    for wrong, message in (
        ({"batch": 6, "accumulate": 4}, "accumulate must divide"),
        ({"symmetry": "turned"}, "Valid: none, flip, dihedral"),
        ({"augment": "aga"}, "Did you mean 'ada'"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"r1_gamma": float("nan")}, "must not be negative"),
        ({"style_mixing": 1.5}, "share from 0 to 1"),
    ):
        with pytest.raises(UsageError, match=message):
            build_trainer(dark_photos, **wrong)
