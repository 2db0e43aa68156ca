"""A whole run: snapshots, scores, resuming, and every way it can go wrong."""

import csv
import errno
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from datasetgan.checkpoints.generator_files import load_generator, save_generator
from datasetgan.checkpoints.native import WeightCard, read_checkpoint
from datasetgan.errors import StorageError, TrainingError, UsageError
from datasetgan.gan_training import (
    RunFiles,
    RunSettings,
    StepReport,
    TrainingImages,
    TrainingResult,
    TrainingSettings,
    train_generator,
)
from datasetgan.gan_training.trainer import GeneratorTrainer
from datasetgan.runtime import Runtime
from tests.gan_training.conftest import SMALL, build_small

SETTINGS = TrainingSettings(batch=4, r1_interval=4, augment_images=200)
RUN = RunSettings(images=80, snapshot_images=32, num_samples=16)


def train(images: TrainingImages, folder: Path, **changes: Any) -> TrainingResult:
    given = {
        "run": folder,
        "network": SMALL,
        "settings": SETTINGS,
        "run_settings": RUN,
        "runtime": Runtime(),
        "card": WeightCard(title="dark", licence="CC0-1.0"),
    }
    return train_generator(images, folder / "out.safetensors", **{**given, **changes})


def read_log(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_scored_snapshots_with_their_cards(
    dark_photos: TrainingImages, run_folder: Path
) -> None:
    features: list[tuple[int, int]] = []
    result = train(dark_photos, run_folder, on_features=lambda *done: features.append(done))
    assert features == [(64, 128), (128, 128)]
    files = RunFiles(run_folder)
    assert [record.images_seen for record in result.snapshots] == [32, 64, 80]
    assert result.best == min(result.snapshots, key=lambda record: record.kid)
    for record in result.snapshots:
        checkpoint = read_checkpoint(files.generator(record.images_seen), kind="generator")
        card = checkpoint.card
        assert (card.licence, card.images_seen) == ("CC0-1.0", record.images_seen)
        assert card.scores["kid"] == record.kid
        assert "dark" in (card.data or "")
        assert "batch=4" in (card.settings or "")
        with Image.open(files.samples(record.images_seen)) as sheet:
            assert sheet.size == (8 * 8 * 2, 8 * 8 * 2)
    best = files.generator(result.best.images_seen)
    assert result.checkpoint.read_bytes() == best.read_bytes()
    assert load_generator(result.checkpoint).resolution == 8
    assert files.neighbours.is_file()
    assert 0 <= result.memorised_share <= 1


def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    dark_photos: TrainingImages, tmp_path: Path
) -> None:
    reports: dict[str, list[StepReport]] = {"through": [], "stopped": []}
    through = train(dark_photos, tmp_path / "through", on_step=reports["through"].append)

    def stop_at(images_seen: int) -> None:
        def on_step(report: StepReport) -> None:
            if report.images_seen == images_seen:
                raise KeyboardInterrupt
            reports["stopped"].append(report)

        with pytest.raises(KeyboardInterrupt):
            train(dark_photos, tmp_path / "stopped", on_step=on_step)

    stop_at(20)  # before the first snapshot
    stop_at(44)
    reports["stopped"].clear()
    stop_at(72)
    resumed = train(dark_photos, tmp_path / "stopped", on_step=reports["stopped"].append)
    wanted = [replace(r, images_per_second=0.0) for r in reports["through"]]
    came = [replace(r, images_per_second=0.0) for r in reports["stopped"]]
    # From 36 to 68 in the third sitting, from 68 (the snapshot at 64) in the last.
    assert [r.images_seen for r in came] == [*range(36, 72, 4), *range(68, 84, 4)]
    by_images = {r.images_seen: r for r in wanted}
    for report in came:
        expected = by_images[report.images_seen]
        np.testing.assert_allclose(
            [report.generator_loss, report.discriminator_loss, report.augment_probability],
            [expected.generator_loss, expected.discriminator_loss, expected.augment_probability],
            rtol=1e-5,
        )
    assert [r.kid for r in resumed.snapshots] == pytest.approx([r.kid for r in through.snapshots])
    rows = [float(row["images_seen"]) for row in read_log(tmp_path / "stopped")]
    assert rows == sorted(set(rows))


def test_a_finished_run_goes_on_with_more_images(
    dark_photos: TrainingImages, run_folder: Path
) -> None:
    train(dark_photos, run_folder)
    again = train(dark_photos, run_folder, run_settings=replace(RUN, images=100))
    assert [record.images_seen for record in again.snapshots] == [32, 64, 80, 96, 100]


def test_scores_over_other_features_do_not_compete(
    dark_photos: TrainingImages, run_folder: Path
) -> None:
    train(dark_photos, run_folder)
    files = RunFiles(run_folder)
    records = [replace(r, kid=-1.0, features="others") for r in files.read_records()]
    files.write_records(records)
    again = train(dark_photos, run_folder, run_settings=replace(RUN, images=100))
    assert again.best.images_seen in (96, 100)


def test_other_settings_in_the_folder_of_a_run_are_refused(
    dark_photos: TrainingImages, run_folder: Path
) -> None:
    train(dark_photos, run_folder)
    with pytest.raises(UsageError, match=r"settings\.batch was 4, is 8") as error:
        train(dark_photos, run_folder, settings=replace(SETTINGS, batch=8))
    assert "--run" in str(error.value)
    with pytest.raises(UsageError, match="data_digest"):
        train(replace(dark_photos, digest="other"), run_folder)


def test_divergence_names_the_last_good_snapshot(
    dark_photos: TrainingImages, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = GeneratorTrainer.step

    def poisoned(self: GeneratorTrainer) -> StepReport:
        if self.counters.images_seen == 40:
            with torch.no_grad():
                self.discriminator.out.bias.fill_(float("inf"))
        return step(self)

    monkeypatch.setattr(GeneratorTrainer, "step", poisoned)
    with pytest.raises(TrainingError, match="diverged at 44 images") as error:
        train(dark_photos, run_folder)
    last = RunFiles(run_folder).generator(32)
    assert str(last) in str(error.value)
    load_generator(last)


def test_weights_that_are_not_finite_are_never_written(
    dark_photos: TrainingImages, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = GeneratorTrainer.step

    def poisoned(self: GeneratorTrainer) -> StepReport:
        report = step(self)
        if report.images_seen == 64:
            with torch.no_grad():
                next(self.average.parameters()).fill_(float("nan"))
        return report

    monkeypatch.setattr(GeneratorTrainer, "step", poisoned)
    with pytest.raises(TrainingError, match="holds NaN or infinite values"):
        train(dark_photos, run_folder)
    files = RunFiles(run_folder)
    assert not files.generator(64).exists()
    assert [record.images_seen for record in files.read_records()] == [32]


def test_a_full_disk_keeps_the_last_snapshot_and_the_run_goes_on(
    dark_photos: TrainingImages, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_file = Path.replace

    def full(self: Path, target: Path) -> Path:
        if target.name == "samples-00000064.png":
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace_file(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StorageError, match="the disk is full"):
        train(dark_photos, run_folder)
    assert [record.images_seen for record in RunFiles(run_folder).read_records()] == [32]
    monkeypatch.undo()
    assert [r.images_seen for r in train(dark_photos, run_folder).snapshots] == [32, 64, 80]


def test_fine_tuning_starts_from_the_given_weights(
    dark_photos: TrainingImages, tmp_path: Path
) -> None:
    start = tmp_path / "start.safetensors"
    save_generator(start, build_small(seed=7), card=WeightCard(title="start"))
    settings = replace(SETTINGS, discriminator_warmup=100, ema_images=0.0)
    result = train(dark_photos, tmp_path / "run", network=start, settings=settings)
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert plan["start_digest"] == load_generator(start).digest
    # Only the discriminator learned, so the weights are those it started from.
    for name, tensor in build_small(seed=7).named_parameters():
        assert torch.equal(tensor, load_generator(result.checkpoint).get_parameter(name)), name


def test_the_discriminator_is_restored_beside_the_generator(
    dark_photos: TrainingImages, tmp_path: Path
) -> None:
    first = train(dark_photos, tmp_path / "first")
    state = RunFiles(tmp_path / "first").state
    reports: dict[str, list[StepReport]] = {"fresh": [], "restored": []}
    for name, discriminator in (("fresh", None), ("restored", state)):
        train(
            dark_photos,
            tmp_path / name,
            network=first.checkpoint,
            discriminator=discriminator,
            on_step=reports[name].append,
        )
    assert reports["fresh"][0].discriminator_loss != reports["restored"][0].discriminator_loss


def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"images": 0}, {"snapshot_images": 0}, {"num_samples": 1}):
        with pytest.raises(UsageError, match="at least"):
            RunSettings(**wrong)
    with pytest.raises(UsageError, match="Valid: auto, on, off"):
        RunSettings(compile="yes")  # type: ignore[arg-type]
