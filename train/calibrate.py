"""Fits temperature and prior correction on tune lesions.

`temperature` makes the probabilities as sure as they are right: it minimises the log loss (Guo 2017, arXiv:1706.04599).
`tau` is how much of the training class mix is taken out again (Menon 2021, arXiv:2007.07314): it raises the sensitivity for
rare classes and costs calibration. Admitted is a tau whose calibration error stays below what chance alone would give a
perfectly calibrated network with the same confidences 95 times in 100; chosen is the smallest admitted one whose balanced
accuracy comes close to the best, since the best itself is often best by chance and lies at the edge of calibration.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.metrics import balanced_accuracy_score, log_loss

from skinapp.classifier import Classifier, Configuration, probabilities
from skinapp.lesions import CODES
from train.dataset import Dataset
from train.evaluate import expected_calibration_error

TAUS = np.round(np.arange(0, 1.01, 0.05), 2)
SIMULATIONS = 500
CLOSE = 0.015  # of balanced accuracy: on 622 tune lesions, a smaller difference between two taus is chance
LOGITS = "validation.csv"  # in the model folder: what all its figures are computed from


@dataclass(frozen=True)
class Validation:
    """Raw outputs for validation photos. labels: int (N,); logits: float (N, 7); the rest: N strings each."""

    image_ids: list[str]
    lesion_ids: list[str]
    parts: np.ndarray
    labels: np.ndarray
    logits: np.ndarray

    def part(self, part: str) -> "Validation":
        """Only the photos of one part, `tune` or `report`."""
        rows = np.flatnonzero(self.parts == part)
        return Validation(
            [self.image_ids[i] for i in rows],
            [self.lesion_ids[i] for i in rows],
            self.parts[rows],
            self.labels[rows],
            self.logits[rows],
        )


@dataclass(frozen=True)
class Calibration:
    """What goes into config.json."""

    temperature: float
    tau: float


def calibrate(labels: np.ndarray, logits: np.ndarray, prior: np.ndarray) -> Calibration:
    """labels: int (N,), logits: float (N, 7), prior: float (7,) that the logits presume -> Calibration."""
    candidates = [Calibration(fit_temperature(labels, logits, tau, prior), float(tau)) for tau in TAUS]
    excess, accuracy = {}, {}
    for candidate in candidates:
        shown = probabilities(logits, candidate.temperature, candidate.tau, prior)
        excess[candidate] = expected_calibration_error(labels, shown) - error_by_chance(shown)
        accuracy[candidate] = float(balanced_accuracy_score(labels, shown.argmax(1)))
    admitted = [candidate for candidate in candidates if excess[candidate] <= 0]
    if not admitted:
        return min(candidates, key=excess.__getitem__)
    best = max(accuracy[candidate] for candidate in admitted)
    return next(candidate for candidate in admitted if accuracy[candidate] >= best - CLOSE)


def fit_temperature(labels: np.ndarray, logits: np.ndarray, tau: float, prior: np.ndarray) -> float:
    """The temperature with the least log loss at a given tau."""

    def loss(log_temperature: float) -> float:
        shown = probabilities(logits, float(np.exp(log_temperature)), tau, prior)
        return float(log_loss(labels, shown, labels=range(len(CODES))))

    return round(float(np.exp(minimize_scalar(loss, bounds=(-2.0, 2.0), method="bounded").x)), 4)


def error_by_chance(shown: np.ndarray, quantile: float = 0.95, seed: int = 0) -> float:
    """The calibration error that a network stays below in 95 of 100 samples if its probabilities are exactly right.

    shown: float (N, 7). Simulated: whether the top class is right is drawn with the top probability.
    """
    generator = np.random.default_rng(seed)
    top = shown.argmax(1)
    errors = []
    for _ in range(SIMULATIONS):
        right = generator.random(len(shown)) < shown.max(1)
        errors.append(expected_calibration_error(np.where(right, top, (top + 1) % len(CODES)), shown))
    return float(np.quantile(errors, quantile))


def write_logits(folder: Path, seen: Mapping[str, Dataset]) -> None:
    """Run the model in `folder` on the validation photos and write its logits there.

    seen: pictures at the network's size, by part (`tune`, `report`).
    """
    classifier = Classifier(folder)
    with (folder / LOGITS).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image_id", "lesion_id", "dx", "part", *CODES])
        for part, dataset in seen.items():
            for record, row in zip(dataset.records, classifier.logits(dataset.pictures), strict=True):
                writer.writerow(
                    [record.image_id, record.lesion_id, record.dx, part, *(f"{x:.4f}" for x in row)]
                )


def calibrate_model(folder: Path) -> None:
    """Fit temperature and tau to the logits of tune lesions and put them into config.json."""
    configuration = Configuration.read(folder)
    tune = read_validation(folder).part("tune")
    fitted = calibrate(tune.labels, tune.logits, np.array(configuration.prior))
    replace(configuration, temperature=fitted.temperature, tau=fitted.tau).write(folder)


def read_validation(folder: Path) -> Validation:
    """The validation photos' logits of a model folder."""
    with (folder / LOGITS).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return Validation(
        [row["image_id"] for row in rows],
        [row["lesion_id"] for row in rows],
        np.array([row["part"] for row in rows]),
        np.array([CODES.index(row["dx"]) for row in rows]),
        np.array([[float(row[code]) for code in CODES] for row in rows]),
    )
