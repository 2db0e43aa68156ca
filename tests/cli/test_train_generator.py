"""`train-generator` as a user types it."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasetgan.checkpoints.generator_files import load_generator, save_generator
from datasetgan.checkpoints.native import WeightCard, read_checkpoint
from tests.cli.conftest import Cli
from tests.cli.test_bad_input import assert_refused
from tests.gan_training.conftest import build_small

QUICK = ("--resolution", 8, "--device", "cpu", "--batch", 4, "--threads", 1)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """110 dark photographs in two class folders, and two files that are none."""
    random = np.random.RandomState(0)
    folder = tmp_path / "photos"
    for i in range(110):
        path = folder / ("blue" if i % 2 else "red") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.randint(0, 60, (8, 12, 3)).astype(np.uint8)).save(path)
    (folder / "red" / "broken.png").write_bytes(b"no picture")
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(folder / "red" / "tiny.png")
    return folder


@pytest.fixture
def small_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    save_generator(path, build_small(seed=3), card=WeightCard(title="small"))
    return path


def test_from_photographs_to_a_generator(cli: Cli, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "cells.safetensors"
    command = ("train-generator", photos, "--out", out, *QUICK, "--symmetry", "dihedral")
    ran = cli(*command, "--images", 24, "--snapshot-images", 12, "--license", "CC0-1.0")
    assert ran.code == 0, ran.err
    text = " ".join(ran.out.split())
    assert "110 photographs at 8 px" in text
    assert "Training a small StyleGAN2 on cpu" in text
    assert "2 files were skipped" in text
    assert "broken.png" in text
    assert "tiny.png" in text
    assert "24 images: KID" in text
    card = read_checkpoint(out, kind="generator").card
    assert card.licence == "CC0-1.0"
    assert set(card.scores) == {"kid", "kid_deviation", "fid"}
    assert "random" in (card.notes or "")
    # The result goes straight into a project.
    assert cli("new", tmp_path / "project", "--generator", out, "--classes", "a,b").code == 0
    # More images: the run goes on.
    again = cli(*command, "--images", 36, "--snapshot-images", 12, "--license", "CC0-1.0")
    assert again.code == 0, again.err
    assert "The best of 3 snapshots" in " ".join(again.out.split())


def test_class_labels_from_folders(cli: Cli, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "cells.safetensors"
    ran = cli("train-generator", photos, "--out", out, *QUICK, "--labels", "folders", "--images", 8)
    assert ran.code == 0, ran.err
    assert "110 photographs of 2 classes" in " ".join(ran.out.split())
    assert load_generator(out).label_dim == 2


def test_fine_tuning_takes_resolution_and_network_from_the_start(
    cli: Cli, photos: Path, tmp_path: Path, small_file: Path
) -> None:
    out = tmp_path / "cells.safetensors"
    ran = cli(
        *("train-generator", photos, "--out", out, "--from", small_file),
        *("--images", 8, "--batch", 4, "--threads", 1),
    )
    assert ran.code == 0, ran.err
    assert load_generator(out).w_dim == build_small().w_dim


def test_tensorboard_events(cli: Cli, photos: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "cells.safetensors"
    ran = cli(
        "train-generator",
        photos,
        "--out",
        out,
        *QUICK,
        "--device",
        "cpu",
        "--images",
        68,
        "--tensorboard",
    )
    assert ran.code == 0, ran.err
    events = EventAccumulator(str(tmp_path / "cells-training" / "tensorboard"))
    events.Reload()
    assert [e.step for e in events.Scalars("training/generator_loss")] == [64]
    assert [e.step for e in events.Scalars("quality/kid")] == [68]
    with (tmp_path / "cells-training" / "log.csv").open(newline="") as file:
        assert [float(row["images_seen"]) for row in csv.DictReader(file)] == [64, 68]


def test_bad_input_is_one_clear_message(
    cli: Cli, photos: Path, tmp_path: Path, small_file: Path
) -> None:
    out = tmp_path / "cells.safetensors"

    def refused(*arguments: object, parts: tuple[str, ...]) -> None:
        assert_refused(cli("train-generator", *arguments), *parts)
        assert not out.exists()

    refused(tmp_path / "none", "--out", out, *QUICK, parts=("does not exist",))
    refused(photos, "--out", out, parts=("--resolution is needed",))
    refused(photos, "--out", out, "--resolution", 9, parts=("power of two",))
    refused(photos, "--out", out, *QUICK, "--network", "smal", parts=("Did you mean 'small'",))
    refused(photos, "--out", out, *QUICK, "--symmetry", "all", parts=("none, flip, dihedral",))
    refused(photos, "--out", out, *QUICK, "--features", "inception", parts=("random",))
    refused(
        *(photos, "--out", out, *QUICK, "--discriminator", small_file),
        parts=("--discriminator goes with --from",),
    )
    for path in list((photos / "blue").iterdir()):
        path.unlink()
    refused(photos / "red", "--out", out, *QUICK, parts=("55", "100"))
