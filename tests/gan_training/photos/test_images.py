"""Photographs to one array on disk: whole, cached, bounded; and batches of it."""

import errno
import hashlib
import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datasetgan.errors import DatasetError, StorageError, UsageError
from datasetgan.gan_training.photos.images import TrainingImages, read_training_images, sample_batch
from tests.gan_training.photos.sources import hundred, png, write_source

BAD = {"bad.png": b"no picture", "tiny.png": png((7, 9), (0, 0, 0)), "x.txt": b""}


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_folder_and_zip_give_the_same(tmp_path: Path, kind: str) -> None:
    source = write_source(tmp_path / "photos", hundred() | BAD, kind)
    calls: list[tuple[int, int]] = []
    images = read_training_images(
        source, resolution=8, cache=tmp_path / "run", on_progress=lambda *done: calls.append(done)
    )
    expected = np.zeros((100, 8, 8, 3), np.uint8)
    expected[..., 0] = np.arange(100)[:, None, None]
    np.testing.assert_array_equal(images.pixels, expected)
    assert images.skipped == (
        "bad.png: not a readable image (of no format that Pillow knows)",
        "tiny.png: 7x9 is smaller than 8",
    )
    assert (images.class_ids, images.class_names, images.num_classes) == (None, (), 0)
    assert images.digest == hashlib.sha256(expected.tobytes()).hexdigest()
    assert calls == [(i, 102) for i in range(1, 103)]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "photos.json",
        "photos.npy",
    ]
    assert isinstance(images.pixels, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images.pixels[0] = 0


@pytest.mark.parametrize("labels", ["folders", "file"])
def test_classes_follow_the_usable_photographs(tmp_path: Path, labels: str) -> None:
    files = hundred("b/") | {"a/0.png": b"no picture", "a/1.png": png((8, 8), (200, 0, 0))}
    numbers = [[name, int(name < "b")] for name in files]
    files["dataset.json"] = json.dumps({"labels": numbers}).encode()
    source = write_source(tmp_path / "photos", files)
    for _ in range(2):  # made, then taken from the cache
        images = read_training_images(
            source,
            resolution=8,
            cache=tmp_path / "run",
            labels=labels,  # type: ignore[arg-type]
        )
        assert images.class_names == (("a", "b") if labels == "folders" else ("0", "1"))
        ids = np.array([0] + [1] * 100) if labels == "folders" else np.array([1] + [0] * 100)
        assert images.class_ids is not None
        assert images.class_ids.dtype == np.int64
        np.testing.assert_array_equal(images.class_ids, ids)
        content = images.pixels.tobytes() + ids.astype("<i8").tobytes()
        assert images.digest == hashlib.sha256(content).hexdigest()


def test_a_class_whose_photographs_are_all_skipped_is_named(tmp_path: Path) -> None:
    source = write_source(tmp_path / "photos", hundred("a/") | hundred("c/") | {"b/x.png": b""})
    with pytest.raises(DatasetError, match="none of the photographs of 'b' is usable"):
        read_training_images(source, resolution=8, cache=tmp_path / "run", labels="folders")


def test_the_whole_picture_may_be_squashed(tmp_path: Path) -> None:
    edge = Image.new("RGB", (10, 8))
    edge.paste("white", (0, 0, 1, 8))
    edge.save(tmp_path / "edge.png")
    files = hundred() | {"a/000.png": (tmp_path / "edge.png").read_bytes()}
    source = write_source(tmp_path / "photos", files)
    for crop, edge_is_seen in (("center", False), ("resize", True), ("center", False)):
        images = read_training_images(
            source,
            resolution=4,
            cache=tmp_path / "run",
            crop=crop,  # type: ignore[arg-type]
        )
        assert images.pixels[0].any() == edge_is_seen
    with pytest.raises(UsageError, match="Did you mean 'center'"):
        read_training_images(
            source,
            resolution=4,
            cache=tmp_path / "run",
            crop="centre",  # type: ignore[arg-type]
        )
    with pytest.raises(UsageError, match="at least 1 pixel, got 0"):
        read_training_images(source, resolution=0, cache=tmp_path / "run")


def test_too_few_images_are_refused(tmp_path: Path) -> None:
    files = dict(list(hundred().items())[:99]) | BAD
    source = write_source(tmp_path / "photos", files)
    with pytest.raises(DatasetError) as caught:
        read_training_images(source, resolution=8, cache=tmp_path / "run")
    assert str(caught.value) == (
        f"{source} holds 99 usable photographs (2 skipped: bad.png: not a readable image (of no "
        "format that Pillow knows); tiny.png: 7x9 is smaller than 8). A generator needs at least "
        "100 to learn anything but copies: add photographs, or choose a lower resolution if these "
        "are too small."
    )
    assert list((tmp_path / "run").iterdir()) == []
    write_source(tmp_path / "empty", {"x.txt": b""})
    with pytest.raises(DatasetError, match=r"holds 0 usable photographs \(0 skipped\)"):
        read_training_images(
            tmp_path / "empty", resolution=8, cache=tmp_path / "run", labels="folders"
        )


def decoded(source: Path, cache: Path, resolution: int = 8) -> int:
    """How many files are decoded: none where the cache is taken."""
    calls: list[int] = []
    read_training_images(
        source,
        resolution=resolution,
        cache=cache,
        on_progress=lambda done, total: calls.append(done),
    )
    return len(calls)


def test_the_cache_is_taken_while_nothing_changes(tmp_path: Path) -> None:
    source, cache = write_source(tmp_path / "photos", hundred()), tmp_path / "run"
    assert decoded(source, cache) == 100
    assert decoded(source, cache) == 0
    assert decoded(source, cache, resolution=4) == 100
    assert decoded(source, cache) == 100
    os.utime(source / "a" / "007.png", ns=(0, 0))
    assert decoded(source, cache) == 100
    (source / "a" / "100.png").write_bytes(png((8, 8), (1, 2, 3)))
    assert decoded(source, cache) == 101
    (source / "licence.txt").write_bytes(b"")
    assert decoded(source, cache) == 0


def test_a_harmed_cache_is_made_again(tmp_path: Path) -> None:
    source, cache = write_source(tmp_path / "photos", hundred()), tmp_path / "run"
    decoded(source, cache)
    pixels, record = (cache / "photos.npy").read_bytes(), (cache / "photos.json").read_bytes()
    harms = {
        "photos.npy": [pixels[:-1], pixels[:50], b"", pixels.replace(b"|u1", b"|i1", 1)],
        "photos.json": [record[:-20], b"{}", b""],
    }
    for name, versions in harms.items():
        for data in versions:
            (cache / name).write_bytes(data)
            assert decoded(source, cache) == 100
        (cache / name).unlink()
        assert decoded(source, cache) == 100
    assert (cache / "photos.npy").read_bytes() == pixels
    assert (cache / "photos.json").read_bytes() == record


def test_an_interruption_leaves_nothing_half_made(tmp_path: Path) -> None:
    source, cache = write_source(tmp_path / "photos", hundred()), tmp_path / "run"
    decoded(source, cache, resolution=4)

    def interrupt(done: int, total: int) -> None:
        if done == 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_training_images(source, resolution=8, cache=cache, on_progress=interrupt)
    assert not list(cache.glob(".*"))
    # The pixels of before are whole, but nothing says any more what they are of.
    assert not (cache / "photos.json").exists()
    assert decoded(source, cache) == 100


@pytest.mark.parametrize("file", [0, 1])
def test_a_full_disk_is_one_error(
    tmp_path: Path, file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, cache = write_source(tmp_path / "photos", hundred()), tmp_path / "run"
    calls = []

    def fsync(_: int) -> None:
        calls.append(1)
        if len(calls) > file:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(StorageError, match="the disk is full"):
            read_training_images(source, resolution=8, cache=cache)
    assert not list(cache.glob(".*"))
    assert decoded(source, cache) == 100


def test_a_cache_that_is_a_file_is_refused(tmp_path: Path) -> None:
    source = write_source(tmp_path / "photos", hundred())
    (tmp_path / "run").write_bytes(b"")
    for cache in (tmp_path / "run", tmp_path / "run" / "below"):
        with pytest.raises(StorageError, match=r"[Cc]hoose another place"):
            read_training_images(source, resolution=8, cache=cache)


def test_memory_does_not_grow_with_the_photographs(tmp_path: Path) -> None:
    files = {f"{i:03d}.png": png((64, 64), (i, 0, 0)) for i in range(200)}
    source = write_source(tmp_path / "photos", files)
    read_training_images(source, resolution=8, cache=tmp_path / "first")  # plugins are loaded
    tracemalloc.start()
    images = read_training_images(source, resolution=64, cache=tmp_path / "run")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert images.pixels.nbytes == 200 * 64 * 64 * 3
    assert peak < images.pixels.nbytes / 4


def noise_images(count: int, *, side: int = 4, classes: int = 0) -> TrainingImages:
    random = np.random.RandomState(0)
    pixels = random.randint(0, 256, (count, side, side, 3)).astype(np.uint8)
    pixels.setflags(write=False)
    ids = random.randint(0, classes, count).astype(np.int64) if classes else None
    return TrainingImages(pixels, ids, tuple(map(str, range(classes))), (), "")


def to_bytes(pictures: torch.Tensor) -> np.ndarray:
    return ((pictures.permute(0, 2, 3, 1) + 1) * 127.5).round().byte().numpy()


def test_every_symmetry_of_the_square_is_drawn() -> None:
    images = noise_images(1)
    turned = [np.rot90(images.pixels[0], k) for k in range(4)]
    eight = turned + [t[:, ::-1] for t in turned]
    for symmetry, members in (("none", [0]), ("flip", [0, 4]), ("dihedral", range(8))):
        generator = torch.Generator().manual_seed(0)
        batch = sample_batch(images, 200, generator=generator, symmetry=symmetry)
        found = {picture.tobytes() for picture in to_bytes(batch.pictures)}
        assert found == {np.ascontiguousarray(eight[i]).tobytes() for i in members}


def test_pictures_and_class_labels_belong_together() -> None:
    images = noise_images(50, classes=3)
    batch = sample_batch(images, 400, generator=torch.Generator().manual_seed(1), symmetry="none")
    assert images.class_ids is not None
    assert batch.class_labels is not None
    assert batch.pictures.shape == (400, 3, 4, 4)
    assert batch.pictures.dtype == batch.class_labels.dtype == torch.float32
    row_of = {picture.tobytes(): row for row, picture in enumerate(images.pixels)}
    rows = [row_of[picture.tobytes()] for picture in to_bytes(batch.pictures)]
    assert len(set(rows)) > 45, "nearly all are drawn"
    np.testing.assert_array_equal(batch.class_labels.numpy(), np.eye(3)[images.class_ids[rows]])


def test_values_span_minus_one_to_one_exactly() -> None:
    pixels = np.zeros((1, 2, 2, 3), np.uint8)
    pixels[0, 0], pixels[0, 1, 0] = 255, 51
    images = TrainingImages(pixels, None, (), (), "")
    batch = sample_batch(images, 1, generator=torch.Generator(), symmetry="none")
    assert batch.class_labels is None
    assert batch.pictures[0, 0].tolist() == [[1, 1], [pytest.approx(51 / 127.5 - 1), -1]]


def test_draws_do_not_depend_on_class_labels() -> None:
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    plain, labelled = noise_images(50), noise_images(50, classes=4)
    for _ in range(3):
        a, b = (
            sample_batch(images, 8, generator=generator, symmetry="dihedral")
            for images, generator in zip((plain, labelled), generators, strict=True)
        )
        assert torch.equal(a.pictures, b.pictures)
    assert torch.equal(generators[0].get_state(), generators[1].get_state())
