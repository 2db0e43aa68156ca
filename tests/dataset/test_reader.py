"""Reading, filtering and verifying a dataset."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from datasetgan.dataset import (
    SampleRecord,
    read_dataset,
    read_manifest,
    split_by_uncertainty,
    verify_dataset,
)
from datasetgan.errors import ConfigError, DatasetError, UsageError
from tests.dataset.conftest import SCORES, make_plan, make_sample


def record(number: int, score: float) -> SampleRecord:
    return SampleRecord(
        key=f"{number:06d}",
        seed=number,
        image=f"images/{number}.png",
        label=f"labels/{number}.png",
        image_sha256="0",
        label_sha256="0",
        uncertainty_score=score,
        class_pixels=(1, 2),
    )


@pytest.mark.parametrize("number", range(7))
def test_samples_come_back_as_they_were_written(dataset_folder, number):
    dataset = read_dataset(dataset_folder, drop_fraction=0)
    read, written = dataset.load(dataset.kept[number]), make_sample(number)
    assert (read.key, read.seed, read.uncertainty_score) == (
        written.key,
        written.seed,
        written.uncertainty_score,
    )
    np.testing.assert_array_equal(read.image, written.image)
    np.testing.assert_array_equal(read.label_map, written.label_map)
    assert read.uncertainty is not None
    assert read.uncertainty.dtype == np.float32
    np.testing.assert_allclose(read.uncertainty, written.uncertainty, atol=0.51e-4, rtol=0)


def test_the_most_uncertain_are_set_aside_ties_by_key(dataset_folder):
    dataset = read_dataset(dataset_folder, drop_fraction=0.5)
    assert [r.key for r in dataset.dropped] == ["000002", "000005", "000000"]
    assert [r.key for r in dataset.kept] == ["000001", "000003", "000004", "000006"]
    assert len(dataset) == 4
    assert not read_dataset(dataset_folder).dropped  # a tenth of seven is none
    np.testing.assert_array_equal(
        dataset.load(dataset.dropped[0]).label_map, make_sample(2).label_map
    )


@given(
    st.lists(st.floats(0, 10).map(lambda v: round(v, 1)), max_size=60),
    st.fractions(0, 1, max_denominator=100).filter(lambda f: f < 1),
)
@settings(deadline=None)
def test_split_drops_a_share_and_loses_nothing(scores, share):
    records = [record(i, score) for i, score in enumerate(scores)]
    kept, dropped = split_by_uncertainty(records, drop_fraction=float(share))
    assert len(dropped) == int(len(records) * share)  # exact: a fraction, no float
    assert sorted((*kept, *dropped), key=lambda r: r.key) == records
    assert [r.key for r in kept] == sorted(r.key for r in kept)
    order = np.lexsort((np.arange(len(scores)), -np.array(scores)))
    assert [r.seed for r in dropped] == order[: len(dropped)].tolist()


def test_rounding_does_not_cost_a_record():
    records = [record(i, 0.5) for i in range(100)]
    assert 0.29 * 100 < 29  # in binary
    assert len(split_by_uncertainty(records, drop_fraction=0.29)[1]) == 29


@pytest.mark.parametrize("share", [-0.1, 1, 1.5, float("nan")])
def test_share_out_of_range(dataset_folder, share):
    with pytest.raises(UsageError, match="drop_fraction"):
        read_dataset(dataset_folder, drop_fraction=share)


def test_manifest_says_what_the_files_hold(dataset_folder, taxonomy):
    manifest = verify_dataset(dataset_folder)
    assert replace(manifest, samples=()) == make_plan(taxonomy)
    assert [r.uncertainty_score for r in manifest.samples] == list(SCORES)
    for r in manifest.samples:
        with Image.open(dataset_folder / r.label) as image:
            ids = list(image.tobytes())
        assert r.class_pixels == tuple(ids.count(i) for i in range(5))
        digest = hashlib.sha256((dataset_folder / r.image).read_bytes()).hexdigest()
        assert r.image_sha256 == digest
    assert not (dataset_folder / ".parts").exists()


def test_verify_lists_every_missing_and_altered_file(dataset_folder):
    (dataset_folder / "images/000001.png").unlink()
    data = bytearray((dataset_folder / "labels/000002.png").read_bytes())
    data[-20] ^= 1
    (dataset_folder / "labels/000002.png").write_bytes(data)
    (dataset_folder / "uncertainty/000003.png").write_bytes(b"")
    with pytest.raises(DatasetError) as caught:
        verify_dataset(dataset_folder)
    assert "missing: images/000001.png;" in str(caught.value)
    assert "altered: labels/000002.png, uncertainty/000003.png." in str(caught.value)


@pytest.mark.parametrize("kind", ["image", "label", "uncertainty"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "resized"])
def test_damaged_files_are_dataset_errors(dataset_folder, kind, damage):
    dataset = read_dataset(dataset_folder)
    path = dataset_folder / getattr(dataset.kept[0], kind)
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-30])
    else:
        with Image.open(path) as image:
            image.crop((0, 0, 4, 4)).save(path)
    with pytest.raises(DatasetError, match=rf"{path.parent.name}/{path.name}"):
        dataset.load(dataset.kept[0])


def test_unfinished_missing_and_newer_datasets(dataset_folder):
    with pytest.raises(DatasetError, match="nowhere does not exist"):
        read_dataset(dataset_folder / "nowhere")
    path = dataset_folder / "manifest.json"
    text = path.read_text()
    path.write_text(json.dumps({**json.loads(text), "format": 2, "news": 1}))
    with pytest.raises(DatasetError, match=r"newer DatasetGAN \(format 2, this one reads 1\)"):
        read_dataset(dataset_folder)
    path.write_text(text[:-40])
    with pytest.raises(ConfigError, match=r"manifest\.json is not valid JSON"):
        read_dataset(dataset_folder)
    path.unlink()
    with pytest.raises(DatasetError, match=r"unfinished\. Run generate again"):
        read_dataset(dataset_folder)


@pytest.mark.parametrize(
    "change",
    [
        {"image": "../secret.png"},
        {"label": "/etc/passwd"},
        {"image": "C:\\secret.png"},
        {"uncertainty_score": float("nan")},
        {"uncertainty": "uncertainty/0.png", "uncertainty_sha256": None},
        {"colour": "red"},
    ],
)
def test_manifests_that_lie_are_refused(dataset_folder, change):
    path = dataset_folder / "manifest.json"
    data = json.loads(path.read_text())
    data["samples"][1].update(change)
    path.write_text(json.dumps(data))
    with pytest.raises(ConfigError, match=r"manifest\.json"):
        read_manifest(dataset_folder)
