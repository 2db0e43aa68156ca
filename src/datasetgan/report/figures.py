"""The plots of the page, each drawn for a light and for a dark page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from math import ceil, floor, nan

import matplotlib as mpl
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from datasetgan.downstream import Evaluation
from datasetgan.report.pictures import Picture
from datasetgan.report.shares import ClassShare

__all__ = ["Plot", "plot_scores", "plot_shares", "plot_uncertainty"]

_INCH = 96  # CSS pixels
_DPI = 2 * _INCH  # sharp on screens with two pixels per CSS pixel
_WIDTH = 4.6
_BINS = 40


@dataclass(frozen=True)
class Plot:
    """A plot in two colourings, on a transparent ground.

    Attributes:
        light: for a light page.
        dark: for a dark page.
        width: at which it is meant to be shown, CSS pixels.
        height: likewise.
    """

    light: Picture
    dark: Picture
    width: int
    height: int


@dataclass(frozen=True)
class _Colors:
    ink: str
    muted: str
    grid: str
    first: str
    second: str
    third: str


# The colours of the style sheet.
_LIGHT = _Colors("#1b1f24", "#59616b", "#e4e6e9", "#2456c9", "#c2410c", "#64748b")
_DARK = _Colors("#e7e9ec", "#a3abb5", "#2b3038", "#86a8ff", "#ff9b66", "#a3abb5")


def _plot(draw: Callable[[Axes, _Colors], None], *, height: float) -> Plot:
    return Plot(
        light=_render(draw, _LIGHT, height=height),
        dark=_render(draw, _DARK, height=height),
        width=round(_WIDTH * _INCH),
        height=round(height * _INCH),
    )


def _render(draw: Callable[[Axes, _Colors], None], colors: _Colors, *, height: float) -> Picture:
    style = {
        "font.size": 8.5,
        "text.color": colors.ink,
        "axes.facecolor": "none",
        "axes.labelcolor": colors.muted,
        "axes.edgecolor": colors.grid,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "grid.color": colors.grid,
        "grid.linewidth": 0.8,
        "xtick.color": colors.grid,
        "ytick.color": colors.grid,
        "xtick.labelcolor": colors.muted,
        "ytick.labelcolor": colors.ink,
        "legend.frameon": False,
    }
    # A user's own matplotlibrc must not change the page.
    with mpl.style.context(style, after_reset=True):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        canvas = FigureCanvasAgg(figure)
        draw(figure.add_subplot(), colors)
        buffer = BytesIO()
        # Without matplotlib's name and version, which it writes by default.
        canvas.print_figure(
            buffer, dpi=_DPI, format="png", facecolor="none", metadata={"Software": None}
        )
    return Picture(buffer.getvalue(), "image/png", round(_WIDTH * _DPI), round(height * _DPI))


def plot_uncertainty(kept: Sequence[float], dropped: Sequence[float], *, unit: str) -> Plot:
    """Draw a histogram of image scores, those left out in a second colour, and the cut.

    Args:
        kept: at least one score.
        dropped: scores of the images left out; perhaps none.
        unit: of a score, for the axis.
    """

    def draw(axes: Axes, colors: _Colors) -> None:
        axes.hist(
            [list(kept), list(dropped)],
            bins=_edges(kept, dropped),
            stacked=True,
            color=[colors.first, colors.second],
            label=[f"kept ({len(kept):,})", f"left out ({len(dropped):,})"],
        )
        if dropped:
            axes.axvline(min(dropped), color=colors.ink, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlabel(f"uncertainty of an image ({unit})")
        axes.set_ylabel("images")
        axes.tick_params(axis="y", labelcolor=colors.muted, length=0)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y")
        axes.spines["left"].set_visible(False)
        axes.legend(loc="upper right")

    return _plot(draw, height=2.6)


def _edges(kept: Sequence[float], dropped: Sequence[float]) -> list[float]:
    """Return the edges of some 40 bins, the cut one of them: no bin is of both kinds."""
    low, high = min(kept), max([*kept, *dropped])
    # Scores that are all alike still need a bin of some width.
    step = max(high - low, 1e-6 * max(abs(high), 1.0)) / _BINS
    cut = min(dropped) if dropped else low
    below, above = ceil((cut - low) / step), floor((high - cut) / step) + 1
    edges = [cut + i * step for i in range(-below, above + 1)]
    # Rounding must not push the outermost score beyond the outermost edge.
    return [min(edges[0], low), *edges[1:-1], max(edges[-1], high)]


def plot_shares(shares: Sequence[ClassShare]) -> Plot:
    """Draw each class's share as one mark per source on a logarithmic axis.

    Shares of classes differ by factors of hundreds, which bars would hide.
    """
    sources = [
        ("painted", [share.painted for share in shares], "o"),
        ("generated", [share.generated for share in shares], "s"),
        ("real photos", [share.real for share in shares], "D"),
    ]
    present = [v for _, values, _ in sources for v in values if v]

    def draw(axes: Axes, colors: _Colors) -> None:
        rows = range(len(shares))
        axes.hlines(rows, min(present) / 1.6, 1.3, color=colors.grid, linewidth=0.8)
        tints = (colors.second, colors.first, colors.ink)
        lanes = (-0.2, 0.0, 0.2)  # so that equal shares do not hide each other
        for (name, values, marker), tint, lane in zip(sources, tints, lanes, strict=True):
            points = [(v, row + lane) for row, v in zip(rows, values, strict=True) if v]
            if points:
                axes.plot(*zip(*points, strict=True), marker, color=tint, label=name, markersize=5)
        axes.set_xscale("log")
        axes.set_xlim(min(present) / 1.6, 1.3)
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
        axes.xaxis.set_minor_locator(NullLocator())
        _name_rows(axes, [share.name for share in shares])
        axes.set_xlabel("share of pixels (logarithmic)")
        axes.grid(axis="x")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, handletextpad=0.2)

    return _plot(draw, height=1.05 + 0.27 * len(shares))


def plot_scores(evaluation: Evaluation) -> Plot:
    """Draw IoU as a bar and F1 as a mark per class, and the mean IoU as a line."""

    def draw(axes: Axes, colors: _Colors) -> None:
        rows = range(len(evaluation.classes))
        ious = [100 * (value or 0) for value in evaluation.iou]
        bars = axes.barh(rows, ious, height=0.55, color=colors.first)
        # NaN draws no mark.
        f1s = [nan if value is None else 100 * value for value in evaluation.f1]
        (marks,) = axes.plot(f1s, rows, "D", color=colors.second, markersize=5, clip_on=False)
        for row, value in zip(rows, evaluation.iou, strict=True):
            if value is None:
                axes.text(1, row, "undefined", va="center", color=colors.muted)
        mean = 100 * evaluation.mean_iou
        line = axes.axvline(mean, color=colors.ink, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlim(0, 100)
        axes.set_xlabel("per cent")
        _name_rows(axes, evaluation.classes)
        axes.grid(axis="x")
        axes.legend(
            [bars, marks, line],
            ["IoU", "F1", "mean IoU"],
            loc="lower center",
            bbox_to_anchor=(0.5, 1),
            ncols=3,
            handletextpad=0.5,
        )

    return _plot(draw, height=1.05 + 0.27 * len(evaluation.classes))


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Write one name per row, the first on top."""
    # A name is no formula, whatever dollar signs it holds.
    axes.set_yticks(range(len(names)), list(names), parse_math=False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
