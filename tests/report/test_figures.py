"""Plots: two colourings, the same bytes every time, no bin across the cut."""

from io import BytesIO

import matplotlib as mpl
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from datasetgan.downstream.evaluate import score
from datasetgan.report.figures import _edges, plot_scores, plot_shares, plot_uncertainty
from datasetgan.report.shares import ClassShare

scores = st.floats(0, 6, allow_nan=False, width=32)


def opaque_colors(data: bytes) -> np.ndarray:
    pixels = np.asarray(Image.open(BytesIO(data)).convert("RGBA")).reshape(-1, 4)
    assert (pixels[:, 3] == 0).mean() > 0.5  # the page shows through
    return pixels[pixels[:, 3] == 255][:, :3]


def an_evaluation():
    confusion = np.array([[5, 1, 0], [2, 3, 0], [0, 0, 0]])
    return score([confusion], classes=["a", "$b_1$", "c"], names=["photo"])


def test_a_plot_suits_a_light_and_a_dark_page():
    plots = [
        plot_uncertainty([0.1, 0.2, 0.2], [0.4], unit="nats"),
        plot_shares([ClassShare("a", 0.9, 0.95, None), ClassShare("b", 0.1, 0.0, 0.001)]),
        plot_scores(an_evaluation()),
    ]
    for plot in plots:
        size = Image.open(BytesIO(plot.light.data)).size
        assert size == (2 * plot.width, 2 * plot.height) or abs(size[1] - 2 * plot.height) <= 1
        light, dark = opaque_colors(plot.light.data), opaque_colors(plot.dark.data)
        assert light.min(axis=0).sum() < 120
        assert (dark == (231, 233, 236)).all(axis=1).any()  # the ink of a dark page
        assert not (light == (231, 233, 236)).all(axis=1).any()


def test_the_bytes_depend_on_the_scores_alone():
    first = plot_scores(an_evaluation())
    with mpl.rc_context({"xtick.major.size": 20, "legend.fontsize": 20}):
        again = plot_scores(an_evaluation())
    assert again == first
    other = score([np.eye(3, dtype=np.int64)], classes=["a", "$b_1$", "c"], names=["photo"])
    assert plot_scores(other) != first


def test_scores_all_alike_and_shares_of_one_class():
    plot_uncertainty([0.0], [], unit="nats")
    plot_uncertainty([0.3, 0.3], [0.3], unit="nats")
    plot_shares([ClassShare("a", None, 1.0, None), ClassShare("b", None, 0.0, None)])


@given(st.lists(scores, min_size=1), st.lists(scores))
def test_no_bin_holds_kept_and_dropped_images(kept, dropped):
    ranked = sorted([*kept, *dropped])
    kept, dropped = ranked[: len(kept)], ranked[len(kept) :]
    edges = np.array(_edges(kept, dropped))
    assert (np.diff(edges) > 0).all()
    assert len(edges) <= 45
    assert edges[0] <= min(ranked)
    assert edges[-1] >= max(ranked)
    if dropped:
        assert min(dropped) in edges
