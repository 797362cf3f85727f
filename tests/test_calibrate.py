"""Temperature and tau on problems whose right answer is known, and that only tune lesions are fitted on."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, log_loss

from skinapp.classifier import Classifier, Configuration, probabilities
from skinapp.lesions import CODES
from skinapp.preprocess import to_pixels
from train.calibrate import (
    Calibration,
    calibrate,
    calibrate_model,
    error_by_chance,
    fit_temperature,
    read_validation,
    write_logits,
)
from train.dataset import Dataset, load_dataset, split_lesions
from train.evaluate import expected_calibration_error

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


@pytest.fixture(scope="module")
def seen(dataset_folder: Path) -> dict[str, Dataset]:
    dataset = load_dataset(dataset_folder, lambda image: to_pixels(image, 94, "bicubic"))
    split = split_lesions(dataset.records)
    return {part: dataset.part(split, part) for part in ("tune", "report")}


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "model"))


def test_model_folder_gets_logits_and_calibration(folder: Path, seen: dict[str, Dataset]) -> None:
    before = Configuration.read(folder)
    write_logits(folder, seen)
    calibrate_model(folder)
    validation, after = read_validation(folder), Configuration.read(folder)
    records = [*seen["tune"].records, *seen["report"].records]
    assert validation.image_ids == [record.image_id for record in records]
    assert validation.lesion_ids == [record.lesion_id for record in records]
    assert [CODES[label] for label in validation.labels] == [record.dx for record in records]
    expected = Classifier(folder).logits(np.concatenate([seen["tune"].pictures, seen["report"].pictures]))
    np.testing.assert_allclose(validation.logits, expected, atol=1e-3)
    tune = validation.part("tune")
    assert len(tune.labels) == len(seen["tune"].records)
    fitted = calibrate(tune.labels, tune.logits, np.array(before.prior))
    assert (
        (after.temperature, after.tau) == (fitted.temperature, fitted.tau) != (before.temperature, before.tau)
    )
    assert after.sha256 == before.sha256


def test_report_lesions_have_no_say(folder: Path, seen: dict[str, Dataset]) -> None:
    write_logits(folder, seen)
    calibrate_model(folder)
    before = Configuration.read(folder)
    report = seen["report"]
    write_logits(folder, seen | {"report": Dataset(report.records[::-1], 255 - report.pictures)})
    calibrate_model(folder)
    assert Configuration.read(folder) == before


def test_tune_lesions_have_their_say(folder: Path, seen: dict[str, Dataset]) -> None:
    write_logits(folder, seen)
    calibrate_model(folder)
    before = Configuration.read(folder)
    tune = seen["tune"]
    write_logits(folder, seen | {"tune": Dataset(tune.records[::-1], tune.pictures)})
    calibrate_model(folder)
    assert Configuration.read(folder) != before
