"""How good probabilities are on photos whose dx is known: the figures, by scikit-learn."""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, roc_auc_score

from skinapp.lesions import CODES

ECE_BINS = 15
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


def _by_class(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return precision_recall_fscore_support(
            labels, probabilities.argmax(1), labels=range(len(CODES)), zero_division=0
        )
