"""The cache against the features that went in."""

import gc
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from datasetgan.errors import StorageError, UsageError
from datasetgan.features import FeaturePyramid
from datasetgan.features.cache import FeatureCache
from datasetgan.interpreter import Interpreter, sample_pixel_features
from tests.interpreter.conftest import make_pyramid

SIZE = (24, 40)


def points() -> Tensor:
    return torch.cartesian_prod(torch.arange(0, 24, 5), torch.arange(0, 40, 7))


@pytest.mark.parametrize("memory_mb", [0, 64])
def test_reading_equals_the_features(tmp_path: Path, memory_mb: int) -> None:
    cache = FeatureCache(memory_mb=memory_mb, folder=tmp_path)
    pyramids = [make_pyramid(seed) for seed in range(3)]
    assert [cache.add(p) for p in pyramids] == [0, 1, 2]
    assert (len(cache), cache.levels) == (3, pyramids[0].levels)
    for image, pyramid in enumerate(pyramids):
        expected = sample_pixel_features(pyramid, points(), size=SIZE)
        torch.testing.assert_close(
            cache.read(image, points(), size=SIZE), expected, atol=2e-3, rtol=1e-3
        )
        for ours, theirs in zip(cache.pyramid(image).cropped, pyramid.cropped, strict=True):
            assert torch.equal(ours, theirs.half())


def test_files_have_no_names_and_vanish(tmp_path: Path) -> None:
    cache = FeatureCache(memory_mb=0, folder=tmp_path)
    before = _mapped(tmp_path)
    cache.add(make_pyramid())
    assert list(tmp_path.iterdir()) == []
    assert _mapped(tmp_path) == before + 1
    del cache
    gc.collect()
    assert _mapped(tmp_path) == before


def _mapped(folder: Path) -> int:
    maps = Path(f"/proc/{os.getpid()}/maps")
    if not maps.exists():
        pytest.skip("no list of mapped files on this system")
    return sum(str(folder) in line for line in maps.read_text().splitlines())


def test_memory_first_then_files(tmp_path: Path) -> None:
    tensors = [torch.randn(1, 62, 64, 64)]  # with its block means hardly half a MiB in float16
    cache = FeatureCache(memory_mb=1, folder=tmp_path)
    before = _mapped(tmp_path)
    for count in (0, 0, 1, 2):
        cache.add(FeaturePyramid.from_tensors(tensors))
        assert _mapped(tmp_path) == before + count


def test_values_beyond_float16() -> None:
    pyramid = make_pyramid()
    pyramid.tensors[1].mul_(1e6)
    cache = FeatureCache()
    cache.add(pyramid)
    expected = sample_pixel_features(pyramid, points(), size=SIZE)
    found = cache.read(0, points(), size=SIZE)
    large = slice(6, 11)  # the second level's channels; float16 rounds by 1 / 2048
    limit = pyramid.tensors[1].abs().max().item() / 2048
    torch.testing.assert_close(found[:, large], expected[:, large], atol=limit, rtol=0)
    torch.testing.assert_close(found[:, 11:], expected[:, 11:], atol=2e-3, rtol=1e-3)
    ours = cache.pyramid(0).cropped[1]
    torch.testing.assert_close(ours, pyramid.tensors[1], rtol=1e-3, atol=1e3)


def test_features_are_copied() -> None:
    pyramid = make_pyramid()
    cache = FeatureCache()
    cache.add(pyramid)
    before = cache.read(0, points(), size=SIZE)
    pyramid.tensors[0].zero_()
    assert torch.equal(cache.read(0, points(), size=SIZE), before)


def test_an_interpreter_labels_what_the_cache_returns(fitted: Interpreter) -> None:
    pyramid = make_pyramid(9)
    cache = FeatureCache()
    cache.add(pyramid)
    ours, theirs = (fitted.predict(p).label_map for p in (cache.pyramid(0), pyramid))
    assert (ours == theirs).float().mean() > 0.98


def test_bad_features() -> None:
    cache = FeatureCache()
    with pytest.raises(UsageError, match="one image at a time, got 2"):
        cache.add(make_pyramid(batch=2))
    broken = make_pyramid()
    broken.tensors[2][0, 0, 9, 9] = torch.nan
    with pytest.raises(UsageError, match="sample-7 hold NaN or infinite"):
        cache.add(broken, source="sample-7")
    assert len(cache) == 0
    cache.add(make_pyramid())
    other = FeaturePyramid.from_tensors([torch.zeros(1, 3, 4, 4)])
    with pytest.raises(UsageError, match="the features of image 1 do not fit"):
        cache.add(other)


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("datasetgan.features.cache.TemporaryFile", full)
    cache = FeatureCache(memory_mb=0, folder=tmp_path)
    with pytest.raises(StorageError, match="the disk is full"):
        cache.add(make_pyramid())
    assert len(cache) == 0
