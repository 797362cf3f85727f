"""Drawings of a model's figures as SVG that stands in the page itself: it takes the page's colours, in light and in dark.

Matplotlib draws with stand-in colours, which become CSS variables (`--chart-...`, see page/look.py) afterwards.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Literal

import numpy as np

from skinapp.decision import TARGETS
from skinapp.figures.measured import Metrics
from skinapp.lesions import BY_CODE, CODES
from skinapp.words import as_share

if TYPE_CHECKING:  # a third of a second that the page's first paint does not wait for
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAND_INS = {
    "#010101": "var(--chart-text)",
    "#020202": "var(--chart-faint)",
    "#030303": "var(--chart-accent)",
    "#040404": "var(--chart-other)",
} | {f"#0500{i:02x}": f"var(--chart-{code})" for i, code in enumerate(CODES)}
TEXT, FAINT, ACCENT, OTHER = list(STAND_INS)[:4]
COLOURS = dict(zip(CODES, list(STAND_INS)[4:], strict=True))
TARGET_NAMES = {"malignant": "malignant or premalignant", "melanoma": "melanoma"}
TARGET_COLOURS = dict(zip(TARGETS, (ACCENT, OTHER), strict=True))
FEWEST = 10  # photos in a bin of the reliability drawing; what fewer say is chance
FONT = 10.5  # points, and CSS pixels where the drawing is shown at its own size
MARGINS = (44, 14, 10, 38)  # left, right, top, bottom: room for numbers and names of the axes


def roc(metrics: Metrics) -> str:
    """One ROC curve a class, each against the rest; dashed for benign classes."""
    drawing, axes = _axes("1 - specificity: others flagged", "sensitivity: lesions found")
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
    areas = []
    for code, curve in metrics["curves"]["roc"].items():
        area = as_share(metrics["cross_fitted"]["per_class"][code]["auc"])
        areas.append(f"{BY_CODE[code].name} {area}")
        _class_line(axes, code, curve["false_positive_rate"], curve["true_positive_rate"], f"{code} {area}")
    _legend(axes, "lower right", "AUC")
    alt = f"ROC curves, one a class. Areas: {', '.join(areas)}. Most curves rise steeply at the left."
    return _svg(drawing, alt)


def precision_recall(metrics: Metrics) -> str:
    """One precision-recall curve a class; dashed for benign classes."""
    drawing, axes = _axes("recall: lesions found", "precision: flagged ones that are right")
    told = []
    for code, curve in metrics["curves"]["precision_recall"].items():
        recall, precision = np.array(curve["recall"]), np.array(curve["precision"])
        best = precision[recall >= 0.8].max()
        told.append(f"{BY_CODE[code].name} {as_share(best)}")
        _class_line(axes, code, recall, precision, code)
    _legend(axes, "lower left", None)
    alt = f"Precision-recall curves, one a class. Precision where four in five lesions are found: {', '.join(told)}."
    return _svg(drawing, alt)


def reliability(metrics: Metrics) -> str:
    """How often the top class is right against its probability, before and after calibration, side by side."""
    return "".join(
        _reliability(metrics["curves"]["reliability"][key], title)
        for key, title in (("before", "Before calibration"), ("after", "After calibration"))
    )


def _reliability(bins: Metrics, title: str) -> str:
    drawing, axes = _axes("probability of the most probable class", "how often it is right", top=24)
    photos, said, right = (np.array(bins[key]) for key in ("photos", "probability", "right"))
    spread = np.abs(np.array([bins["low"], bins["high"]]) - right)
    enough = photos >= FEWEST
    axes.bar(said, photos / photos.sum(), 0.045, color=FAINT, alpha=0.55)
    axes.plot([0, 1], [0, 1], color=TEXT, linewidth=1, linestyle=":")
    axes.errorbar(said[enough], right[enough], spread[:, enough], color=ACCENT, marker="o", markersize=4.5,
                  linewidth=1.8, elinewidth=1.1)  # fmt: skip
    axes.set_title(f"{title}: ECE {as_share(bins['ece'])}", color=TEXT, fontsize=FONT + 1, loc="left")
    points = ", ".join(
        f"{p:.0%} said, {r:.0%} right" for p, r in zip(said[enough], right[enough], strict=True)
    )
    return _svg(drawing, f"{title}, calibration error {as_share(bins['ece'])}: {points}.")


def operating(metrics: Metrics) -> str:
    """Specificity against the sensitivity asked for, with its 95 % band, one line a target.

    The plot's area within the drawing is `OPERATING_AREA`, so that the page can lay a mark over it.
    """
    drawing, axes = _axes("sensitivity asked for, %", "specificity, %", width=OPERATING_SIZE[0])
    axes.set(xlim=OPERATING_RANGE, ylim=(0, 100))
    told = []
    for target, curve in metrics["curves"]["operating"].items():
        if not curve["asked"]:
            continue
        asked, colour = 100 * np.array(curve["asked"]), TARGET_COLOURS[target]
        low, middle, high = (100 * np.array(curve[f"specificity{end}"]) for end in ("_low", "", "_high"))
        axes.fill_between(asked, low, high, color=colour, alpha=0.18, linewidth=0)
        style = "-" if target == "malignant" else "--"
        axes.plot(asked, middle, style, color=colour, linewidth=2, label=TARGET_NAMES[target])
        told.append(f"{TARGET_NAMES[target]} from {middle[0]:.0f} % down to {middle[-1]:.0f} %")
    if told:
        _legend(axes, "lower left", None)
    alt = f"Specificity falls as the sensitivity asked for rises from 50 to 99 %: {', '.join(told) or 'not measured'}."
    return _svg(drawing, alt)


OPERATING_SIZE = (470, 300)
OPERATING_RANGE = (50, 100)


def operating_place(percent: float) -> float:
    """Where in the drawing of `operating` a sensitivity lies, in percent of its width."""
    left, right, _, _ = MARGINS
    width = OPERATING_SIZE[0]
    share = (percent - OPERATING_RANGE[0]) / (OPERATING_RANGE[1] - OPERATING_RANGE[0])
    return 100 * (left + share * (width - left - right)) / width


def corruptions(metrics: Metrics) -> str:
    """Balanced accuracy against strength, one small drawing a corruption, the clean level dotted; empty where not measured."""
    rows = metrics["corruptions"]
    clean = next((row["balanced_accuracy"] for row in rows if row["strength"] == 0), None)
    if clean is None:
        return ""
    drawn = []
    for name in dict.fromkeys(row["corruption"] for row in rows if row["strength"]):
        own = sorted((row["strength"], row["balanced_accuracy"]) for row in rows if row["corruption"] == name)
        strengths, shares = zip((0, clean), *own, strict=True)
        title = name.replace("_", " ").replace("jpeg", "JPEG")
        drawing, axes = _axes("", "", width=196, height=112, margins=(26, 6, 20, 18))
        axes.axhline(clean, color=TEXT, linewidth=1, linestyle=":")
        axes.plot(strengths, shares, color=ACCENT, linewidth=2, marker="o", markersize=3.5)
        axes.set(xlim=(-0.3, 5.3), xticks=range(6), yticks=(0, 0.5, 1), yticklabels=("0", ".5", "1"))
        axes.set_title(title, color=TEXT, fontsize=FONT, loc="left")
        told = ", ".join(as_share(share) for share in shares)
        drawn.append(_svg(drawing, f"{title}: balanced accuracy at strengths 0 to 5: {told}."))
    return "".join(drawn)


def _axes(
    x: str,
    y: str,
    width: int = 420,
    height: int = 300,
    top: int = MARGINS[2],
    margins: tuple[int, int, int, int] = MARGINS,
) -> tuple[Figure, Axes]:
    """An empty drawing of that many points, both axes from 0 to 1."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text, in the page's font
    drawing = Figure(figsize=(width / 72, height / 72))
    left, right, own_top, bottom = margins
    above = max(top, own_top)
    area = (left / width, bottom / height, 1 - (left + right) / width, 1 - (above + bottom) / height)
    axes = drawing.add_axes(area)
    axes.set(xlim=(0, 1), ylim=(0, 1.01))
    axes.set_xlabel(x, color=TEXT, fontsize=FONT)
    axes.set_ylabel(y, color=TEXT, fontsize=FONT)
    axes.tick_params(colors=TEXT, labelsize=FONT - 1, length=3)
    axes.grid(color=FAINT, alpha=0.45, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.patch.set_visible(False)
    drawing.patch.set_visible(False)
    for side, spine in axes.spines.items():
        spine.set_color(FAINT)
        spine.set_visible(side in ("left", "bottom"))
    return drawing, axes


def _class_line(
    axes: Axes, code: str, x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, label: str
) -> None:
    style = "-" if BY_CODE[code].suspicious else (0, (4, 1.5))
    axes.plot(x, y, color=COLOURS[code], linewidth=1.8, linestyle=style, label=label)


def _legend(axes: Axes, place: Literal["lower left", "lower right"], title: str | None) -> None:
    legend = axes.legend(
        loc=place, fontsize=FONT - 1, labelcolor=TEXT, frameon=False, title=title, title_fontsize=FONT - 1
    )
    legend.get_title().set_color(TEXT)


def _svg(drawing: Figure, alt: str) -> str:
    """The drawing as an element of the page, with the page's font and colours; alt: what a reader who cannot see it is told."""
    buffer = io.StringIO()
    drawing.savefig(buffer, format="svg", metadata={"Date": None})
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r'<g id="[^"]*"', "<g", drawn)  # the same names in every drawing of a page
    drawn = re.sub(r"font: (?:\w+ )?([\d.]+)px [^;\"]*", r"font-size: \1px", drawn)
    for stand_in, colour in STAND_INS.items():
        drawn = drawn.replace(stand_in, colour)
    box = re.search(r'viewBox="[^"]*"', drawn)
    assert box
    opening = f'<svg class="chart" role="img" aria-label="{escape(alt)}" {box[0]} xmlns:xlink="http://www.w3.org/1999/xlink">'
    return re.sub(r"<svg[^>]*>", lambda _: opening, drawn, count=1)
