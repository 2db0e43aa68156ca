"""A project of photos from the first command to the last, and what it refuses."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasetgan.dataset import read_dataset, verify_dataset
from datasetgan.dataset.pairs import read_photo
from datasetgan.project import PhotoSample, Project
from tests.cli.conftest import Cli, run_quietly
from tests.encoders.conftest import TINY_CNN, photograph, tiny_weights

CLASSES = "ground,disk"
THREADS = ("--threads", 1)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return photograph_cells(tmp_path / "photos")


def photograph_cells(folder: Path) -> Path:
    folder.mkdir()
    for i in range(8):
        Image.fromarray(photograph(40, 48, seed=i)).save(folder / f"cell {i}.png")
    return folder


def new_options(folder: Path, photos: Path) -> tuple[object, ...]:
    return (
        *("new", folder, "--classes", CLASSES, "--source", f"timm:{TINY_CNN}"),
        *("--weights", tiny_weights(photos.parent, TINY_CNN), "--photos", photos, "--side", 64),
    )


@pytest.fixture
def project(cli: Cli, tmp_path: Path, photos: Path) -> Path:
    folder = tmp_path / "cells"
    outcome = cli(*new_options(folder, photos))
    assert outcome.code == 0, outcome.err
    assert "8 photos" in outcome.out
    return folder


def paint(project: Path, masks: Path, keys: list[str]) -> None:
    masks.mkdir(exist_ok=True)
    for key in keys:
        dark = read_photo(project / f"samples/images/{key}.png")[..., 1] < 120
        Image.fromarray(dark.astype(np.uint8)).save(masks / f"{key}.png")


# Made once; every test works on a copy of its own.
@pytest.fixture(scope="module")
def made_fitted_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("photos")
    project = place / "cells"
    run_quietly(*new_options(project, photograph_cells(place / "photos")))
    settings = (project / "project.toml").read_text("utf-8")
    quick = "[fit]\nmax_steps = 60\nnum_members = 3\n"
    (project / "project.toml").write_text(settings.replace("[fit]\n", quick), "utf-8")
    paint(project, place / "masks", [f"cell-{i}" for i in range(5)])
    run_quietly("import-labels", project, place / "masks")
    assert f"datasetgan label {project}" in run_quietly("fit", project, *THREADS, "--folds", 2)
    return project


@pytest.fixture
def fitted(made_fitted_photos: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_fitted_photos, tmp_path / "cells"))


def test_the_photos_are_copied_and_named(project: Path, photos: Path) -> None:
    opened = Project.open(project)
    assert [photo.key for photo in opened.photos] == [f"cell-{i}" for i in range(8)]
    assert [photo.name for photo in opened.photos] == [f"cell {i}.png" for i in range(8)]
    for photo in opened.photos:
        assert (read_photo(project / photo.path) == read_photo(photos / photo.name)).all()
    assert opened.pictures == opened.photos
    text = (project / "project.toml").read_text("utf-8")
    assert "\nformat = 2\n" in text
    assert "[sampling]" not in text
    assert "generator" not in json.dumps(json.loads((project / "samples/index.json").read_text()))


def test_suggest_looks_at_unpainted_photos(cli: Cli, fitted: Path) -> None:
    outcome = cli("suggest", fitted, "-n", 2, "--threads", 1)
    assert outcome.code == 0, outcome.err
    found = [key for key in (f"cell-{i}" for i in range(8)) if key in outcome.out]
    assert len(found) == 2
    assert set(found) <= {"cell-5", "cell-6", "cell-7"}
    outcome = cli("suggest", fitted, "-n", 4, "--threads", 1)
    assert outcome.code == 2
    assert "4 photos cannot be chosen: 3 of" in outcome.err


def test_suggest_begins_with_diversity(cli: Cli, project: Path) -> None:
    outcome = cli("suggest", project, "-n", 2, "--threads", 1)
    assert outcome.code == 0, outcome.err
    assert "diversity alone" in outcome.out
    assert len(Project.open(project).photos) == 8
    assert "--seed is of new samples" in cli("suggest", project, "--seed", 3).err


def test_label_labels_the_rest(cli: Cli, fitted: Path, tmp_path: Path) -> None:
    outcome = cli("label", fitted, "--dataset", "rest", "--threads", 1)
    assert outcome.code == 0, outcome.err
    files = sorted(path.name for path in (fitted / "labelled").iterdir())
    assert files == ["cell-5.png", "cell-6.png", "cell-7.png", "index.json"]
    index = json.loads((fitted / "labelled/index.json").read_text("utf-8"))
    scores = [photo["uncertainty_score"] for photo in index["photos"]]
    assert scores == sorted(scores, reverse=True)
    assert {photo["name"] for photo in index["photos"]} == {f"cell {i}.png" for i in (5, 6, 7)}
    for i in (5, 6, 7):
        found = np.array(Image.open(fitted / f"labelled/cell-{i}.png"))
        wanted = read_photo(fitted / f"samples/images/cell-{i}.png")[..., 1] < 120
        assert (found == wanted).mean() > 0.97
    verify_dataset(fitted / "datasets/rest")
    dataset = read_dataset(fitted / "datasets/rest", drop_fraction=0)
    assert [record.key for record in dataset.kept] == ["cell-5", "cell-6", "cell-7"]
    sample = dataset.load(dataset.kept[0])
    assert (sample.label_map == np.array(Image.open(fitted / "labelled/cell-5.png"))).all()
    before = {path: path.read_bytes() for path in fitted.rglob("*.png")}
    assert cli("label", fitted, "--dataset", "rest", "--threads", 1).code == 0
    assert before == {path: path.read_bytes() for path in fitted.rglob("*.png")}
    assert json.loads((fitted / "records/label.json").read_text())["settings"]["photos"] == 3


def test_photos_of_several_sizes_make_no_dataset(cli: Cli, photos: Path, tmp_path: Path) -> None:
    Image.fromarray(photograph(61, 40, seed=9)).save(photos / "tall.jpg", quality=95)
    folder = tmp_path / "mixed"
    made = cli(
        *("new", folder, "--classes", CLASSES, "--source", f"timm:{TINY_CNN}", "--side", 64),
        *("--weights", tiny_weights(tmp_path, TINY_CNN), "--photos", photos),
    )
    assert made.code == 0, made.err
    paint(folder, tmp_path / "masks", ["cell-0", "tall"])
    assert cli("import-labels", folder, tmp_path / "masks").code == 0
    text = (folder / "project.toml").read_text("utf-8")
    quick = "[fit]\nmax_steps = 5\nnum_members = 2\n"
    (folder / "project.toml").write_text(text.replace("[fit]\n", quick), "utf-8")
    assert cli("fit", folder, "--folds", 0, "--threads", 1).code == 0
    (tmp_path / "masks/tall.png").unlink()
    (folder / "labels/tall.png").unlink()
    assert cli("label", folder, "--threads", 1).code == 0
    assert np.array(Image.open(folder / "labelled/tall.png")).shape == (61, 40)
    refused = cli("label", folder, "--dataset", "rest", "--threads", 1)
    assert refused.code == 2
    assert "of one size" in refused.err
    assert not (folder / "datasets").exists()


@pytest.mark.parametrize("command", ["generate", "sample", "report"])
def test_a_project_of_photos_draws_nothing(cli: Cli, fitted: Path, command: str) -> None:
    outcome = cli(command, fitted)
    assert outcome.code == 2
    assert "project of photos" in outcome.err
    if command != "report":
        assert f"datasetgan label {fitted}" in outcome.err


def test_a_generators_project_has_no_photos(cli: Cli, sampled: Path) -> None:
    outcome = cli("label", sampled)
    assert outcome.code == 2
    assert f"datasetgan generate {sampled}" in outcome.err


def test_label_needs_a_fit_and_something_to_label(cli: Cli, project: Path, tmp_path: Path) -> None:
    assert f"Run `datasetgan fit {project}` first" in cli("label", project).err
    (project / "interpreter.safetensors").touch()
    paint(project, tmp_path / "masks", [f"cell-{i}" for i in range(8)])
    assert cli("import-labels", project, tmp_path / "masks").code == 0
    assert "none is left to label" in cli("label", project).err


def test_weights_are_never_random_unasked(cli: Cli, photos: Path, tmp_path: Path) -> None:
    outcome = cli(
        *("new", tmp_path / "cells", "--classes", CLASSES, "--photos", photos),
        *("--source", "timm:vit_small_patch14_dinov2"),
    )
    assert outcome.code == 2
    for part in ("--weights FILE", "timm/vit_small_patch14_dinov2.lvd142m", "self-supervised"):
        assert part in outcome.err
    assert not (tmp_path / "cells").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--source", "timm:test_resnet"], "--source takes --photos"),
        (["--photos", "x"], "belong to --source"),
        (["--source", "timm:resnet81", "--photos", "x"], "Near ones: .*resnet18"),
        (["--source", "timm:test_resnet", "--photos", "x", "--keypoints", "a"], "no --generator"),
        (["--source", "timm:test_resnet", "--photos", "nowhere"], "is no folder"),
    ],
)
def test_options_that_do_not_go_together(
    cli: Cli, tmp_path: Path, options: list[str], message: str
) -> None:
    outcome = cli("new", tmp_path / "cells", "--classes", CLASSES, *options)
    assert outcome.code == 2
    assert re.search(message, " ".join(outcome.err.split()))
    assert not (tmp_path / "cells").exists()


def test_another_encoder_is_noticed(cli: Cli, project: Path) -> None:
    with (project / "encoder.safetensors").open("ab") as file:
        file.write(b"x")
    assert "is another encoder than the project was made with" in cli("fit", project).err
    (project / "encoder.safetensors").unlink()
    assert "encoder.safetensors is missing" in cli("fit", project).err


def test_a_photo_that_was_painted_on_is_noticed(cli: Cli, fitted: Path) -> None:
    Image.fromarray(photograph(40, 48, seed=99)).save(fitted / "samples/images/cell-6.png")
    outcome = cli("label", fitted, "--threads", 1)
    assert outcome.code == 2
    assert "cell-6.png was altered" in " ".join(outcome.err.split())
    assert not (fitted / "labelled/index.json").exists()


def test_a_network_taught_on_the_photos(cli: Cli, photos: Path, tmp_path: Path) -> None:
    from datasetgan.encoders import SelfSupervision, load_encoder
    from datasetgan.pipeline import new_photo_project

    folder = tmp_path / "taught"
    project = new_photo_project(
        folder,
        CLASSES.split(","),
        source=f"timm:{TINY_CNN}",
        photos=photos,
        weights="self-supervised",
        supervision=SelfSupervision(steps=2, batch=4),
    )
    assert load_encoder(folder / "encoder.safetensors").config.side == 128
    assert all(isinstance(photo, PhotoSample) for photo in project.pictures)


def test_a_newer_project_of_photos_is_named_so(cli: Cli, project: Path) -> None:
    path = project / "project.toml"
    path.write_text(path.read_text("utf-8").replace("format = 2", "format = 3\nmore = 1"), "utf-8")
    assert "newer DatasetGAN (format 3, this one reads 2)" in cli("fit", project).err
