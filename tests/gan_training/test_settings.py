"""Settings of a training: checked at construction, read from a file, overridden by options."""

from pathlib import Path

import pytest

from datasetgan.errors import ConfigError, UsageError
from datasetgan.gan_training import (
    RunSettings,
    TrainingSettings,
    default_warmup,
    read_training_settings,
)


def write(folder: Path, text: str) -> Path:
    path = folder / "training.toml"
    path.write_text(text)
    return path


def test_what_nobody_says_has_its_default() -> None:
    assert read_training_settings() == (TrainingSettings(), RunSettings())


def test_options_win_over_the_file(tmp_path: Path) -> None:
    config = write(tmp_path, 'r1_interval = 8\nbatch = 16\nema_images = 5000\ncompile = "off"\n')
    settings, run = read_training_settings(
        config, overrides={"batch": 64, "images": 100, "seed": None, "style_mixing": 0.5}
    )
    assert settings == TrainingSettings(r1_interval=8, batch=64, ema_images=5000, style_mixing=0.5)
    assert run == RunSettings(compile="off", images=100)


def test_the_warm_up_is_for_a_fresh_discriminator_beside_a_trained_generator(
    tmp_path: Path,
) -> None:
    state = tmp_path / "training-state.safetensors"
    assert default_warmup(start="wbc", discriminator=None) == 250
    assert default_warmup(start="wbc", discriminator=state) == 0
    assert default_warmup(start=None, discriminator=None) == 0
    assert read_training_settings(start="wbc")[0].discriminator_warmup == 250
    config = write(tmp_path, "discriminator_warmup = 7\n")
    assert read_training_settings(config, start="wbc")[0].discriminator_warmup == 7
    chosen, _ = read_training_settings(config, start="wbc", overrides={"discriminator_warmup": 0})
    assert chosen.discriminator_warmup == 0


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("r1_intervall = 8\n", {}, r"training.toml: unknown key 'r1_intervall'. Did you mean 'r1"),
        ("colour = 8\n", {}, r"Valid: accumulate, augment, .*snapshot_images, style_mixing"),
        ("batch = 1\n", {}, r"training.toml: batch must be at least 2, got 1"),
        ("batch = '16'\n", {}, r"training.toml: batch: .*'16'"),
        ("batch = 16\n", {"compile": "of"}, r"toml and the options: compile: .*got 'of'"),
        ("", {"snapshots": 3}, r"the options: unknown key 'snapshots'"),
        ("[training]\nbatch = 16\n", {}, r"unknown key 'training'"),
        ("batch = \n", {}, r"is not valid TOML"),
    ],
)
def test_what_does_not_fit_is_named(
    tmp_path: Path, text: str, overrides: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_training_settings(write(tmp_path, text), overrides=overrides)


def test_literals_are_checked_at_construction() -> None:
    with pytest.raises(UsageError, match=r"unknown noise 'on'. Valid: learned, off"):
        TrainingSettings(noise="on")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"unknown compile 'yes'. Valid: auto, on, off"):
        RunSettings(compile="yes")  # type: ignore[arg-type]
