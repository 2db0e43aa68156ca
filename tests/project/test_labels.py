"""Painted label maps: in by name, checked before any is written, out with their features."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from datasetgan.errors import LabelError, ProjectError, StorageError, UsageError
from datasetgan.generators import StyleGAN2
from datasetgan.project import Project, samples
from tests.project.conftest import a_label_map, files_of, paint


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """Two good masks for the samples of `sampled`."""
    for i in range(2):
        paint(tmp_path / "masks" / f"sample-000{i}.png", a_label_map(i))
    return tmp_path / "masks"


def test_masks_come_in_by_name_and_out_as_they_were(sampled: Project, masks: Path) -> None:
    (masks / "notes.txt").write_text("painted on a train")
    (masks / ".sample-0002.png").write_bytes(b"an editor's leftover")
    report = sampled.import_labels(masks)
    assert report.added == ("sample-0000", "sample-0001")
    assert report.replaced == ()
    assert report.unpainted == ("sample-0002",)
    both = np.stack([a_label_map(0), a_label_map(1)])
    assert report.class_pixels == {
        name: int((both == i).sum()) for i, name in enumerate(sampled.taxonomy.names)
    }
    painted = list(sampled.painted())
    assert [p.sample.key for p in painted] == ["sample-0000", "sample-0001"]
    for i, p in enumerate(painted):
        np.testing.assert_array_equal(p.label_map, a_label_map(i))
        with Image.open(sampled.layout.label(p.sample.key)) as stored:
            assert stored.mode == "P"  # class ids that any viewer shows in colour


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10)
@given(seed=st.integers(0, 2**31), as_rgb=st.booleans())
def test_colours_and_ids_mean_the_same(
    sampled: Project, tmp_path: Path, seed: int, as_rgb: bool
) -> None:
    label_map = a_label_map(seed)
    mask = sampled.taxonomy.colorize(label_map) if as_rgb else label_map
    paint(tmp_path / "sample-0001.png", mask)
    sampled.import_labels(tmp_path / "sample-0001.png")
    (painted,) = sampled.painted()
    np.testing.assert_array_equal(painted.label_map, label_map)


def test_a_second_import_replaces(sampled: Project, masks: Path) -> None:
    sampled.import_labels(masks)
    paint(masks / "sample-0001.png", a_label_map(5))
    paint(masks / "sample-0002.png", a_label_map(6))
    (masks / "sample-0000.png").unlink()
    report = sampled.import_labels(masks)
    assert report.added == ("sample-0002",)
    assert report.replaced == ("sample-0001",)
    assert report.unpainted == ()
    maps = [p.label_map for p in sampled.painted()]
    np.testing.assert_array_equal(maps, [a_label_map(0), a_label_map(5), a_label_map(6)])


def no_sample(masks: Path) -> None:
    paint(masks / "sample-0007.png", a_label_map(0))


def wrong_size(masks: Path) -> None:
    paint(masks / "sample-0002.png", a_label_map(0, size=(16, 32)))


def unknown_id(masks: Path) -> None:
    paint(masks / "sample-0002.png", np.full((32, 32), 9, dtype=np.uint8))


def unknown_color(masks: Path) -> None:
    paint(masks / "sample-0002.png", np.full((32, 32, 3), (1, 2, 3), dtype=np.uint8))


def unpainted(masks: Path) -> None:
    paint(masks / "sample-0002.png", np.full((32, 32), 255, dtype=np.uint8))


def truncated(masks: Path) -> None:
    paint(masks / "sample-0002.png", a_label_map(0))
    data = (masks / "sample-0002.png").read_bytes()
    (masks / "sample-0002.png").write_bytes(data[: len(data) // 2])


def doubled(masks: Path) -> None:
    paint(masks / "sample-0001.PNG", a_label_map(0))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_sample, r"sample-0007\.png: unknown sample 'sample-0007'.*Valid: sample-0000, "),
        (wrong_size, r"sample-0002\.png is 32x16 pixels, expected 32x32"),
        (unknown_id, r"sample-0002\.png holds class id 9"),
        (unknown_color, r"sample-0002\.png: the colour \(1, 2, 3\)"),
        (unpainted, r"sample-0002\.png is empty"),
        (truncated, r"sample-0002\.png cannot be read"),
        (doubled, r"are both masks of sample-0001"),
    ],
)
def test_one_bad_mask_keeps_all_out(
    sampled: Project, masks: Path, spoil: Callable[[Path], None], message: str
) -> None:
    before = files_of(sampled.folder)
    spoil(masks)
    with pytest.raises(LabelError, match=message):
        sampled.import_labels(masks)
    assert files_of(sampled.folder) == before


def test_a_missing_or_empty_source_is_named(sampled: Project, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"nowhere does not exist"):
        sampled.import_labels(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LabelError, match=r"empty holds no PNG mask"):
        sampled.import_labels(tmp_path / "empty")


def test_an_unknown_format_is_named(sampled: Project, masks: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown label format 'pgn'. Did you mean 'png'"):
        sampled.import_labels(masks, label_format="pgn")


def test_without_samples_there_is_nothing_to_label(project: Project, masks: Path) -> None:
    with pytest.raises(ProjectError, match=r"datasetgan sample"):
        project.import_labels(masks)


def test_a_full_disk_leaves_whole_files(
    sampled: Project, masks: Path, full_disk_after: Callable[[int], None]
) -> None:
    full_disk_after(1)
    with pytest.raises(StorageError, match=r"sample-0001\.png: the disk is full"):
        sampled.import_labels(masks)
    (painted,) = sampled.painted()
    np.testing.assert_array_equal(painted.label_map, a_label_map(0))


def test_a_label_map_put_in_by_hand_under_a_wrong_name_is_noticed(sampled: Project) -> None:
    paint(sampled.layout.label("sample-00"), a_label_map(0))
    with pytest.raises(LabelError, match=r"sample-00\.png: unknown sample 'sample-00'"):
        list(sampled.painted())


def test_a_painted_sample_whose_image_is_gone_is_noticed(sampled: Project, masks: Path) -> None:
    sampled.import_labels(masks)
    sampled.layout.image("sample-0000").unlink()
    with pytest.raises(ProjectError, match=r"sample-0000\.png is missing"):
        list(sampled.painted())


def test_features_are_those_of_the_painted_image(sampled: Project, masks: Path) -> None:
    (masks / "sample-0000.png").unlink()
    sampled.import_labels(masks)
    generator = sampled.load_generator()
    (painted,) = sampled.painted_features(generator)
    assert painted.key == "sample-0001"
    assert painted.label_map.dtype == torch.int64
    np.testing.assert_array_equal(painted.label_map, a_label_map(1))
    latents = sampled.latents(["sample-0001"])
    expected = generator.synthesize(latents.ws, noise=latents.noise)
    assert painted.features.levels == generator.feature_levels
    for (_, ours), (_, theirs) in zip(
        painted.features.items(), expected.features.items(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
        assert not ours.is_inference()  # a fit may put them into its graph


def test_the_latents_are_read_once(
    sampled: Project, masks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(masks / "sample-0002.png", a_label_map(2))
    sampled.import_labels(masks)
    reads, read = [], samples.safe_open
    monkeypatch.setattr(samples, "safe_open", lambda *a: (reads.append(a), read(*a))[1])
    assert len(list(sampled.painted_features(sampled.load_generator()))) == 3
    assert len(reads) == 1


def test_a_label_map_is_saved_by_itself(sampled: Project) -> None:
    for seed in (4, 5):
        label_map = a_label_map(seed).astype(np.int64)
        sampled.save_label("sample-0001", label_map)
        (painted,) = sampled.painted()
        assert painted.sample.key == "sample-0001"
        np.testing.assert_array_equal(painted.label_map, label_map)
    imported = sampled.layout.label("sample-0001").read_bytes()
    paint(sampled.folder.parent / "sample-0001.png", a_label_map(5))
    sampled.import_labels(sampled.folder.parent / "sample-0001.png")
    assert sampled.layout.label("sample-0001").read_bytes() == imported


@pytest.mark.parametrize(
    ("key", "label_map", "message"),
    [
        ("sample-0009", a_label_map(0), r"unknown sample 'sample-0009'.*Valid: sample-0000"),
        (
            "sample-0001",
            a_label_map(0, size=(16, 32)),
            r"is \[16, 32\], expected \[32, 32\]",
        ),
        ("sample-0001", np.full((32, 32), 9), r"holds class id 9"),
        ("sample-0001", np.full((32, 32), -1), r"holds class id -1"),
        ("sample-0001", np.full((32, 32), 255), r"label map of sample-0001 is empty"),
        ("sample-0001", np.full((32, 32), 0.5), r"integers, got \[32, 32\] float64"),
        ("sample-0001", np.zeros((32, 32, 3), np.uint8), r"is \[32, 32, 3\], expected"),
    ],
)
def test_a_label_map_that_does_not_fit_is_not_saved(
    sampled: Project, key: str, label_map: NDArray[np.integer], message: str
) -> None:
    sampled.save_label("sample-0001", a_label_map(3))
    before = files_of(sampled.folder)
    with pytest.raises(LabelError, match=message):
        sampled.save_label(key, label_map)
    assert files_of(sampled.folder) == before


def test_a_full_disk_keeps_the_former_label_map(
    sampled: Project, full_disk_after: Callable[[int], None]
) -> None:
    sampled.save_label("sample-0001", a_label_map(3))
    before = files_of(sampled.folder)
    full_disk_after(0)
    with pytest.raises(StorageError, match="disk is full"):
        sampled.save_label("sample-0001", a_label_map(4))
    assert files_of(sampled.folder) == before


def test_the_gradient_mode_of_the_caller_is_left_alone(sampled: Project, masks: Path) -> None:
    sampled.import_labels(masks)
    for _ in sampled.painted_features(sampled.load_generator()):
        assert torch.is_grad_enabled()


def test_features_need_paint_and_the_project_s_own_generator(
    sampled: Project, masks: Path, tiny_generator: StyleGAN2
) -> None:
    with pytest.raises(ProjectError, match=r"no painted sample"):
        list(sampled.painted_features(sampled.load_generator()))
    sampled.import_labels(masks)
    with pytest.raises(ProjectError, match=r"not with 000000000000"):
        list(sampled.painted_features(tiny_generator))
