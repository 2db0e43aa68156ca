"""Choices, ranges and shares."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from datasetgan.downstream import load_segmenter
from datasetgan.project import RunRecord
from datasetgan.report.photos import MAX_PHOTOS, collect_photos
from datasetgan.report.provenance import _flat, _versions, ranges
from datasetgan.report.selection import spread
from datasetgan.report.shares import class_shares
from datasetgan.taxonomy import ClassTaxonomy
from tests.report.test_page import content_of


@given(st.integers(0, 200), st.integers(0, 50))
def test_spread_is_even(size, count):
    chosen = spread(range(size), count)
    assert len(chosen) == min(size, count)
    assert chosen == sorted(set(chosen))
    if count > 1 and size > 1:
        assert chosen[0] == 0
        assert chosen[-1] == size - 1
        gaps = {b - a for a, b in pairwise(chosen)}
        assert max(gaps) - min(gaps) <= 1


@given(st.sets(st.integers(0, 60)))
def test_ranges_name_every_seed_once(seeds):
    parts = [part.split("\N{EN DASH}") for part in ranges(seeds).split(", ") if part]
    read = [i for part in parts for i in range(int(part[0]), int(part[-1]) + 1)]
    assert read == sorted(seeds)
    starts = {int(part[0]) for part in parts}
    assert all(start - 1 not in seeds for start in starts)


def test_settings_become_rows():
    values = {"first_seed": 3, "nested": {"on": True, "sizes": [1, 2.5]}, "name": "x"}
    assert _flat(values) == [
        ("first seed", "3"),
        ("nested.on", "yes"),
        ("nested.sizes", "1, 2.5"),
        ("name", "x"),
    ]


def test_versions_that_differ_name_their_stages():
    fit = RunRecord("fit", 1.0, {"torch": "2.1", "python": "3.11"}, {}, {})
    train = replace(fit, stage="train", versions={"torch": "2.2", "python": "3.11"})
    assert _versions([fit, train]).rows == (
        ("torch", "2.1 (fit)"),
        ("python", "3.11"),
        ("torch", "2.2 (train)"),
    )
    assert _versions([]).rows == (("Records", "none were kept"),)


def test_shares_go_by_name():
    # The dataset was made before a class was renamed.
    content = content_of("cell")
    old = ClassTaxonomy.from_names(["background", "blob"])
    dataset = replace(content.dataset, taxonomy=old, class_pixels=(3, 1))
    painted = replace(content.painted, class_pixels=(0, 0))
    shares = class_shares(replace(content, dataset=dataset, painted=painted))
    assert [(s.name, s.painted, s.generated, s.real) for s in shares] == [
        ("background", None, 0.75, 0.5),
        ("cell", None, None, 0.5),
        ("blob", None, 0.25, None),
    ]


def test_photos_are_shown_with_their_own_truth_and_prediction(cells, pairs):
    segmenter = load_segmenter(cells.layout.segmenter)
    summary = collect_photos(
        segmenter, pairs, taxonomy=cells.taxonomy, evaluation=None, on_photo=lambda: None
    )
    for shown, pair in zip(summary.shown, pairs, strict=True):
        photo, truth = np.array(Image.open(pair.photo)), np.array(Image.open(pair.mask))
        prediction = segmenter.predict(photo)
        np.testing.assert_array_equal(shown.photo, photo)
        np.testing.assert_array_equal(shown.truth, truth)
        np.testing.assert_array_equal(shown.prediction, prediction)
        right = (prediction == truth)[truth != 255]
        assert shown.pixel_accuracy == pytest.approx(right.mean())


def test_at_most_so_many_photos_are_shown(cells, pairs):
    many = [replace(pairs[0], name=f"{i:02d}") for i in range(MAX_PHOTOS + 15)]
    done: list[int] = []
    summary = collect_photos(
        load_segmenter(cells.layout.segmenter),
        many,
        taxonomy=cells.taxonomy,
        evaluation=None,
        on_photo=lambda: done.append(1),
    )
    assert len(summary.shown) == len(done) == MAX_PHOTOS
    assert summary.shown[-1].name == "34"
    assert summary.notes == ("20 of 35 photos, evenly spaced in the order of names.",)
