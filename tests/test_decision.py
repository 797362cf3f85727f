"""Conformal sets and targets, on probabilities whose answer is plain and on random ones."""

import numpy as np
import pytest

from skinapp.decision import SENSITIVITIES, TARGETS, conformal_set, mass_above, target_probability
from skinapp.lesions import CODES

SHARES = np.array([0.05, 0.30, 0.10, 0.00, 0.02, 0.50, 0.03])  # in the order of CODES
RANDOM = np.random.default_rng(0).dirichlet(np.full(7, 0.3), 500)


def test_mass_above_is_what_the_more_probable_classes_hold() -> None:
    expected = [0.90, 0.50, 0.80, 1.00, 0.98, 0.00, 0.95]
    np.testing.assert_allclose(mass_above(SHARES), expected, atol=1e-12)


def test_equally_probable_classes_have_the_same_mass_above() -> None:
    np.testing.assert_array_equal(mass_above(np.full(7, 1 / 7)), np.zeros(7))
    np.testing.assert_allclose(mass_above(np.array([0.4, 0.1, 0.4, 0.1, 0, 0, 0]))[:4], [0, 0.8, 0, 0.8])


@pytest.mark.parametrize(
    "threshold, held",
    [(0.0, ["nv"]), (0.5, ["nv", "bcc"]), (0.89, ["nv", "bcc", "bkl"]), (1.0, list(CODES))],
)
def test_set_of_a_plain_case(threshold: float, held: list[str]) -> None:
    inside = conformal_set(SHARES, np.full(7, threshold + 1e-9))
    assert {code for code, yes in zip(CODES, inside, strict=True) if yes} == set(held)


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.3, 0.9])
def test_no_set_is_empty_and_each_holds_the_top_class(threshold: float) -> None:
    sets = conformal_set(RANDOM, np.full(7, threshold))
    assert sets[np.arange(len(RANDOM)), RANDOM.argmax(1)].all()
    if threshold <= 0:
        np.testing.assert_array_equal(sets.sum(1), 1)


def test_sets_grow_with_the_threshold() -> None:
    sizes = []
    smaller = np.zeros(RANDOM.shape, bool)
    for threshold in (0.0, 0.4, 0.6, 0.8, 0.95, 1.0):
        sets = conformal_set(RANDOM, np.full(7, threshold))
        assert not (smaller & ~sets).any()
        smaller = sets
        sizes.append(sets.sum())
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("code", CODES)
def test_a_class_s_threshold_brings_that_class_and_those_above_it(code: str) -> None:
    thresholds, column = np.full(7, 0.3), CODES.index(code)
    before = conformal_set(RANDOM, thresholds)
    thresholds[column] = 0.9
    after = conformal_set(RANDOM, thresholds)
    assert (after[:, column] & ~before[:, column]).any()
    added = after & ~before
    assert (added <= (RANDOM[:, [column]] <= RANDOM)).all() and (added.any(1) <= added[:, column]).all()


@pytest.mark.parametrize("flagged", [False, True])
def test_sets_have_no_holes_and_a_flagged_one_holds_a_suspicious_class(flagged: bool) -> None:
    thresholds = np.linspace(0, 0.9, 7)
    sets = conformal_set(RANDOM, thresholds, np.full(len(RANDOM), flagged))
    assert (np.where(sets, -np.inf, RANDOM).max(1) < np.where(sets, RANDOM, np.inf).min(1)).all()
    suspicious = [CODES.index(code) for code in TARGETS["malignant"]]
    held = sets[np.arange(len(RANDOM)), np.array(suspicious)[RANDOM[:, suspicious].argmax(1)]]
    assert held.all() == flagged
    assert (sets >= (mass_above(RANDOM) <= thresholds)).all(), "the fitted coverage is a lower bound"


def test_a_set_holds_no_class_below_one_that_it_leaves_out_at_a_common_threshold() -> None:
    sets = conformal_set(RANDOM, np.full(7, 0.7))
    least_held = np.where(sets, RANDOM, np.inf).min(1)
    assert (np.where(sets, -np.inf, RANDOM).max(1) < least_held).all()


def test_targets_are_the_suspicious_classes_and_melanoma() -> None:
    assert {target: set(codes) for target, codes in TARGETS.items()} == {
        "malignant": {"akiec", "bcc", "mel"},
        "melanoma": {"mel"},
    }
    assert sorted(SENSITIVITIES) == list(SENSITIVITIES)


@pytest.mark.parametrize("target, expected", [("malignant", 0.37), ("melanoma", 0.02)])
def test_target_probability_is_the_sum_of_its_classes(target: str, expected: float) -> None:
    assert target_probability(SHARES, target) == pytest.approx(expected)


def test_one_photo_gets_the_same_answer_as_among_many() -> None:
    thresholds = np.linspace(0.2, 0.8, 7)
    many = RANDOM[:24].reshape(4, 6, 7)
    assert mass_above(many).shape == conformal_set(many, thresholds).shape == (4, 6, 7)
    assert target_probability(many, "malignant").shape == (4, 6)
    for place in np.ndindex(4, 6):
        np.testing.assert_array_equal(
            conformal_set(many, thresholds)[place], conformal_set(many[place], thresholds)
        )
        assert target_probability(many, "malignant")[place] == target_probability(many[place], "malignant")
