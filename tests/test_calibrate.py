"""Temperature, tau, sets and operating points on problems whose right answer is known, and who has a say in them."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, log_loss

from skinapp.decision import CAUTION, SENSITIVITIES, TARGETS, conformal_set, mass_above, target_probability
from skinapp.figures.evaluation import expected_calibration_error
from skinapp.lesions import CODES
from skinapp.network.configuration import Configuration, probabilities
from skinapp.photo.preprocess import to_pixels
from tests.conftest import tiny_configuration
from train.dataset import Dataset, load_dataset, split_lesions
from train.probabilities.calibrate import (
    COVERAGE,
    Answers,
    Calibration,
    answers,
    at_tau,
    calibrate,
    calibrate_model,
    cross_fitted,
    error_by_chance,
    fit_configuration,
    fit_halves,
    fit_operating_points,
    fit_sets,
    fit_temperature,
)
from train.validation import Photo, Validation, read_validation, write_validation

PRIOR = np.array([0.03, 0.05, 0.11, 0.01, 0.11, 0.67, 0.02])  # much as in HAM10000
EVEN = np.full(7, 1 / 7)


def problem(
    number: int, prior: np.ndarray, sharpened: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and the logits of a network that knows each one's true probability, but is too sure by a factor.

    Photos are points around one corner a class, of which Bayes' rule gives the exact probabilities.
    """
    random = np.random.default_rng(seed)
    labels = random.choice(7, number, p=prior)
    points = 1.6 * np.eye(7)[labels] + random.normal(0, 1, (number, 7))
    logits = 1.6 * points + np.log(prior)
    return labels, (logits * sharpened).astype(np.float32)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("prior", [EVEN, PRIOR], ids=["even", "uneven"])
def test_temperature_undoes_a_known_sharpening(factor: float, prior: np.ndarray) -> None:
    labels, logits = problem(4000, prior, factor)
    assert fit_temperature(labels, logits, 0.0, prior) == pytest.approx(factor, rel=0.1)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
def test_temperature_has_the_least_log_loss(tau: float) -> None:
    labels, logits = problem(1000, PRIOR, 2.0)

    def loss(temperature: float) -> float:
        return float(log_loss(labels, probabilities(logits, temperature, tau, PRIOR), labels=range(7)))

    fitted = fit_temperature(labels, logits, tau, PRIOR)
    assert loss(fitted) <= min(loss(fitted * 0.97), loss(fitted * 1.03))


def test_tau_raises_balanced_accuracy_where_classes_are_uneven() -> None:
    labels, logits = problem(4000, PRIOR)
    scores = [
        balanced_accuracy_score(labels, probabilities(logits, 1.0, t, PRIOR).argmax(1))
        for t in (0.0, 0.5, 1.0)
    ]
    assert scores[0] + 0.05 < scores[1] and scores[1] + 0.02 < scores[2]


@pytest.mark.parametrize("seed", range(2))
def test_chosen_calibration_is_good_and_sensitive(seed: int) -> None:
    labels, logits = problem(700, PRIOR, 2.0, seed)
    chosen = calibrate(labels, logits, PRIOR)
    shown = probabilities(logits, chosen.temperature, chosen.tau, PRIOR)
    plain = probabilities(logits, fit_temperature(labels, logits, 0.0, PRIOR), 0.0, PRIOR)
    assert expected_calibration_error(labels, shown) <= error_by_chance(shown)
    assert chosen.tau > 0
    assert balanced_accuracy_score(labels, shown.argmax(1)) > balanced_accuracy_score(labels, plain.argmax(1))


def test_equally_frequent_classes_need_no_correction() -> None:
    labels, logits = problem(500, EVEN)
    assert calibrate(labels, logits, EVEN).tau == 0


def test_hopeless_logits_still_get_the_calibration_nearest_to_chance() -> None:
    labels, logits = problem(400, EVEN, 2.0)
    chosen = calibrate((labels + 1) % 7, logits, EVEN)  # always sure, always wrong
    assert chosen == Calibration(fit_temperature((labels + 1) % 7, logits, chosen.tau, EVEN), chosen.tau)
    assert chosen.temperature > 5


def test_error_by_chance_is_passed_by_one_in_twenty() -> None:
    shown = probabilities(problem(300, PRIOR)[1], 1.0, 0.0, PRIOR)
    random, limit = np.random.default_rng(5), error_by_chance(shown)
    above = 0
    for _ in range(400):
        labels = (
            (random.random((300, 1)) > shown.cumsum(1)).sum(1).clip(0, 6)
        )  # drawn with these probabilities
        above += expected_calibration_error(labels, shown) > limit
    assert 4 <= above <= 40


def test_error_by_chance_falls_with_more_photos() -> None:
    shown = probabilities(problem(3000, PRIOR)[1], 1.0, 0.0, PRIOR)
    assert error_by_chance(shown) < 0.6 * error_by_chance(shown[:300])


def shown_problem(number: int, seed: int, prior: np.ndarray = PRIOR) -> tuple[np.ndarray, np.ndarray]:
    """Labels and the exact probabilities."""
    labels, logits = problem(number, prior, 1.0, seed)
    return labels, probabilities(logits, 1.0, 0.0, prior)


def covered(labels: np.ndarray, shown: np.ndarray, thresholds: tuple[float, ...]) -> np.ndarray:
    """Whether each photo's set holds its class: bool (N,)."""
    return conformal_set(shown, np.array(thresholds))[np.arange(len(labels)), labels]


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_sets_hold_the_class_of_enough_of_the_photos_they_are_fitted_to(coverage: float) -> None:
    labels, shown = shown_problem(3000, 0)
    inside = covered(labels, shown, fit_sets(labels, shown, coverage))
    for index in range(7):
        own = inside[labels == index]
        assert own.sum() >= np.ceil(coverage * (len(own) + 1) - 1e-9), CODES[index]


def test_sets_hold_the_class_of_fresh_photos_of_every_class() -> None:
    fresh = shown_problem(20_000, 1000)
    rates, sizes = [], []
    for seed in range(12):
        thresholds = fit_sets(*shown_problem(1500, seed))
        inside = covered(*fresh, thresholds)
        rates.append([inside[fresh[0] == index].mean() for index in range(7)])
        sizes.append(conformal_set(fresh[1], np.array(thresholds)).sum(1).mean())
    assert np.mean(rates, axis=0).min() > COVERAGE - 0.015
    assert np.mean(sizes) < 3.5, "sets of nearly all classes would cover, too"


def test_threshold_of_a_class_is_the_tightest_that_covers_enough() -> None:
    labels, shown = shown_problem(3000, 2)
    thresholds = np.array(fit_sets(labels, shown))
    score = mass_above(shown)[np.arange(len(labels)), labels]
    for index in range(7):
        own = score[labels == index]
        needed = np.ceil(COVERAGE * (len(own) + 1) - 1e-9)
        assert (own <= thresholds[index] - 2e-4).sum() < needed or thresholds[index] == 0


def test_too_few_photos_of_a_class_take_the_threshold_of_all() -> None:
    labels, shown = shown_problem(2000, 3, EVEN)
    few = np.flatnonzero((labels != 3) | (np.cumsum(labels == 3) <= 8))
    nine = np.flatnonzero((labels != 3) | (np.cumsum(labels == 3) <= 9))
    score = mass_above(shown)[np.arange(len(labels)), labels]
    rank = int(np.ceil(COVERAGE * (len(few) + 1)))
    assert fit_sets(labels[few], shown[few])[3] == pytest.approx(np.sort(score[few])[rank - 1], abs=1e-4)
    assert fit_sets(labels[nine], shown[nine])[3] == pytest.approx(
        score[nine][labels[nine] == 3].max(), abs=1e-4
    )


def test_hardly_any_photos_leave_every_class_in_the_set() -> None:
    labels, shown = shown_problem(5, 0, EVEN)
    assert fit_sets(labels, shown) == (1.0,) * 7


def positive(labels: np.ndarray, target: str) -> np.ndarray:
    return np.isin(np.array(CODES)[labels], TARGETS[target])


@pytest.mark.parametrize("seed", range(3))
def test_operating_points_reach_their_sensitivity_where_they_are_fitted(seed: int) -> None:
    labels, shown = shown_problem(1500, seed)
    points = fit_operating_points(labels, shown)
    assert [(p.target, p.sensitivity) for p in points] == [(t, s) for t in TARGETS for s in SENSITIVITIES]
    for point in points:
        own = target_probability(shown, point.target)[positive(labels, point.target)]
        needed = np.ceil(point.sensitivity * (len(own) + 1) - 1e-9)
        assert (own >= point.threshold).sum() >= needed
        assert (own >= point.threshold + 2e-5).sum() < needed, "a higher threshold would do"


def test_operating_points_reach_their_sensitivity_on_fresh_photos() -> None:
    labels, shown = shown_problem(60_000, 1000)
    reached: dict[tuple[str, float], list[float]] = {}
    for seed in range(40):
        for point in fit_operating_points(*shown_problem(1500, seed)):
            own = target_probability(shown, point.target)[positive(labels, point.target)]
            reached.setdefault((point.target, point.sensitivity), []).append(
                float((own >= point.threshold).mean())
            )
    for (target, sensitivity), rates in reached.items():
        assert np.mean(rates) == pytest.approx(sensitivity, abs=0.015), target


def test_thresholds_fall_as_the_sensitivity_grows() -> None:
    points = fit_operating_points(*shown_problem(1500, 4))
    for target in TARGETS:
        thresholds = [point.threshold for point in points if point.target == target]
        assert thresholds == sorted(set(thresholds), reverse=True)


def test_too_few_lesions_for_a_sensitivity_flag_everything() -> None:
    labels, shown = shown_problem(400, 5)
    few = np.flatnonzero(~positive(labels, "malignant") | (np.cumsum(positive(labels, "malignant")) <= 20))
    by_sensitivity = {
        point.sensitivity: point.threshold
        for point in fit_operating_points(labels[few], shown[few])
        if point.target == "malignant"
    }
    assert by_sensitivity[0.90] > by_sensitivity[0.95] > by_sensitivity[0.98] == 0  # 98 % of fewer than 49


CONFIGURATION = replace(tiny_configuration("none"), prior=tuple(PRIOR.tolist()), set_coverage=0.5)


@pytest.fixture
def few_simulations(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that ask who is fitted to what, not how well."""
    monkeypatch.setattr("train.probabilities.calibrate.SIMULATIONS", 20)
    monkeypatch.setattr("train.probabilities.calibrate.TAUS", np.array([0.0, 0.3, 0.6]))


def validation_problem(number: int, seed: int = 0) -> Validation:
    """Alternately tune and report photos of a network that is twice too sure."""
    labels, logits = problem(number, PRIOR, 2.0, seed)
    return Validation(
        tuple(
            Photo(f"image_{i}", f"lesion_{i}", CODES[label], ("tune", "report")[i % 2], "", "", "", "", "")
            for i, label in enumerate(labels)
        ),
        logits.astype(np.float64),
    )


def relabelled(validation: Validation, part: str) -> Validation:
    """The photos of one part get the next class's label."""
    photos = [
        replace(photo, dx=CODES[(CODES.index(photo.dx) + 1) % 7]) if photo.part == part else photo
        for photo in validation.photos
    ]
    return replace(validation, photos=tuple(photos))


@pytest.mark.usefixtures("few_simulations")
def test_configuration_is_fitted_in_every_part_and_in_no_other() -> None:
    validation = validation_problem(1500)
    fitted = fit_configuration(CONFIGURATION, validation)
    calibration = calibrate(validation.labels, validation.logits, PRIOR)
    shown = probabilities(validation.logits, calibration.temperature, calibration.tau, PRIOR)
    assert fitted == replace(
        CONFIGURATION,
        temperature=calibration.temperature,
        tau=calibration.tau,
        set_coverage=COVERAGE,
        set_thresholds=fit_sets(validation.labels, shown),
        operating_points=fit_operating_points(validation.labels, shown),
    )


@pytest.mark.usefixtures("few_simulations")
def test_answers_are_what_the_configuration_says() -> None:
    validation = validation_problem(900)
    fitted = fit_configuration(CONFIGURATION, validation)
    found = answers(fitted, validation.logits[:40])
    np.testing.assert_allclose(found.probabilities, fitted.probabilities(validation.logits[:40]))
    assert found.sets.shape == (40, 7) and found.flags.shape == (40, len(fitted.operating_points))
    for shown, inside, flags in zip(found.probabilities, found.sets, found.flags, strict=True):
        flagged = flags[
            [p.target == "malignant" and p.sensitivity == CAUTION for p in fitted.operating_points]
        ]
        np.testing.assert_array_equal(
            inside, conformal_set(shown, np.array(fitted.set_thresholds), flagged[0])
        )
        assert flags.tolist() == [
            sum(shown[CODES.index(code)] for code in TARGETS[point.target]) >= point.threshold
            for point in fitted.operating_points
        ]


def same(one: Answers, other: Answers, rows: np.ndarray) -> bool:
    names = ("probabilities", "sets", "flags")
    return all(np.array_equal(getattr(one, name)[rows], getattr(other, name)[rows]) for name in names)


@pytest.mark.usefixtures("few_simulations")
def test_cross_fitted_answers_are_those_of_the_other_half_s_constants() -> None:
    validation = validation_problem(1400)
    crossed = cross_fitted(fit_halves(CONFIGURATION, validation), validation)
    for part, other in (("tune", "report"), ("report", "tune")):
        alone = answers(
            fit_configuration(CONFIGURATION, validation.part(other)), validation.part(part).logits
        )
        rows = np.flatnonzero(validation.parts == part)
        np.testing.assert_array_equal(crossed.probabilities[rows], alone.probabilities)
        np.testing.assert_array_equal(crossed.sets[rows], alone.sets)
        np.testing.assert_array_equal(crossed.flags[rows], alone.flags)


def test_at_one_tau_each_half_has_a_temperature_of_its_own() -> None:
    validation = validation_problem(600)
    found = at_tau(replace(CONFIGURATION, tau=0.4), validation)
    assert list(found) == ["tune", "report"]
    for part, configuration in found.items():
        half = validation.part(part)
        temperature = fit_temperature(half.labels, half.logits, 0.4, PRIOR)
        assert configuration == replace(CONFIGURATION, tau=0.4, temperature=temperature)
    assert found["tune"].temperature != found["report"].temperature


@pytest.mark.usefixtures("few_simulations")
@pytest.mark.parametrize("part, other", [("tune", "report"), ("report", "tune")])
def test_cross_fitting_shows_no_half_its_own_labels(part: str, other: str) -> None:
    validation = validation_problem(1000)
    other_labels = relabelled(validation, part)
    before, after = (cross_fitted(fit_halves(CONFIGURATION, v), v) for v in (validation, other_labels))
    assert same(before, after, np.flatnonzero(validation.parts == part))
    for name in ("probabilities", "sets", "flags"):
        changed = getattr(before, name) != getattr(after, name)
        assert changed[validation.parts == other].any(), name


@pytest.fixture(scope="module")
def seen(dataset_folder: Path) -> dict[str, Dataset]:
    dataset = load_dataset(dataset_folder, lambda image: to_pixels(image, 94, "bicubic"))
    split = split_lesions(dataset.records)
    return {part: dataset.part(split, part) for part in ("tune", "report")}


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "model"))


@pytest.mark.usefixtures("few_simulations")
def test_model_folder_gets_what_its_tune_lesions_say(folder: Path, seen: dict[str, Dataset]) -> None:
    before = Configuration.read(folder)
    write_validation(folder, seen)
    calibrate_model(folder)
    after = Configuration.read(folder)
    assert after == fit_configuration(before, read_validation(folder).part("tune"))
    assert (after.temperature, after.tau) != (before.temperature, before.tau)
    assert after.set_thresholds != before.set_thresholds
    assert after.operating_points != before.operating_points
    assert after.sha256 == before.sha256


@pytest.mark.usefixtures("few_simulations")
def test_report_lesions_have_no_say(folder: Path, seen: dict[str, Dataset]) -> None:
    write_validation(folder, seen)
    calibrate_model(folder)
    before = Configuration.read(folder)
    report = seen["report"]
    write_validation(folder, seen | {"report": Dataset(report.records[::-1], 255 - report.pictures)})
    calibrate_model(folder)
    assert Configuration.read(folder) == before


@pytest.mark.usefixtures("few_simulations")
def test_tune_lesions_have_their_say(folder: Path, seen: dict[str, Dataset]) -> None:
    write_validation(folder, seen)
    calibrate_model(folder)
    before = Configuration.read(folder)
    tune = seen["tune"]
    write_validation(folder, seen | {"tune": Dataset(tune.records[::-1], tune.pictures)})
    calibrate_model(folder)
    assert Configuration.read(folder) != before
