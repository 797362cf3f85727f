"""Figures of sets and operating points, against cases counted by hand."""

import numpy as np
import pytest

from skinapp.decision import OperatingPoint
from skinapp.figures import evaluation
from skinapp.lesions import CODES
from train.probabilities.decisions import measure_points, measure_sets

AKIEC, BCC, NV, MEL = (CODES.index(code) for code in ("akiec", "bcc", "nv", "mel"))


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "RESAMPLES", 200)


def sets_of(*held: tuple[int, ...]) -> np.ndarray:
    sets = np.zeros((len(held), 7), bool)
    for row, classes in enumerate(held):
        sets[row, list(classes)] = True
    return sets


LABELS = np.array([NV, NV, NV, NV, MEL, MEL])
SETS = sets_of((NV,), (NV,), (NV, MEL), (MEL, BCC, AKIEC), (MEL, NV), (NV,))


def test_sets_counted_by_hand() -> None:
    measured = measure_sets(LABELS, SETS, list("abcdef"))
    assert set(measured) == {"all", "nv", "mel"}, "a class without photos has no figures"
    everything, nevi, melanomas = (measured[name] for name in ("all", "nv", "mel"))
    assert (everything.photos, nevi.photos, melanomas.photos) == (6, 4, 2)
    assert everything.coverage == pytest.approx(4 / 6)
    assert (nevi.coverage, melanomas.coverage) == (0.75, 0.5)
    assert everything.size == pytest.approx(10 / 6)
    assert (nevi.size, melanomas.size) == (7 / 4, 1.5)
    assert (everything.single, nevi.single, melanomas.single) == (0.5, 0.5, 0.5)


def test_interval_is_about_as_wide_as_chance() -> None:
    random = np.random.default_rng(0)
    covered = random.random(400) < 0.9
    sets = np.zeros((400, 7), bool)
    sets[:, NV] = covered
    sets[:, MEL] = True
    figures = measure_sets(np.full(400, NV), sets, [str(i) for i in range(400)])["nv"]
    spread = 1.96 * np.sqrt(0.9 * 0.1 / 400)
    assert figures.interval[0] == pytest.approx(figures.coverage - spread, abs=0.012)
    assert figures.interval[1] == pytest.approx(figures.coverage + spread, abs=0.012)


def test_photos_of_one_lesion_count_together() -> None:
    """Ten photos each of forty lesions say little more than forty photos do."""
    covered = np.repeat(np.random.default_rng(0).random(40) < 0.8, 10)
    sets = np.zeros((400, 7), bool)
    sets[:, NV] = covered
    labels = np.full(400, NV)
    together = measure_sets(labels, sets, [str(i // 10) for i in range(400)])["all"].interval
    apart = measure_sets(labels, sets, [str(i) for i in range(400)])["all"].interval
    assert together[1] - together[0] > 2 * (apart[1] - apart[0])
    alone = measure_sets(labels, sets, ["one"] * 400)["all"]
    assert alone.interval == (alone.coverage, alone.coverage)


POINTS = (OperatingPoint("malignant", 0.9, 0.25), OperatingPoint("melanoma", 0.98, 0.5))
TRUTH = np.array([MEL, MEL, BCC, AKIEC, NV, NV, NV, NV])
FLAGS = np.array(
    [[1, 1], [1, 0], [1, 0], [0, 0], [1, 1], [1, 1], [0, 1], [0, 0]], bool
)  # photos by operating points


def test_operating_points_counted_by_hand() -> None:
    malignant, melanoma = measure_points(TRUTH, FLAGS, list("abcdefgh"), POINTS, True)
    assert (malignant.target, malignant.asked, malignant.threshold) == ("malignant", 0.9, 0.25)
    assert (malignant.photos, malignant.positive) == (8, 4)
    assert (malignant.sensitivity, malignant.specificity) == (0.75, 0.5)
    assert malignant.false_alarms_per_find == pytest.approx(2 / 3)
    assert (melanoma.target, melanoma.asked, melanoma.threshold) == ("melanoma", 0.98, 0.5)
    assert (melanoma.photos, melanoma.positive) == (8, 2)
    assert (melanoma.sensitivity, melanoma.specificity) == (0.5, 0.5)
    assert melanoma.false_alarms_per_find == 3.0


def test_no_threshold_is_named_where_each_half_had_its_own() -> None:
    measured = measure_points(TRUTH, FLAGS, list("abcdefgh"), POINTS, False)
    assert [point.threshold for point in measured] == [None, None]
    fixed = measure_points(TRUTH, FLAGS, list("abcdefgh"), POINTS, True)
    assert [point.sensitivity for point in measured] == [point.sensitivity for point in fixed]


def test_each_interval_is_around_its_own_figure() -> None:
    random = np.random.default_rng(1)
    truth = np.where(random.random(600) < 0.3, MEL, NV)
    flags = (random.random(600) < np.where(truth == MEL, 0.9, 0.3))[:, None]
    (point,) = measure_points(truth, flags, [str(i) for i in range(600)], POINTS[1:], True)
    for figure, width in (("sensitivity", 0.1), ("specificity", 0.1), ("false_alarms_per_find", 0.4)):
        low, high = getattr(point, f"{figure}_interval")
        assert low < getattr(point, figure) < high < low + width * 1.5
        assert high - low > width / 3


def test_perfect_flags() -> None:
    truth = np.array([MEL, MEL, NV, NV, NV] * 8)
    (point,) = measure_points(truth, (truth == MEL)[:, None], [str(i) for i in range(40)], POINTS[1:], True)
    assert (point.sensitivity, point.specificity, point.false_alarms_per_find) == (1, 1, 0)
    assert point.sensitivity_interval == point.specificity_interval == (1, 1)
    assert point.false_alarms_per_find_interval == (0, 0)
