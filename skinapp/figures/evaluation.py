"""How good probabilities are on photos whose dx is known: the figures, by scikit-learn, and their intervals."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, roc_auc_score
from sklearn.utils import resample
from tqdm import tqdm

from skinapp.lesions import CODES

ECE_BINS = 15
RESAMPLES = 1000
HEADLINE = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "macro_auc",
    "ece",
    "macro_precision",
    "macro_recall",
)


@dataclass(frozen=True)
class ClassFigures:
    """Figures of one class; None where they are undefined: all of them where no photo has the class,
    precision also where it is never the most probable one, the area also where all photos have it."""

    precision: float | None
    recall: float | None
    f1: float | None
    auc: float | None
    support: int


def headline(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float | None]:
    """The figures named in HEADLINE. labels: int (N,) indices into CODES; probabilities: float (N, 7), rows sum to 1.

    Macro figures are means over the classes that occur."""
    precision, recall, f1, support = _by_class(labels, probabilities)
    occurring = support > 0
    return {
        "accuracy": float((probabilities.argmax(1) == labels).mean()),
        "balanced_accuracy": float(recall[occurring].mean()),
        "macro_f1": float(f1[occurring].mean()),
        "macro_auc": macro_auc(labels, probabilities),
        "ece": expected_calibration_error(labels, probabilities),
        "macro_precision": float(precision[occurring].mean()),
        "macro_recall": float(recall[occurring].mean()),
    }


def macro_auc(labels: np.ndarray, probabilities: np.ndarray) -> float | None:
    """Mean one-vs-rest area under the ROC curve over the classes for which it is defined, else None."""
    areas = [class_auc(labels, probabilities, i) for i in range(len(CODES))]
    defined = [area for area in areas if area is not None]
    return float(np.mean(defined)) if defined else None


def class_auc(labels: np.ndarray, probabilities: np.ndarray, index: int) -> float | None:
    """Area under the ROC curve of one class against the rest; None where it has no photo or all."""
    positive = labels == index
    return (
        float(roc_auc_score(positive, probabilities[:, index])) if 0 < positive.sum() < len(labels) else None
    )


def ece_bin(confidence: np.ndarray) -> np.ndarray:
    """Which of ECE_BINS equally wide bins a probability is in. float (N,) in [0, 1] -> int (N,)."""
    return np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean gap between the top class's probability and how often it is right, over the bins of `ece_bin` (Guo 2017)."""
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == labels
    gaps = np.bincount(ece_bin(confidence), weights=confidence - right)
    return float(np.abs(gaps).sum() / len(labels))


def per_class(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, ClassFigures]:
    """The figures of each class, by code. Arguments as for `headline`."""
    precision, recall, f1, support = _by_class(labels, probabilities)
    predicted = np.bincount(probabilities.argmax(1), minlength=len(CODES))
    return {
        code: ClassFigures(
            precision=float(precision[i]) if predicted[i] and support[i] else None,
            recall=float(recall[i]) if support[i] else None,
            f1=float(f1[i]) if support[i] else None,
            auc=class_auc(labels, probabilities, i),
            support=int(support[i]),
        )
        for i, code in enumerate(CODES)
    }


def confusion_counts(labels: np.ndarray, probabilities: np.ndarray) -> list[list[int]]:
    """Rows: the true class; columns: the most probable one; both in the order of CODES. Arguments as for `headline`."""
    return confusion_matrix(labels, probabilities.argmax(1), labels=range(len(CODES))).tolist()


@dataclass(frozen=True)
class Evaluation:
    """All figures of one evaluation. Macro figures are means over the classes that occur; a precision that is undefined counts as 0 there,
    as in scikit-learn.

    confusion_matrix: rows are the true class, columns the most probable one, both in the order of CODES.
    confidence_intervals: 95 %, by figure; bootstrap over lesions, percentiles.
    """

    n: int
    lesions: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    macro_auc: float | None
    ece: float
    macro_precision: float
    macro_recall: float
    per_class: dict[str, ClassFigures]
    confusion_matrix: list[list[int]]
    confidence_intervals: dict[str, tuple[float, float] | None]


def evaluate(labels: np.ndarray, probabilities: np.ndarray, lesions: Sequence[str]) -> Evaluation:
    """labels: int (N,) indices into CODES; probabilities: float (N, 7), rows sum to 1; lesions: N ids -> Evaluation."""
    figures = headline(labels, probabilities)
    return Evaluation(
        n=len(labels),
        lesions=len(set(lesions)),
        **figures,  # type: ignore[arg-type]  # only macro_auc can be None
        per_class=per_class(labels, probabilities),
        confusion_matrix=confusion_counts(labels, probabilities),
        confidence_intervals=intervals(labels, probabilities, lesions),
    )


def intervals(
    labels: np.ndarray, probabilities: np.ndarray, lesions: Sequence[str]
) -> dict[str, tuple[float, float] | None]:
    """95 % bootstrap intervals of the headline figures, whole lesions drawn with replacement."""
    drawn = [headline(labels[rows], probabilities[rows]) for rows in resampled(lesions)]
    result: dict[str, tuple[float, float] | None] = {}
    for name in HEADLINE:
        values = [figures[name] for figures in drawn if figures[name] is not None]
        result[name] = tuple(np.percentile(values, [2.5, 97.5]).tolist()) if values else None  # type: ignore[arg-type]
    return result


def resampled(lesions: Sequence[str]) -> Iterator[np.ndarray]:
    """The rows of RESAMPLES bootstrap samples, whole lesions drawn with replacement. lesions: N ids -> int arrays."""
    members: dict[str, list[int]] = {}
    for index, lesion in enumerate(lesions):
        members.setdefault(lesion, []).append(index)
    groups = [np.array(group) for group in members.values()]
    random = np.random.RandomState(0)  # the same data give the same intervals
    for _ in tqdm(range(RESAMPLES), desc="intervals", disable=None, leave=False):
        yield np.concatenate([groups[i] for i in resample(np.arange(len(groups)), random_state=random)])


def resample_counts(lesions: Sequence[str]) -> np.ndarray:
    """How often each row is in each of those samples: float64 (RESAMPLES, N), so that a product with it counts."""
    return np.stack([np.bincount(rows, minlength=len(lesions)) for rows in resampled(lesions)]).astype(float)


def table(evaluation: Evaluation) -> str:
    """The evaluation as text for a terminal."""

    def shown(value: float | None) -> str:
        return "      -" if value is None else f"{value:7.3f}"

    lines = [f"{evaluation.n} photos of {evaluation.lesions} lesions", ""]
    for name in HEADLINE:
        interval = evaluation.confidence_intervals[name]
        between = f"  [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
        lines.append(f"{name.replace('_', ' '):20}{shown(getattr(evaluation, name))}{between}")
    lines += ["", f"{'dx':8}{'precision':>10}{'recall':>10}{'F1':>10}{'AUC':>10}{'photos':>10}"]
    for code, row in evaluation.per_class.items():
        cells = "".join(f"{shown(value):>10}" for value in (row.precision, row.recall, row.f1, row.auc))
        lines.append(f"{code:8}{cells}{row.support:>10}")
    lines += [
        "",
        "confusion matrix (rows: true dx, columns: most probable)",
        " " * 8 + "".join(f"{c:>7}" for c in CODES),
    ]
    for code, counts in zip(CODES, evaluation.confusion_matrix, strict=True):
        lines.append(f"{code:8}" + "".join(f"{count:>7}" for count in counts))
    return "\n".join(lines)


def _by_class(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return precision_recall_fscore_support(
            labels, probabilities.argmax(1), labels=range(len(CODES)), zero_division=0
        )
