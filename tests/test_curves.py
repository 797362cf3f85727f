"""The curves of metrics.json: areas, counts by hand, and that every figure comes from lesions that did not fit it."""

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, roc_auc_score

from skinapp.decision import TARGETS
from skinapp.figures import evaluation
from skinapp.lesions import CODES
from skinapp.network.configuration import Configuration
from skinapp.network.folders import default_model
from tests.conftest import tiny_configuration
from train.documents import figures
from train.probabilities import calibrate, curves
from train.probabilities.curves import (
    MOST_POINTS,
    operating_curves,
    precision_recall,
    reliability,
    roc,
    target_areas,
    thinned,
)
from train.report import as_text
from train.validation import Photo, Validation

MEL, NV = CODES.index("mel"), CODES.index("nv")


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "RESAMPLES", 100)
    monkeypatch.setattr(calibrate, "SIMULATIONS", 20)
    monkeypatch.setattr(calibrate, "TAUS", calibrate.TAUS[::10])


def scores(photos: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    positive = random.random(photos) < 0.2
    return positive, random.normal(positive * 1.5)


def test_thinned_curves_keep_their_areas() -> None:
    positive, score = scores()
    curve = roc(positive, score)
    x, y = np.array(curve["false_positive_rate"]), np.array(curve["true_positive_rate"])
    assert len(x) == len(y) <= MOST_POINTS
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(y, x) == pytest.approx(roc_auc_score(positive, score), abs=0.002)
    curve = precision_recall(positive, score)
    recall, precision = np.array(curve["recall"]), np.array(curve["precision"])
    assert len(recall) == len(precision) <= MOST_POINTS
    assert (np.diff(recall) >= 0).all()
    assert np.trapezoid(precision, recall) == pytest.approx(
        average_precision_score(positive, score), abs=0.01
    )


def test_a_short_curve_is_kept_whole() -> None:
    assert thinned(np.arange(4.0), np.zeros(4)).tolist() == [0, 1, 2, 3]


def test_reliability_counted_by_hand() -> None:
    shown = np.zeros((8, 7))
    shown[:, NV] = [0.9, 0.9, 0.9, 0.9, 0.6, 0.6, 0.6, 0.6]
    shown[:, MEL] = 1 - shown[:, NV]
    labels = np.array([NV, NV, NV, MEL, NV, NV, MEL, MEL])
    bins = reliability(labels, shown, list("abcdefgh"))
    assert bins["photos"] == [4, 4]
    assert bins["probability"] == [0.6, 0.9]
    assert bins["right"] == [0.5, 0.75]
    assert bins["ece"] == pytest.approx((0.1 + 0.15) / 2)
    assert all(
        low <= right <= high
        for low, right, high in zip(bins["low"], bins["right"], bins["high"], strict=True)
    )


def test_a_bin_that_no_sample_draws_has_no_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "RESAMPLES", 1)
    labels, shown = np.full(30, NV), np.full((30, 7), 0.0)
    shown[:, NV] = np.linspace(0.2, 0.99, 30)
    bins = reliability(labels, shown, [str(i) for i in range(30)])
    assert bins["low"] == bins["high"] == bins["right"] == [1.0] * len(bins["photos"])


def test_the_picture_shows_these_bins_and_intervals(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(figures, "_save", lambda figure, to: drawn.append(figure))
    few = {"photos": [9, 10, 40], "probability": [0.3, 0.5, 0.9], "right": [0.0, 0.4, 0.8], "ece": 0.1234}
    sides = {"before": few | {"low": [0, 0.1, 0.7], "high": [0, 0.6, 0.95]},
             "after": few | {"low": [0, 0.2, 0.75], "high": [0, 0.5, 0.85]}}  # fmt: skip
    figures.reliability(sides, tmp_path / "reliability.png")
    for axes, bins in zip(drawn[0].axes, sides.values(), strict=True):
        (points,) = (each for each in axes.containers if isinstance(each, ErrorbarContainer))
        line, _, (bars,) = points.lines
        assert line.get_xdata().tolist() == bins["probability"][1:], "what nine photos say is chance"
        assert line.get_ydata().tolist() == bins["right"][1:]
        ends = [bar[:, 1].tolist() for bar in bars.get_segments()]
        np.testing.assert_allclose(ends, np.transpose([bins["low"], bins["high"]])[1:])
        assert axes.get_title().endswith("ECE 0.123")


def test_the_areas_of_the_targets() -> None:
    random = np.random.default_rng(1)
    shown = random.dirichlet(np.ones(7), 200)
    labels = random.integers(0, 7, 200)
    areas = target_areas(labels, shown, [str(i) for i in range(200)])
    assert areas["melanoma"]["auc"] == pytest.approx(roc_auc_score(labels == MEL, shown[:, MEL]))
    assert areas["melanoma"]["positive"] == (labels == MEL).sum()
    low, high = areas["melanoma"]["auc_interval"]
    assert low < areas["melanoma"]["auc"] < high
    assert areas["malignant"]["positive"] > areas["melanoma"]["positive"]
    alone = target_areas(np.full(200, NV), shown, [str(i) for i in range(200)])
    assert alone["melanoma"] == {"auc": None, "auc_interval": None, "positive": 0}


def halves(offset: float, positive: int = 60) -> Validation:
    """Two halves whose melanomas have logits that in `report` are lower by `offset`."""
    random, photos, rows = np.random.default_rng(2), [], []
    for part, shift in (("tune", 0.0), ("report", -offset)):
        for number in range(300):
            ill = number < positive
            code = "mel" if ill else CODES[number % 7] if CODES[number % 7] != "mel" else "nv"
            photos.append(Photo(f"{part}{number}", f"{part}{number}", code, part, "", "", "", "", ""))
            row = random.normal(0, 0.3, 7)
            row[CODES.index(code)] += 2
            row[MEL] += random.normal(1.5 * ill, 1) + shift * ill
            rows.append(row)
    return Validation(tuple(photos), np.array(rows))


def operating(validation: Validation) -> dict[str, dict]:
    return operating_curves(calibrate.fit_halves(tiny_configuration("map"), validation), validation)


def test_what_is_asked_is_reached_only_where_the_halves_agree() -> None:
    """Thresholds are taken from the other half: with melanomas harder to see in one, too few of its are found, and the other
    way round in the other; measured on the photos that fitted them, both would reach what was asked."""
    alike = operating(halves(0.0))["melanoma"]
    apart = operating(halves(3.0))["melanoma"]
    at = alike["asked"].index(0.9)
    assert alike["sensitivity"][at] == pytest.approx(0.9, abs=0.06)
    assert abs(apart["sensitivity"][apart["asked"].index(0.9)] - 0.9) > 0.1


def test_a_sensitivity_that_cannot_be_promised_is_left_out() -> None:
    few = operating(halves(0.0, positive=12))["melanoma"]
    assert max(few["asked"]) == 0.92, "twelve lesions promise 12 of 13 at most"
    none = operating(halves(0.0, positive=0))["melanoma"]
    assert none["asked"] == none["sensitivity"] == []


def test_the_shipped_curves_agree_with_the_shipped_tables() -> None:
    folder = default_model()
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    operating = metrics["curves"]["operating"]
    fixed = {(p.target, p.sensitivity): p.threshold for p in Configuration.read(folder).operating_points}
    for row in metrics["operating_points"]["cross_fitted"]:
        curve = operating[row["target"]]
        at = curve["asked"].index(row["asked"])
        assert curve["threshold"][at] == fixed[row["target"], row["asked"]]
        for name in ("sensitivity", "specificity", "false_alarms_per_find"):
            low, high = row[f"{name}_interval"]
            shown = [curve[f"{name}{end}"][at] for end in ("", "_low", "_high")]
            assert shown == pytest.approx([row[name], low, high], abs=6e-5)
    assert set(operating) == set(TARGETS)
    per_class = metrics["cross_fitted"]["per_class"]
    for code, curve in metrics["curves"]["roc"].items():
        area = np.trapezoid(curve["true_positive_rate"], curve["false_positive_rate"])
        assert area == pytest.approx(per_class[code]["auc"], abs=0.003)
    assert metrics["curves"]["reliability"]["after"]["ece"] == pytest.approx(metrics["cross_fitted"]["ece"])
    assert sum(metrics["curves"]["reliability"]["after"]["photos"]) == metrics["cross_fitted"]["n"]
    assert metrics["curves"]["targets"]["melanoma"]["auc"] == pytest.approx(per_class["mel"]["auc"])
    assert all(len(column) <= MOST_POINTS for column in _columns(metrics["curves"]))


def _columns(tree: object) -> list[list[float]]:
    if isinstance(tree, dict):
        return [column for branch in tree.values() for column in _columns(branch)]
    return [tree] if isinstance(tree, list) else []


def test_lists_of_numbers_take_one_line() -> None:
    metrics = {"a": [1, 2.5], "b": {"c": [[1, 2], [3, 4]], "d": ["x", "[1,\n2]"]}, "e": []}
    text = as_text(metrics)
    assert '"a": [1, 2.5]' in text
    assert json.loads(text) == metrics
    with pytest.raises(ValueError, match="not JSON compliant"):
        as_text({"a": float("nan")})


def test_the_slider_s_stops_hold_the_shipped_operating_points() -> None:
    assert {0.9, 0.95, 0.98} <= set(curves.ASKED)
