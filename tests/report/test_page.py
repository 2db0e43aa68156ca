"""Whatever a project's texts hold, they are text on the page and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasetgan.downstream.evaluate import score
from datasetgan.project import RunRecord
from datasetgan.report.content import (
    DatasetSummary,
    Facts,
    PaintedSummary,
    PhotoSummary,
    ReportContent,
    ScoreSummary,
    ShownPhoto,
    ShownSample,
)
from datasetgan.report.page import render_page
from datasetgan.taxonomy import ClassTaxonomy
from tests.report.conftest import Page

NASTY = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style></title><svg/onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt; & ]]> --> <!--",
    "\u202egnp.exe\ud800",
]
# No white space or NUL: the parser would not give them back as they were.
texts = st.sampled_from(NASTY) | st.text(
    st.characters(min_codepoint=33, exclude_categories=["Cc", "Z", "Cs"]), min_size=1, max_size=40
)


pytestmark = pytest.mark.usefixtures("quick_plots")


def content_of(text: str) -> ReportContent:
    """A small report that says one text wherever it may say any."""
    taxonomy = ClassTaxonomy.from_names(["background", "cell"])
    image, labels = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)
    sample = ShownSample(text, 1, image, labels, 0.5, np.ones((4, 4), np.float32))
    evaluation = score([np.eye(2, dtype=np.int64)], classes=["background", text], names=[text])
    return ReportContent(
        name=text,
        folder=text,
        taxonomy=taxonomy,
        painted=PaintedSummary(1, 1, (16, 0), (sample,)),
        dataset=DatasetSummary(
            name=text,
            taxonomy=taxonomy,
            height=4,
            width=4,
            score_rule=text,
            drop_fraction=0.5,
            kept_scores=(0.1,),
            dropped_scores=(0.2,),
            class_pixels=(16, 0),
            shown=(sample,),
            ranked=(sample,),
            dropped=(sample,),
            heat_note=text,
        ),
        scores=ScoreSummary(evaluation, (text,)),
        photos=PhotoSummary(
            taxonomy, "trained", (ShownPhoto(text, image, labels, labels, 1.0, 1.0),), (text,)
        ),
        records=(RunRecord("fit", 1.0, {}, {}, {}),),
        provenance=(Facts(text, ((text, text),)),),
    )


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts)
def test_hostile_texts_stay_texts(text):
    # Written and read as the file is: what is no text becomes a question mark.
    source = render_page(content_of(text)).encode("utf-8", "replace").decode("utf-8")
    shown = text.encode("utf-8", "replace").decode("utf-8")
    page, plain = Page(source), Page(render_page(content_of("plain")))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    for (_, attributes), (_, expected) in zip(page.tags, plain.tags, strict=True):
        assert attributes.keys() == expected.keys()
        for name, value in expected.items():
            if name != "alt":
                assert attributes[name] == value
    for section in ("headline", "painted", "samples", "uncertainty", "scores", "photos"):
        assert shown in page.texts[section]
    assert page.texts["provenance"].count(shown) >= 3
    assert page.all("img")[0]["alt"] == f"Generated image {shown}"


def test_commands_quote_the_folder():
    content = replace(content_of("x"), scores=ScoreSummary(None), folder="my cells; rm")
    page = Page(render_page(content))
    assert page.says("datasetgan evaluate 'my cells; rm' --photos", section="scores")


def test_very_little_is_not_nothing():
    content = content_of("x")
    counts = np.array([[9999, 1], [0, 0]])
    evaluation = score([counts], classes=["background", "cell"], names=["a"])
    page = Page(render_page(replace(content, scores=ScoreSummary(evaluation))))
    assert page.says("<0.1", section="scores")


def test_without_heat_maps_there_is_no_scale():
    content = content_of("x")
    dataset = content.dataset
    bare = tuple(replace(sample, uncertainty=None) for sample in dataset.shown)
    without = replace(content, dataset=replace(dataset, ranked=bare, dropped=bare))
    assert Page(render_page(content)).says("nats and more", section="uncertainty")
    page = Page(render_page(without))
    assert not page.says("nats and more", section="uncertainty")
    assert not any(image["alt"].startswith("Uncertainty") for image in page.all("img"))


def test_many_classes_make_a_narrow_matrix():
    names = [f"class {i}" for i in range(34)]
    evaluation = score([np.eye(34, dtype=np.int64)], classes=names, names=["a"])
    content = replace(content_of("x"), scores=ScoreSummary(evaluation))
    page = Page(render_page(content))
    assert "confusion many" in [table.get("class") for table in page.all("table")]
