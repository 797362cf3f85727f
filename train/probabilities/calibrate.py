"""Fits what turns logits into words, on tune lesions: temperature, prior correction, conformal sets, operating points.

`temperature` makes the probabilities as sure as they are right: it minimises the log loss (Guo 2017, arXiv:1706.04599).
`tau` is how much of the training class mix is taken out again (Menon 2021, arXiv:2007.07314): it raises the sensitivity for
rare classes and costs calibration. Admitted is a tau whose calibration error stays below what chance alone would give a
perfectly calibrated network with the same confidences 95 times in 100; chosen is the smallest admitted one whose balanced
accuracy comes close to the best, since the best itself is often best by chance and lies at the edge of calibration.

Where the lesions come from several sources, each source weighs alike in everything: a network that serves one clinic's photos at
the cost of another's is not better.

The sets and operating points are quantiles of scores of the photos they are fitted to, one place further out than the sample's
own quantile, as split-conformal prediction has it (Vovk 2005; Angelopoulos & Bates 2021, arXiv:2107.07511).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss

from skinapp.decision import (
    CAUTION,
    SENSITIVITIES,
    TARGETS,
    OperatingPoint,
    conformal_set,
    mass_above,
    target_probability,
)
from skinapp.figures.evaluation import expected_calibration_error
from skinapp.lesions import CODES
from skinapp.network.configuration import Configuration, probabilities
from train.validation import Validation, read_validation

TAUS = np.round(np.arange(0, 1.01, 0.05), 2)
SIMULATIONS = 500
HALVES = ("tune", "report")  # of the validation lesions
COVERAGE = 0.9  # of the conformal sets
CLOSE = 0.015  # of balanced accuracy: on 622 tune lesions, a smaller difference between two taus is chance


@dataclass(frozen=True)
class Calibration:
    """How sure the probabilities are, and for which class mix."""

    temperature: float
    tau: float


@dataclass(frozen=True)
class Answers:
    """What the program says of N photos by constants that were fitted to other lesions.

    probabilities: float64 (N, 7); sets: bool (N, 7); flags: bool (N, P), one column an operating point.
    """

    probabilities: np.ndarray
    sets: np.ndarray
    flags: np.ndarray


def alike(sources: np.ndarray) -> np.ndarray:
    """Weights with which each source counts as much as every other. sources: str (N,) -> float (N,), sum N."""
    names, which, counts = np.unique(sources, return_inverse=True, return_counts=True)
    return len(sources) / (len(names) * counts[which]) if len(names) else np.ones(0)


def calibrate(
    labels: np.ndarray, logits: np.ndarray, prior: np.ndarray, sources: np.ndarray | None = None
) -> Calibration:
    """labels: int (N,), logits: float (N, 7), prior: float (7,) that the logits presume, sources: str (N,) -> Calibration.

    Calibration error and balanced accuracy are means over the sources.
    """
    sources = np.full(len(labels), "") if sources is None else sources
    weights = alike(sources)
    candidates = [
        Calibration(fit_temperature(labels, logits, tau, prior, weights), float(tau)) for tau in TAUS
    ]
    excess, accuracy = {}, {}
    for candidate in candidates:
        shown = probabilities(logits, candidate.temperature, candidate.tau, prior)
        own = [(labels[sources == name], shown[sources == name]) for name in np.unique(sources)]
        excess[candidate] = float(
            np.mean([expected_calibration_error(y, p) - error_by_chance(p) for y, p in own])
        )
        accuracy[candidate] = float(np.mean([_balanced(y, p) for y, p in own]))
    admitted = [candidate for candidate in candidates if excess[candidate] <= 0]
    if not admitted:
        return min(candidates, key=excess.__getitem__)
    best = max(accuracy[candidate] for candidate in admitted)
    return next(candidate for candidate in admitted if accuracy[candidate] >= best - CLOSE)


def _balanced(labels: np.ndarray, shown: np.ndarray) -> float:
    """The mean recall of the classes that occur."""
    return float(np.mean([(shown.argmax(1)[labels == index] == index).mean() for index in np.unique(labels)]))


def fit_temperature(
    labels: np.ndarray, logits: np.ndarray, tau: float, prior: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """The temperature with the least log loss at a given tau. weights: float (N,), of the photos."""

    def loss(log_temperature: float) -> float:
        shown = probabilities(logits, float(np.exp(log_temperature)), tau, prior)
        return float(log_loss(labels, shown, labels=range(len(CODES)), sample_weight=weights))

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


def fit_sets(
    labels: np.ndarray, shown: np.ndarray, coverage: float = COVERAGE, sources: np.ndarray | None = None
) -> tuple[float, ...]:
    """The threshold of each class for `decision.conformal_set`. labels: int (N,), shown: float (N, 7), sources: str (N,) -> 7
    floats.

    Class by class, so that a rare class is covered as often as a common one; a class with too few photos for a quantile
    of its own (fewer than 9 for 90 %) gets that of all photos.
    """
    scores = mass_above(shown)[np.arange(len(labels)), labels]
    sources = np.full(len(labels), "") if sources is None else sources
    overall = _conformal_quantile(scores, coverage, alike(sources))
    own = [
        _conformal_quantile(scores[labels == index], coverage, alike(sources[labels == index]))
        for index in range(len(CODES))
    ]
    fallback = 1.0 if overall is None else overall
    # Rounded up: rounded down, a set would leave out the very photo that its threshold was taken from.
    return tuple(float(np.ceil((fallback if value is None else value) * 1e4) / 1e4) for value in own)


def fit_operating_points(
    labels: np.ndarray,
    shown: np.ndarray,
    sensitivities: Sequence[float] = SENSITIVITIES,
    sources: np.ndarray | None = None,
) -> tuple[OperatingPoint, ...]:
    """For each target and sensitivity, the highest threshold that reaches it. Arguments as for `fit_sets`."""
    points = []
    sources = np.full(len(labels), "") if sources is None else sources
    for target, codes in TARGETS.items():
        positive = np.isin(labels, [CODES.index(code) for code in codes])
        for sensitivity in sensitivities:
            furthest = _conformal_quantile(
                -target_probability(shown, target)[positive], sensitivity, alike(sources[positive])
            )
            # Too few lesions for this sensitivity: every one that the photos show is flagged, and nothing is promised.
            threshold = 0.0 if furthest is None else np.floor(-furthest * 1e5) / 1e5
            points.append(OperatingPoint(target, sensitivity, float(threshold)))
    return tuple(points)


def _conformal_quantile(scores: np.ndarray, level: float, weights: np.ndarray) -> float | None:
    """What a new score stays within with probability `level` at least; None where there are too few scores to say.

    weights: float (N,), sum N; the new score counts as one of weight 1.
    """
    order = np.argsort(scores, kind="stable")
    within = np.cumsum(weights[order]) >= (len(scores) + 1) * level - 1e-9
    return float(scores[order][within.argmax()]) if within.any() else None


def calibrate_model(folder: Path) -> None:
    """Fit everything above to the tune lesions in validation.csv, and put it into skinapp.json."""
    configuration = Configuration.read(folder)
    fit_configuration(configuration, read_validation(folder).part("tune")).write(folder)


def fit_configuration(configuration: Configuration, validation: Validation) -> Configuration:
    """The configuration with everything above fitted to these photos."""
    sources = validation.sources
    fitted = calibrate(validation.labels, validation.logits, np.array(configuration.prior), sources)
    calibrated = replace(configuration, temperature=fitted.temperature, tau=fitted.tau)
    shown = calibrated.probabilities(validation.logits)
    return replace(
        calibrated,
        set_coverage=COVERAGE,
        set_thresholds=fit_sets(validation.labels, shown, sources=sources),
        operating_points=fit_operating_points(validation.labels, shown, sources=sources),
    )


def answers(configuration: Configuration, logits: np.ndarray) -> Answers:
    """What the program says of photos with these logits, float (N, 7)."""
    shown = configuration.probabilities(logits)
    points = configuration.operating_points
    flags = np.stack([target_probability(shown, p.target) >= p.threshold for p in points], axis=1)
    cautious = [p.target == "malignant" and p.sensitivity == CAUTION for p in points]
    flagged = np.any(flags[:, cautious], axis=1)
    return Answers(shown, conformal_set(shown, np.array(configuration.set_thresholds), flagged), flags)


def fit_halves(configuration: Configuration, validation: Validation) -> dict[str, Configuration]:
    """The configuration fitted to tune lesions and the one fitted to report lesions, by that name."""
    return {part: fit_configuration(configuration, validation.part(part)) for part in HALVES}


def at_tau(configuration: Configuration, validation: Validation) -> dict[str, Configuration]:
    """The configuration with the temperature alone fitted to each half, by its name."""
    prior, found = np.array(configuration.prior), {}
    for part in HALVES:
        half = validation.part(part)
        temperature = fit_temperature(half.labels, half.logits, configuration.tau, prior, alike(half.sources))
        found[part] = replace(configuration, temperature=temperature)
    return found


def cross_fitted(fitted: Mapping[str, Configuration], validation: Validation) -> Answers:
    """Answers for all validation photos, each half's by constants fitted to the other half. fitted: by the half fitted to."""
    tune, report = HALVES
    halves = {
        part: answers(fitted[other], validation.part(part).logits)
        for part, other in ((tune, report), (report, tune))
    }
    parts = validation.parts
    joined = {}
    for name in ("probabilities", "sets", "flags"):
        first = getattr(halves[tune], name)
        joined[name] = np.empty((len(parts), first.shape[1]), first.dtype)
        for part, half in halves.items():
            joined[name][parts == part] = getattr(half, name)
    return Answers(**joined)
