"""The curves of metrics.json: ROC and precision-recall, reliability, and what each sensitivity costs. All are cross-fitted.

Lists of numbers, one a column, thinned to at most MOST_POINTS and rounded: the page draws them and looks figures up in them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_auc_score, roc_curve

from skinapp.decision import SENSITIVITIES, TARGETS, target_probability
from skinapp.figures.evaluation import ece_bin, expected_calibration_error, resample_counts
from skinapp.lesions import CODES
from skinapp.network.configuration import Configuration, probabilities
from train.probabilities.calibrate import Answers, cross_fitted, fit_operating_points
from train.probabilities.decisions import PointFigures, measure_points
from train.validation import Validation

MOST_POINTS = 101
ASKED = tuple(round(percent / 100, 2) for percent in range(50, 100))  # the stops of the page's slider
assert set(SENSITIVITIES) <= set(ASKED)  # so that the page and the documents name the same figures


def curves(fitted: Mapping[str, Configuration], validation: Validation, crossed: Answers) -> dict[str, Any]:
    """Everything that the page draws. fitted: from `fit_halves`; crossed: from `cross_fitted`, by them."""
    labels, shown = validation.labels, crossed.probabilities
    plain = probabilities(validation.logits, 1.0, 0.0, np.array(fitted["tune"].prior))
    classes = [i for i in range(len(CODES)) if 0 < (labels == i).sum() < len(labels)]
    return {
        "roc": {CODES[i]: roc(labels == i, shown[:, i]) for i in classes},
        "precision_recall": {CODES[i]: precision_recall(labels == i, shown[:, i]) for i in classes},
        "reliability": {
            "before": reliability(labels, plain, validation.lesion_ids),
            "after": reliability(labels, shown, validation.lesion_ids),
        },
        "targets": target_areas(labels, shown, validation.lesion_ids),
        "operating": operating_curves(fitted, validation),
    }


def roc(positive: np.ndarray, score: np.ndarray) -> dict[str, list[float]]:
    """positive: bool (N,), both values occurring; score: float (N,)."""
    alarms, found, _ = roc_curve(positive, score)
    kept = thinned(alarms, found)
    return {"false_positive_rate": _rounded(alarms[kept]), "true_positive_rate": _rounded(found[kept])}


def precision_recall(positive: np.ndarray, score: np.ndarray) -> dict[str, list[float]]:
    """Recall rises along the lists. Arguments as for `roc`."""
    precision, recall, _ = precision_recall_curve(positive, score)
    precision, recall = precision[::-1], recall[::-1]
    kept = thinned(recall, precision)
    return {"recall": _rounded(recall[kept]), "precision": _rounded(precision[kept])}


def thinned(x: np.ndarray, y: np.ndarray, most: int = MOST_POINTS) -> np.ndarray:
    """Which points of a curve to keep: both ends, and others about equally far apart along it. float (N,) twice -> int (M,)."""
    if len(x) <= most:
        return np.arange(len(x))
    along = np.concatenate([[0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    return np.unique([0, *np.searchsorted(along, np.linspace(0, along[-1], most))[1:-1], len(x) - 1])


def reliability(labels: np.ndarray, shown: np.ndarray, lesions: Sequence[str]) -> dict[str, Any]:
    """How often the top class is right, by its probability, in the bins of the calibration error; empty bins are left out.

    labels: int (N,); shown: float (N, 7); lesions: N ids. low and high: 95 %, bootstrap over lesions.
    """
    confidence, right = shown.max(1), shown.argmax(1) == labels
    which = ece_bin(confidence)
    members = which[:, None] == np.unique(which)  # photos by filled bins
    photos = members.sum(0)
    drawn = resample_counts(lesions)
    with np.errstate(invalid="ignore"):  # a sample without a photo in the bin says nothing of it
        shares = (drawn @ (members & right[:, None])) / (drawn @ members)
    unseen = np.isnan(shares).all(0)  # a bin of one lesion that no sample happened to draw
    share = (members & right[:, None]).sum(0) / photos
    shares[:, unseen] = share[unseen]
    low, high = np.nanpercentile(shares, [2.5, 97.5], axis=0)
    return {
        "ece": expected_calibration_error(labels, shown),
        "photos": photos.tolist(),
        "probability": _rounded((members * confidence[:, None]).sum(0) / photos),
        "right": _rounded(share),
        "low": _rounded(low),
        "high": _rounded(high),
    }


def target_areas(labels: np.ndarray, shown: np.ndarray, lesions: Sequence[str]) -> dict[str, Any]:
    """The area under the ROC curve of each target of TARGETS and its 95 % interval; None where a side is missing.

    Arguments as for `reliability`.
    """
    areas = {}
    drawn = resample_counts(lesions)
    for target, codes in TARGETS.items():
        positive = np.isin(labels, [CODES.index(code) for code in codes])
        score = target_probability(shown, target)
        found, interval = None, None
        if 0 < positive.sum() < len(labels):
            found = float(roc_auc_score(positive, score))
            both = [w for w in drawn if 0 < w[positive].sum() < w.sum()]
            sampled = [roc_auc_score(positive, score, sample_weight=weights) for weights in both]
            interval = np.percentile(sampled, [2.5, 97.5]).tolist()
        areas[target] = {"auc": found, "auc_interval": interval, "positive": int(positive.sum())}
    return areas


def operating_curves(
    fitted: Mapping[str, Configuration], validation: Validation
) -> dict[str, dict[str, Any]]:
    """By target, what each sensitivity of ASKED costs: thresholds fitted to one half of the lesions, measured on the other.

    `threshold` is the one that goes with the shipped calibration, fitted to tune. A sensitivity that one half has too few
    lesions to promise is left out.
    """
    stops = {}
    for part, configuration in fitted.items():
        half = validation.part(part)
        shown = configuration.probabilities(half.logits)
        points = fit_operating_points(half.labels, shown, ASKED, half.sources)
        stops[part] = replace(configuration, operating_points=points)
    flags, shipped = cross_fitted(stops, validation).flags, stops["tune"].operating_points
    measured = measure_points(validation.labels, flags, validation.lesion_ids, shipped, True)
    everything = np.any([flags[validation.parts == part].all(0) for part in fitted], axis=0)
    kept = [figures for figures, all_flagged in zip(measured, everything, strict=True)
            if figures.threshold and not all_flagged and figures.sensitivity and figures.specificity is not None]  # fmt: skip
    return {target: _columns([f for f in kept if f.target == target]) for target in TARGETS}


def _columns(points: Sequence[PointFigures]) -> dict[str, Any]:
    columns: dict[str, Any] = {
        "photos": points[0].photos if points else 0,
        "positive": points[0].positive if points else 0,
        "asked": [point.asked for point in points],
        "threshold": [point.threshold for point in points],
    }
    for name in ("sensitivity", "specificity", "false_alarms_per_find"):
        columns[name] = _rounded([getattr(point, name) for point in points])
        both = [getattr(point, f"{name}_interval") for point in points]
        columns[f"{name}_low"] = _rounded([low for low, _ in both])
        columns[f"{name}_high"] = _rounded([high for _, high in both])
    return columns


def _rounded(values: Sequence[float] | np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]
