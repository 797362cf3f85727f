"""Where the network fails: figures by group of patients and lesions, and its most confident mistakes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

from skinapp.decision import TARGETS, target_probability
from skinapp.figures.evaluation import resampled
from skinapp.lesions import CODES
from train.validation import Photo

SMALLEST_GROUP = 20  # photos; figures of fewer say nothing


@dataclass(frozen=True)
class GroupFigures:
    """One group's figures. Balanced accuracy is over the classes that occur in it, so compare it across groups with care;
    malignant_auc is the area for mel, bcc and akiec against the rest (None where a side is missing). Intervals: 95 %."""

    by: str
    group: str
    photos: int
    malignant: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    balanced_accuracy: float
    malignant_auc: float | None
    malignant_auc_interval: tuple[float, float] | None


@dataclass(frozen=True)
class Mistake:
    """A photo on which the network was sure of a wrong class."""

    image_id: str
    dx: str
    dx_type: str
    predicted: str
    probability: float
    probability_of_dx: float


def _age(photo: Photo) -> str:
    try:
        age = float(photo.age)
    except ValueError:  # empty, or in a researcher's own table no number
        return ""
    names = ((30, "0 to 29"), (45, "30 to 44"), (60, "45 to 59"), (75, "60 to 74"), (999, "75 and over"))
    return next((name for limit, name in names if age < limit), "")


def _known(text: str) -> str:
    return "" if text == "unknown" else text  # HAM10000's word where it has no sex or body site


def _area(photo: Photo) -> str:
    if not photo.area:
        return ""
    area = float(photo.area)
    return next(name for limit, name in ((0.1, "0 to 10 %"), (0.25, "10 to 25 %"), (0.5, "25 to 50 %"), (9, "50 % and over")) if area < limit)  # fmt: skip


GROUPINGS: dict[str, Callable[[Photo], str]] = {
    "age": _age,
    "sex": lambda photo: _known(photo.sex),
    "body site": lambda photo: _known(photo.localization),
    "dx_type": lambda photo: photo.dx_type,
    "share of the photo that the lesion fills": _area,
}


def by_group(photos: Sequence[Photo], labels: np.ndarray, probabilities: np.ndarray) -> list[GroupFigures]:
    """Figures of every group of at least SMALLEST_GROUP photos. labels: int (N,); probabilities: float (N, 7)."""
    right = probabilities.argmax(1) == labels
    malignant = np.isin(labels, [CODES.index(code) for code in TARGETS["malignant"]])
    suspected = target_probability(probabilities, "malignant")
    found = []
    for by, name_of in GROUPINGS.items():
        names = np.array([name_of(photo) for photo in photos])
        for name in sorted(set(names) - {""}):
            rows = np.flatnonzero(names == name)
            if len(rows) < SMALLEST_GROUP:
                continue
            samples = list(resampled([photos[i].lesion_id for i in rows.tolist()]))
            accuracies = [right[rows[sample]].mean() for sample in samples]
            areas = [_auc(malignant[rows[sample]], suspected[rows[sample]]) for sample in samples]
            area = _auc(malignant[rows], suspected[rows])
            found.append(
                GroupFigures(
                    by=by,
                    group=name,
                    photos=len(rows),
                    malignant=int(malignant[rows].sum()),
                    accuracy=float(right[rows].mean()),
                    accuracy_interval=_interval(accuracies),
                    balanced_accuracy=float(
                        np.mean([right[rows][labels[rows] == i].mean() for i in set(labels[rows])])
                    ),
                    malignant_auc=area,
                    malignant_auc_interval=None
                    if area is None
                    else _interval([a for a in areas if a is not None]),
                )
            )
    return found


def mistakes(
    photos: Sequence[Photo], labels: np.ndarray, probabilities: np.ndarray, number: int = 25
) -> list[Mistake]:
    """The photos with the highest probability of a wrong class, the surest first."""
    top = probabilities.argmax(1)
    wrong = np.flatnonzero(top != labels)
    surest = wrong[np.argsort(-probabilities[wrong, top[wrong]], kind="stable")][:number]
    return [
        Mistake(
            image_id=photos[i].image_id,
            dx=photos[i].dx,
            dx_type=photos[i].dx_type,
            predicted=CODES[top[i]],
            probability=float(probabilities[i, top[i]]),
            probability_of_dx=float(probabilities[i, labels[i]]),
        )
        for i in surest
    ]


def _auc(truth: np.ndarray, score: np.ndarray) -> float | None:
    return float(roc_auc_score(truth, score)) if 0 < truth.sum() < len(truth) else None


def _interval(values: Sequence[float]) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
