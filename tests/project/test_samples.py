"""Samples: drawn from their seeds alone, appended whole or not at all, the same ever after."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from datasetgan.errors import ConfigError, DatasetError, ProjectError, StorageError, UsageError
from datasetgan.generators import NoiseSeed, StyleGAN2, sample_latents
from datasetgan.project import Project, Sample
from datasetgan.runtime import Runtime
from tests.project.conftest import files_of


def test_samples_are_what_the_generator_makes_of_their_seeds(
    project: Project, tiny_generator: StyleGAN2
) -> None:
    new = project.add_samples(3)
    assert new == project.samples
    assert new == tuple(Sample(f"sample-000{i}", i, 0.7) for i in range(3))
    # All at once here, one at a time there: equal up to rounding.
    latents = sample_latents(tiny_generator, [0, 1, 2])
    image = tiny_generator.synthesize(latents.ws, noise=NoiseSeed((0, 1, 2))).image
    expected = np.clip(np.asarray(image.permute(0, 2, 3, 1)) * 127.5 + 127.5, 0, 255)
    for i, sample in enumerate(new):
        with Image.open(project.layout.image(sample.key)) as stored:
            assert stored.mode == "RGB"
            assert np.abs(np.asarray(stored) - expected[i]).max() <= 0.51
    stored_ws = load_file(project.layout.latents)["ws"]
    torch.testing.assert_close(stored_ws, latents.ws)
    torch.testing.assert_close(
        project.latents(["sample-0002", "sample-0000"]).ws, stored_ws[[2, 0]]
    )
    assert project.latents(["sample-0002", "sample-0000"]).noise == NoiseSeed((2, 0))


def test_samples_do_not_depend_on_how_many_are_drawn_at_once(
    project: Project, checkpoint: Path, tmp_path: Path
) -> None:
    project.add_samples(1)
    project.add_samples(2, Runtime())
    other = Project.create(
        tmp_path / "other", name="cells", generator=checkpoint, taxonomy=project.taxonomy
    )
    other.add_samples(3)
    assert files_of(project.folder) == files_of(other.folder)


def test_seeds_can_be_given_and_go_on_behind_the_largest(project: Project) -> None:
    project.add_samples(2, seeds=[40, 7])
    project.add_samples(2)
    assert [sample.seed for sample in project.samples] == [40, 7, 41, 42]
    assert [sample.key for sample in project.samples] == [f"sample-000{i}" for i in range(4)]


def test_progress_is_told_after_every_image(project: Project) -> None:
    told: list[tuple[int, int]] = []
    project.add_samples(2, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("count", "seeds", "message"),
    [
        (0, None, r"at least 1, got 0"),
        (-3, None, r"at least 1, got -3"),
        (2, [9], r"2 samples need as many seeds, got 1"),
        (2, [9, 9], r"seed 9 is that of sample-0003 already"),
        (1, [1], r"seed 1 is that of sample-0001 already"),
        (2, [9, -1], r"must not be negative, got -1"),
    ],
)
def test_a_wrong_count_or_seed_changes_nothing(
    sampled: Project, count: int, seeds: list[int] | None, message: str
) -> None:
    before = files_of(sampled.folder)
    with pytest.raises(UsageError, match=message):
        sampled.add_samples(count, seeds=seeds)
    assert files_of(sampled.folder) == before


def test_an_unknown_key_lists_the_valid_ones(sampled: Project) -> None:
    with pytest.raises(UsageError, match=r"'sample-0009'.*Valid: sample-0000, sample-0001"):
        sampled.latents(["sample-0009"])


def test_ctrl_c_between_images_leaves_the_project_as_it_was(sampled: Project) -> None:
    before = files_of(sampled.folder)

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sampled.add_samples(3, on_progress=stop)
    assert files_of(sampled.folder) == before


@pytest.mark.parametrize("written", [0, 1, 2, 3])
def test_a_full_disk_adds_no_sample_and_the_next_try_adds_all(
    sampled: Project, full_disk_after: Callable[[int], None], written: int
) -> None:
    before = files_of(sampled.folder)
    keys = [sample.key for sample in sampled.samples]
    ws = sampled.latents(keys).ws
    full_disk_after(written)
    with pytest.raises(StorageError, match=r"disk is full"):
        sampled.add_samples(2)
    assert files_of(sampled.folder).keys() == before.keys()
    assert [sample.key for sample in sampled.samples] == keys
    # Latents written behind an index that never came do not count.
    torch.testing.assert_close(sampled.latents(keys).ws, ws)
    full_disk_after(99)
    sampled.add_samples(2)
    assert load_file(sampled.layout.latents)["ws"].shape[0] == 5
    checks = sampled.verify_samples(sampled.load_generator())
    assert [check.max_difference for check in checks] == [0] * 5


def test_an_index_with_a_gap_is_refused(sampled: Project) -> None:
    path = sampled.layout.sample_index
    data = json.loads(path.read_text())
    del data["samples"][1]
    path.write_text(json.dumps(data))
    with pytest.raises(ConfigError, match=r"index\.json: .*without gaps"):
        _ = sampled.samples


def test_an_index_that_does_not_parse_is_named(sampled: Project) -> None:
    sampled.layout.sample_index.write_text('{"samples": [{"key": "sample-0000"')
    with pytest.raises(ConfigError, match=r"index\.json is not valid JSON"):
        sampled.add_samples(1)


def damage(path: Path, kind: str) -> None:
    ws = load_file(path)["ws"]
    if kind == "missing":
        path.unlink()
    elif kind == "truncated":
        path.write_bytes(path.read_bytes()[:-7])
    elif kind == "fewer":
        save_file({"ws": ws[:2].clone()}, path)
    elif kind == "nan":
        save_file({"ws": ws.index_fill(0, torch.tensor(1), float("nan"))}, path)
    elif kind == "renamed":
        save_file({"w": ws}, path)
    else:
        save_file({"ws": ws[:, :-1].clone()}, path)


@pytest.mark.parametrize("kind", ["missing", "truncated", "fewer", "nan", "renamed", "misshapen"])
def test_damaged_latents_are_named_and_not_appended_to(sampled: Project, kind: str) -> None:
    damage(sampled.layout.latents, kind)
    before = files_of(sampled.folder)
    with pytest.raises(ProjectError, match=r"latents\.safetensors"):
        sampled.verify_samples(sampled.load_generator())
    with pytest.raises(ProjectError, match=r"latents\.safetensors"):
        sampled.add_samples(1)
    assert files_of(sampled.folder) == before


def test_verification_is_exact_on_one_machine(sampled: Project) -> None:
    checks = sampled.verify_samples(sampled.load_generator())
    assert [check.key for check in checks] == ["sample-0000", "sample-0001", "sample-0002"]
    assert all(check.max_difference == 0 and check.matches for check in checks)


def test_verification_finds_latents_in_another_order(sampled: Project) -> None:
    ws = load_file(sampled.layout.latents)["ws"]
    save_file({"ws": ws[[0, 2, 1]].clone()}, sampled.layout.latents)
    checks = sampled.verify_samples(sampled.load_generator())
    assert [check.matches for check in checks] == [True, False, False]


def test_verification_finds_another_noise_seed(sampled: Project) -> None:
    path = sampled.layout.sample_index
    path.write_text(path.read_text().replace('"seed": 2', '"seed": 200'))
    checks = sampled.verify_samples(sampled.load_generator())
    assert [check.matches for check in checks] == [True, True, False]
    assert checks[2].max_difference > checks[2].mean_difference > 0


def test_verification_measures_a_changed_pixel(sampled: Project) -> None:
    path = sampled.layout.image("sample-0001")
    with Image.open(path) as image:
        pixels = np.array(image)
    value = int(pixels[3, 4, 1])
    pixels[3, 4, 1] = value - 60 if value > 127 else value + 60
    Image.fromarray(pixels).save(path)
    check = sampled.verify_samples(sampled.load_generator())[1]
    assert check.max_difference == 60
    assert check.mean_difference == pytest.approx(60 / pixels.size, abs=1e-4)
    assert not check.matches


def test_verification_names_an_image_that_is_gone_cut_or_scaled(sampled: Project) -> None:
    generator = sampled.load_generator()
    path = sampled.layout.image("sample-0001")
    data = path.read_bytes()
    Image.new("RGB", (16, 32)).save(path)
    with pytest.raises(ProjectError, match=r"sample-0001\.png is 16x32 pixels.*32x32"):
        sampled.verify_samples(generator)
    path.write_bytes(data[:-200])
    with pytest.raises(DatasetError, match=r"sample-0001\.png cannot be read"):
        sampled.verify_samples(generator)
    path.unlink()
    with pytest.raises(DatasetError, match=r"sample-0001\.png does not exist"):
        sampled.verify_samples(generator)
