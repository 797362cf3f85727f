"""How well conformal sets and operating points keep what they promise."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from skinapp.decision import TARGETS, OperatingPoint
from skinapp.figures.evaluation import resample_counts, resampled
from skinapp.lesions import CODES

Interval = tuple[float, float]


@dataclass(frozen=True)
class SetFigures:
    """coverage: share of photos whose set holds the right class; size: mean number of classes in it; single: share of sets
    of one class. interval: 95 % of the coverage, None where no sample holds the class."""

    photos: int
    coverage: float
    interval: Interval | None
    size: float
    single: float


@dataclass(frozen=True)
class PointFigures:
    """An operating point as measured; None where no photo defines the figure. `asked` is the sensitivity that it was
    fitted to reach.

    false_alarms_per_find: benign lesions flagged (for melanoma: others) for each one rightly flagged, which depends on
    how many of the photos are positive. Intervals: 95 %.
    """

    target: str
    asked: float
    threshold: float | None  # None where two were used, one a half
    photos: int
    positive: int
    sensitivity: float | None
    sensitivity_interval: Interval | None
    specificity: float | None
    specificity_interval: Interval | None
    false_alarms_per_find: float | None
    false_alarms_per_find_interval: Interval | None


def measure_sets(labels: np.ndarray, sets: np.ndarray, lesions: Sequence[str]) -> dict[str, SetFigures]:
    """By class code, and `all`. labels: int (N,); sets: bool (N, 7); lesions: N ids."""
    covered = sets[np.arange(len(labels)), labels]
    of_classes = {code: labels == i for i, code in enumerate(CODES) if i in labels}
    groups = {"all": np.ones(len(labels), bool)} | of_classes

    def shares(rows: np.ndarray) -> list[float]:
        return [_mean(covered[rows][inside[rows]]) for inside in groups.values()]

    intervals = _intervals(shares, lesions)
    return {
        name: SetFigures(
            photos=int(inside.sum()),
            coverage=_mean(covered[inside]),
            interval=interval,
            size=_mean(sets[inside].sum(1)),
            single=_mean(sets[inside].sum(1) == 1),
        )
        for (name, inside), interval in zip(groups.items(), intervals, strict=True)
    }


def measure_points(
    labels: np.ndarray,
    flags: np.ndarray,
    lesions: Sequence[str],
    points: Sequence[OperatingPoint],
    fixed: bool,
) -> list[PointFigures]:
    """labels: int (N,); flags: bool (N, P); lesions: N ids; points: P of them; fixed: one threshold held for all photos."""
    drawn = resample_counts(lesions)
    once = np.ones((1, len(labels)))
    measured = []
    for column, point in zip(flags.T, points, strict=True):
        positive = np.isin(labels, [CODES.index(code) for code in TARGETS[point.target]])
        ((sensitivity, specificity, alarms),) = _shares(once, column, positive).tolist()
        intervals = _percentiles(_shares(drawn, column, positive))
        measured.append(
            PointFigures(
                target=point.target,
                asked=point.sensitivity,
                threshold=point.threshold if fixed else None,
                photos=len(labels),
                positive=int(positive.sum()),
                sensitivity=_defined(sensitivity),
                sensitivity_interval=intervals[0],
                specificity=_defined(specificity),
                specificity_interval=intervals[1],
                false_alarms_per_find=_defined(alarms),
                false_alarms_per_find_interval=intervals[2],
            )
        )
    return measured


def _shares(counts: np.ndarray, flagged: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Sensitivity, specificity and false alarms per find of R samples. counts: float (R, N), how often each photo is in them;
    flagged, positive: bool (N,) -> float (R, 3), NaN where undefined."""
    kinds = np.stack(
        [flagged & positive, positive, ~flagged & ~positive, ~positive, flagged & ~positive], axis=1
    )
    found, right, spared, others, alarms = (counts @ kinds).T
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.stack(
            [found / right, spared / others, np.where(found > 0, alarms / found, np.nan)], axis=1
        )
    return shares


def _defined(figure: float) -> float | None:
    return None if np.isnan(figure) else figure


def _intervals(figures: Callable[[np.ndarray], list[float]], lesions: Sequence[str]) -> list[Interval | None]:
    return _percentiles(np.array([figures(rows) for rows in resampled(lesions)]))


def _percentiles(drawn: np.ndarray) -> list[Interval | None]:
    """95 % of each column of float (R, K), NaN left out."""
    defined = [column[~np.isnan(column)] for column in drawn.T]
    return [tuple(np.percentile(c, [2.5, 97.5]).tolist()) if len(c) else None for c in defined]


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
