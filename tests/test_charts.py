"""Drawings of figures: what they show is what metrics.json says, they take the page's colours, and they can be read aloud."""

import json
import re
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pytest

from skinapp.figures.measured import Metrics
from skinapp.lesions import CODES
from skinapp.network.folders import MODELS
from skinapp.output import charts
from skinapp.page.look import FIGURES_CSS

DRAWINGS = [charts.roc, charts.precision_recall, charts.reliability, charts.operating, charts.corruptions]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    return json.loads((MODELS / "fast" / "metrics.json").read_text(encoding="utf-8"))


def parsed(drawn: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(f'<all xmlns="http://www.w3.org/2000/svg">{drawn}</all>'))


def paths(drawing: ElementTree.Element, colour: str) -> list[np.ndarray]:
    """The points of every line of that colour, in the drawing's own units, y downwards."""
    found = []
    for path in drawing.iter(f"{SVG}path"):
        steps = path.get("d", "")
        if f"stroke: var({colour})" in path.get("style", "") and "C" not in steps:  # round marks are no lines
            numbers = re.findall(r"[-\d.]+", steps)
            found.append(np.array(numbers, float).reshape(-1, 2))
    return found


@pytest.mark.parametrize("draw", DRAWINGS, ids=lambda draw: draw.__name__)
def test_drawings_are_read_aloud_and_take_the_page_s_colours(
    metrics: Metrics, draw: Callable[[Metrics], str]
) -> None:
    drawn = draw(metrics)
    drawings = parsed(drawn)
    assert drawings
    for drawing in drawings:
        assert drawing.get("role") == "img"
        assert len(drawing.get("aria-label", "")) > 40
    assert not re.findall(r"#0[0-9a-f]{5}\b", drawn), "a stand-in colour is left"
    used = set(re.findall(r"var\((--[\w-]+)\)", drawn))
    assert used
    assert all(FIGURES_CSS.count(f"{name}:") == 2 for name in used), "one for light, one for dark"
    assert not re.search(r"<style|<metadata|font:|https?://(?!www\.w3\.org)", drawn)


def test_drawings_share_no_names(metrics: Metrics) -> None:
    names = re.findall(r' id="([^"]+)"', "".join(draw(metrics) for draw in DRAWINGS[:-1]))
    assert len(set(names)) == len(names)


def test_the_roc_curve_is_that_of_the_metrics(metrics: Metrics) -> None:
    (drawing,) = parsed(charts.roc(metrics))
    width, height = (float(x) for x in drawing.get("viewBox", "").split()[2:])
    left, right, top, bottom = charts.MARGINS
    for code in CODES:
        curve = metrics["curves"]["roc"][code]
        x = left + np.array(curve["false_positive_rate"]) * (width - left - right)
        y = height - bottom - np.array(curve["true_positive_rate"]) / 1.01 * (height - top - bottom)
        line = max(paths(drawing, f"--chart-{code}"), key=len)
        for end in (0, -1):
            assert line[end] == pytest.approx((x[end], y[end]), abs=0.1)
        assert all(np.hypot(x - px, y - py).min() < 0.2 for px, py in line), f"{code} strays from its points"
        assert f"{code} {metrics['cross_fitted']['per_class'][code]['auc']:.3f}".replace(
            " 0", " "
        ) in "".join(drawing.itertext())


def test_small_bins_are_not_drawn(metrics: Metrics) -> None:
    for drawing, key in zip(parsed(charts.reliability(metrics)), ("before", "after"), strict=True):
        photos = metrics["curves"]["reliability"][key]["photos"]
        line = max(paths(drawing, "--chart-accent"), key=len)
        assert len(line) == sum(count >= charts.FEWEST for count in photos) < len(photos)


def test_the_mark_lies_where_the_curve_is(metrics: Metrics) -> None:
    (drawing,) = parsed(charts.operating(metrics))
    width = float(drawing.get("viewBox", "").split()[2])
    curve = max((p for p in paths(drawing, "--chart-accent")), key=len)
    asked = metrics["curves"]["operating"]["malignant"]["asked"]
    for end in (0, -1):
        assert charts.operating_place(100 * asked[end]) == pytest.approx(100 * curve[end][0] / width, abs=0.1)


def test_every_corruption_is_drawn(metrics: Metrics) -> None:
    drawings = parsed(charts.corruptions(metrics))
    assert len(drawings) == 15
    told = drawings[0].get("aria-label", "")
    rows = [
        row for row in metrics["corruptions"] if row["corruption"] == metrics["corruptions"][1]["corruption"]
    ]
    for row in rows:
        assert f"{row['balanced_accuracy']:.3f}".lstrip("0") in told
    assert charts.corruptions(metrics | {"corruptions": []}) == ""


def test_a_target_without_stops_leaves_the_other_drawn(metrics: Metrics) -> None:
    curves = metrics["curves"]
    empty = {"photos": 10, "positive": 0} | {
        key: [] for key, column in curves["operating"]["melanoma"].items() if isinstance(column, list)
    }
    drawn = charts.operating({"curves": curves | {"operating": curves["operating"] | {"melanoma": empty}}})
    assert "malignant or premalignant from" in drawn
    assert "--chart-other" not in drawn
