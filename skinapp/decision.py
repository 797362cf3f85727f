"""What follows from seven probabilities: a set that holds the right class, and whether an operating point is passed.

The constants are fitted by `train/probabilities/calibrate.py` on lesions that training never saw, and travel in the model's skinapp.json.
"""

from dataclasses import dataclass

import numpy as np

from skinapp.lesions import CLASSES, CODES

# What an operating point is about, and the classes whose probabilities are added for it.
TARGETS: dict[str, tuple[str, ...]] = {
    "malignant": tuple(lesion.code for lesion in CLASSES if lesion.suspicious),
    "melanoma": ("mel",),
}
SENSITIVITIES = (0.90, 0.95, 0.98)
CAUTION = (
    0.95  # the sensitivity that is chosen before anybody chooses, and the one that the sets are fitted with
)
SUSPICIOUS = [CODES.index(code) for code in TARGETS["malignant"]]


@dataclass(frozen=True)
class OperatingPoint:
    """A lesion is flagged where the probability of the target is at least `threshold`, which on the lesions it was
    fitted to reached `sensitivity`. target: a key of TARGETS."""

    target: str
    sensitivity: float
    threshold: float


def target_probability(probabilities: np.ndarray, target: str) -> np.ndarray:
    """The summed probability of a target's classes. float (..., 7) -> float (...)."""
    return np.asarray(probabilities)[..., [CODES.index(code) for code in TARGETS[target]]].sum(axis=-1)


def mass_above(probabilities: np.ndarray) -> np.ndarray:
    """For each class, the summed probability of the classes more probable than it: the conformal score.

    float (..., 7) -> float (..., 7), 0 for the most probable class. Adaptive prediction sets (Romano 2020,
    arXiv:2006.02544) with the class's own probability left out, so that no set is empty and no chance is needed.
    """
    probabilities = np.asarray(probabilities, np.float64)
    higher = probabilities[..., None, :] > probabilities[..., :, None]
    return (higher * probabilities[..., None, :]).sum(axis=-1)


def conformal_set(
    probabilities: np.ndarray, thresholds: np.ndarray, flagged: np.ndarray | bool = False
) -> np.ndarray:
    """Which classes the prediction set holds.

    A class is in it where its score stays within its threshold. Where a lesion is flagged, the most probable of the malignant
    and premalignant classes is in it, too, so that flag and set cannot contradict each other. And with a class, every more
    probable one is in it: thresholds that differ between classes would leave holes. The last two only add classes, so the
    coverage that the thresholds were fitted for is a lower bound.

    probabilities: float (..., 7), thresholds: float (7,), flagged: bool (...) -> bool (..., 7), never empty.
    """
    probabilities = np.asarray(probabilities, np.float64)
    inside = mass_above(probabilities) <= np.maximum(np.asarray(thresholds), 0.0)
    suspicious = np.full(len(CODES), -np.inf)
    suspicious[SUSPICIOUS] = 0.0
    leading = np.arange(len(CODES)) == (probabilities + suspicious).argmax(axis=-1)[..., None]
    inside |= leading & np.asarray(flagged)[..., None]
    least = np.where(inside, probabilities, np.inf).min(axis=-1, keepdims=True)
    return probabilities >= least
