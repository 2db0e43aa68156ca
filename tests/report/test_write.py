"""The page that `write_report` writes: whole, true, alone."""

import errno
import json
import os
import re
import shutil
from base64 import b64decode
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from datasetgan.checkpoints.native import WeightCard
from datasetgan.dataset import read_dataset
from datasetgan.downstream import Evaluation
from datasetgan.errors import DatasetError, ProjectError, StorageError, UsageError
from datasetgan.project import Project
from datasetgan.report import ReportProgress, write_report
from datasetgan.report.uncertainty_maps import uncertainty_maps
from datasetgan.runtime import Runtime
from datasetgan.serialization import read_json, write_json
from tests.report.conftest import random_interpreter, read_page, save_segmenter

DASH = "\N{EN DASH}"
SECTIONS = [
    "headline",
    "painted",
    "samples",
    "uncertainty",
    "classes",
    "scores",
    "photos",
    "timing",
    "provenance",
]


def rows_of(source: str, section: str) -> list[list[str]]:
    """The text of every table row within a section."""
    body = source.split(f'<section id="{section}"')[1].split("</section>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
    return [[re.sub(r"<[^>]+>", "", cell).strip() for cell in row] for row in cells]


def per_cent(value: float | None) -> str:
    if value is None:
        return DASH
    return "0" if value == 0 else f"{100 * value:.1f}"


def test_a_whole_project_fills_every_section(cells, pairs):
    page = read_page(write_report(cells, pairs=pairs))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for section in SECTIONS:
        assert section in ids
    assert [a["href"] for a in page.all("a")] == [f"#{section}" for section in SECTIONS[1:]]
    assert "note" not in [attributes.get("class") for _, attributes in page.tags]
    # 3 painted and 24 generated ones with overlays, 6 + 6 with heat maps, 3 photos, 3 plots
    assert len(page.all("img")) == (3 + 24) * 2 + (6 + 6) * 3 + 3 * 4 + 3
    assert page.says("3 of 4 generated images", section="painted")
    assert page.says("the 20 % of images", section="uncertainty")  # as it was trained


def test_the_page_stands_alone(cells, pairs):
    path = write_report(cells, pairs=pairs)
    page = read_page(path)
    for tag, attributes in page.tags:
        assert tag not in {"script", "link", "iframe", "object", "base", "form"}
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "srcset", "href", "action", "poster"):
            value = attributes.get(name, "#")
            assert value.startswith("#") or re.fullmatch(
                r"data:image/(png|jpeg);base64,[A-Za-z0-9+/]+=*", value
            )
        assert "url(" not in attributes.get("style", "")
    source = path.read_text("utf-8")
    style = source.split("<style>")[1].split("</style>")[0]
    assert "prefers-color-scheme: dark" in style
    assert "url(" not in style
    assert "@import" not in style
    (policy,) = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    assert policy.startswith("default-src 'none'; img-src data:")
    assert str(cells.folder) not in source
    assert str(pairs[0].photo.parent) not in source


def test_the_page_can_be_read_aloud(cells, pairs):
    page = read_page(write_report(cells, pairs=pairs))
    for image in page.all("img"):
        assert image["alt"].strip()
        picture = Image.open(BytesIO(b64decode(image["src"].split(",")[1])))
        if "class" in image:  # plots are shown at half their pixels
            assert picture.size == (int(image["width"]), int(image["height"]))
    assert all(header.get("scope") in ("row", "col") for header in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table")) == 4
    assert page.all("html")[0]["lang"] == "en"
    assert any(meta.get("name") == "viewport" for meta in page.all("meta"))
    assert "the labels" not in page.all("img")[1]["alt"]
    assert page.all("img")[1]["alt"].startswith("Painted labels of sample-0000: background, red")


@pytest.mark.usefixtures("quick_plots")
def test_scores_are_those_of_the_evaluation(cells, pairs):
    evaluation = read_json(cells.layout.evaluation, Evaluation)
    # A class that occurs nowhere, as a user might have it.
    evaluation = replace(
        evaluation,
        iou=(*evaluation.iou[:4], None),
        f1=(*evaluation.f1[:4], None),
        mean_iou_absent_zero=evaluation.mean_iou * 0.8,
    )
    write_json(cells.layout.evaluation, evaluation)
    path = write_report(cells, pairs=pairs)
    page, rows = read_page(path), rows_of(path.read_text("utf-8"), "scores")
    assert page.texts["mean-iou"] == per_cent(evaluation.mean_iou) + "%"
    assert page.says("mean IoU on 3 real photos", section="headline")
    for i, name in enumerate(evaluation.classes):
        assert [name, per_cent(evaluation.iou[i]), per_cent(evaluation.f1[i])] in rows
    assert ["Mean IoU", per_cent(evaluation.mean_iou), ""] in rows
    absent = per_cent(evaluation.mean_iou_absent_zero)
    assert ["Mean IoU, absent classes as 0", absent, ""] in rows
    assert ["Pixel accuracy", per_cent(evaluation.pixel_accuracy), ""] in rows
    confusion = np.array(evaluation.confusion, dtype=float)
    for i, name in enumerate(evaluation.classes[:4]):
        shares = confusion[i] / confusion[i].sum()
        assert [name, *map(per_cent, shares)] in rows
    assert ["platelet", *[DASH] * 5] in rows  # nobody painted it: there is nothing to divide by
    for photo in evaluation.photos:  # predicted again, they score as they did
        text = (
            f"{photo.name}pixels {per_cent(photo.pixel_accuracy)} %, "
            f"mean IoU {per_cent(photo.mean_iou)} %"
        )
        assert page.says(text, section="photos")


@pytest.mark.usefixtures("quick_plots")
def test_shares_are_counted_anew(cells, pairs):
    path = write_report(cells, drop_fraction=0.1, pairs=pairs)
    rows = rows_of(path.read_text("utf-8"), "classes")
    painted = [np.asarray(Image.open(p)) for p in sorted(cells.layout.labels.glob("*.png"))]
    dataset = read_dataset(cells.layout.dataset("default"), drop_fraction=0.1)
    generated = [dataset.load(record).label_map for record in dataset.kept]
    real = [np.asarray(Image.open(pair.mask)) for pair in pairs]
    for id_, name in enumerate(cells.taxonomy.names):
        shares = []
        for maps in (painted, generated, real):
            labelled = np.concatenate([m[m != 255] for m in maps])
            shares.append(per_cent((labelled == id_).mean()))
        assert [name, *shares] in rows


@pytest.mark.usefixtures("quick_plots")
def test_what_is_missing_is_said(bare):
    page = read_page(write_report(bare))
    assert page.says("Not scored yet", section="headline")
    assert page.says("No painted label map", section="painted")
    assert page.says("datasetgan import-labels bare MASKS", section="painted")
    assert page.says("Not evaluated yet", section="scores")
    assert page.says("datasetgan evaluate bare --photos PHOTOS", section="scores")
    assert page.says("not known before an evaluation", section="classes")
    assert page.says("No segmenter is trained yet: datasetgan train bare", section="photos")
    assert page.says("No record of a run", section="timing")
    assert page.says("none is trained yet", section="provenance")
    assert page.says("none are drawn yet", section="provenance")


@pytest.mark.usefixtures("quick_plots")
def test_photos_that_nobody_named_are_asked_for(cells):
    page = read_page(write_report(cells))
    assert page.says("datasetgan report cells --photos PHOTOS --masks MASKS", section="photos")


@pytest.mark.usefixtures("quick_plots")
def test_other_photos_than_the_evaluated_ones_are_said_to_be_others(cells, pairs):
    page = read_page(write_report(cells, pairs=pairs[:2]))
    assert page.says("not exactly those that the scores", section="photos")


def test_the_same_project_gives_the_same_bytes_wherever_it_lies(cells, pairs, tmp_path):
    first = write_report(cells, pairs=pairs).read_bytes()
    # A record of the report itself holds the seconds of the page before.
    record = json.loads(cells.layout.record("train").read_text("utf-8"))
    cells.layout.record("report").write_text(json.dumps({**record, "stage": "report"}), "utf-8")
    moved = Project.open(shutil.copytree(cells.folder, tmp_path / "elsewhere" / "cells"))
    assert write_report(moved, pairs=pairs).read_bytes() == first


@pytest.mark.parametrize("name", ["default", "maps"])
def test_heat_maps_are_those_of_the_dataset(cells, name):
    stored = read_dataset(cells.layout.dataset("maps"))
    dataset = read_dataset(cells.layout.dataset(name))
    found = uncertainty_maps(
        cells,
        dataset,
        dataset.kept[:3],
        interpreter=random_interpreter(cells),
        runtime=Runtime(),
    )
    assert found.note is None
    for record in dataset.kept[:3]:
        same = next(r for r in stored.manifest.samples if r.seed == record.seed)
        expected = stored.load(same).uncertainty
        assert expected is not None
        assert expected.max() > 0.01
        np.testing.assert_allclose(found.maps[record.key], expected, atol=2e-4)


@pytest.mark.usefixtures("quick_plots")
def test_heat_maps_of_another_interpreter_are_not_shown(cells, pairs):
    other = random_interpreter(cells, seed=6)
    other.save(cells.layout.interpreter, card=WeightCard(title="other"))
    page = read_page(write_report(cells, pairs=pairs))
    assert page.says("no longer the one that made it", section="uncertainty")
    assert not [image for image in page.all("img") if image["alt"].startswith("Uncertainty of")]
    cells.layout.interpreter.unlink()
    page = read_page(write_report(cells, pairs=pairs))
    assert page.says(
        "the interpreter that could make the maps again is missing", section="uncertainty"
    )
    assert page.says("none is fitted, or it was removed", section="provenance")


@pytest.mark.usefixtures("quick_plots")
def test_scores_of_an_earlier_segmenter_are_said_to_be_old(cells):
    assert not read_page(write_report(cells)).says("trained again", section="scores")
    save_segmenter(cells, seed=1)
    assert read_page(write_report(cells)).says("trained again", section="scores")
    page = read_page(write_report(cells, dataset="maps"))
    assert page.says("trained on another dataset", section="scores")
    cells.layout.segmenter.unlink()
    page = read_page(write_report(cells))
    assert page.says("no longer in the project", section="scores")


@pytest.mark.usefixtures("quick_plots")
def test_records_digests_and_seeds_are_listed(cells, pairs):
    path = write_report(cells, pairs=pairs)
    page, rows = read_page(path), rows_of(path.read_text("utf-8"), "timing")
    record = json.loads(cells.layout.record("train").read_text("utf-8"))
    memory = f"{record['peak_memory_mb']:,.0f}"
    assert ["train", f"{record['seconds']:.1f}", memory, ""] in rows
    for text in (
        cells.settings.generator_sha256,
        random_interpreter(cells).digest,
        f"1000000{DASH}1000029",
        f"0{DASH}3",
        record["versions"]["torch"],
        "https://example.org/a?b&c",  # as text, not as a link
        "drop fraction",
        "augmentation.rotation",
    ):
        assert page.says(text, section="provenance"), text


@pytest.mark.usefixtures("quick_plots")
def test_nothing_left_out_is_said(cells):
    page = read_page(write_report(cells, drop_fraction=0.03))
    assert page.says("No image is left out: 0.03 of 30 images", section="uncertainty")


@pytest.mark.usefixtures("quick_plots")
def test_progress_ends_at_its_total(cells, pairs):
    seen: list[ReportProgress] = []
    write_report(cells, pairs=pairs, on_progress=seen.append)
    assert [progress.done for progress in seen] == [1, 2, 3, 4, 5]
    assert {progress.total for progress in seen} == {5}


@pytest.mark.usefixtures("quick_plots")
def test_a_name_that_is_no_text_shows_as_question_marks(cells, pairs):
    page = read_page(write_report(cells, pairs=[replace(pairs[0], name="a\udcff.b")]))
    assert page.says("a?.b", section="photos")


def test_no_dataset(cells):
    with pytest.raises(ProjectError, match=r"no dataset 'other'.*datasetgan generate"):
        write_report(cells, dataset="other")
    assert not cells.layout.report.exists()


def test_an_unfinished_dataset(cells):
    (cells.layout.dataset("default") / "manifest.json").unlink()
    with pytest.raises(DatasetError, match="unfinished"):
        write_report(cells)


def test_a_manifest_without_samples(cells):
    path = cells.layout.dataset("default") / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "samples": []}), "utf-8")
    with pytest.raises(DatasetError, match="lists no samples"):
        write_report(cells)


def test_a_share_out_of_range(cells):
    with pytest.raises(UsageError, match="drop_fraction"):
        write_report(cells, drop_fraction=1.0)


def test_a_full_disk_leaves_the_page_before(cells, monkeypatch):
    cells.layout.report.write_text("before", "utf-8")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="disk is full"):
        write_report(cells)
    assert cells.layout.report.read_text("utf-8") == "before"
    assert not list(cells.folder.glob(".*.partial"))
