"""How good logits are on the lesions of each source, while a run goes on or weights are averaged: what choices are made by."""

from collections.abc import Mapping

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.metrics import accuracy_score, log_loss

from skinapp.figures.evaluation import class_auc, macro_auc
from skinapp.lesions import CODES
from skinapp.network.configuration import probabilities
from train.dataset import Dataset

EQUAL = np.full(len(CODES), 1 / len(CODES))


def figures_by_source(
    dataset: Dataset, logits: np.ndarray, mixes: Mapping[str, np.ndarray]
) -> dict[str, dict[str, float]]:
    """Accuracy, balanced accuracy, macro AUC and melanoma AUC with equally frequent classes, and the log loss at the source's own
    class mix, by source. One temperature, the same for all sources, makes the mean of their log losses least.

    logits: float (N, 7), which presume equally frequent classes. mixes: by source, how many training photos each class has,
    float (7,); a source that is not there has equally frequent classes. A melanoma AUC that is undefined is 0.
    """
    names = np.array([record.source for record in dataset.records], object)
    labels = dataset.labels
    counts = {name: np.maximum(mixes.get(name, EQUAL * len(CODES)), 0.5) for name in dict.fromkeys(names)}

    def losses(temperature: float) -> dict[str, float]:
        found = {}
        for name, count in counts.items():
            natural = logits[names == name] + np.log(count / count.sum())
            shown = probabilities(natural, temperature, 0.0, EQUAL)
            found[name] = float(log_loss(labels[names == name], shown, labels=range(len(CODES))))
        return found

    def mean_loss(log_temperature: float) -> float:
        return float(np.mean(list(losses(float(np.exp(log_temperature))).values())))

    temperature = float(np.exp(minimize_scalar(mean_loss, bounds=(-2, 2), method="bounded").x))
    figures = {}
    for name, loss in losses(temperature).items():
        own, shown = labels[names == name], probabilities(logits[names == name], 1.0, 0.0, EQUAL)
        figures[name] = {
            "accuracy": float(accuracy_score(own, shown.argmax(1))),
            "balanced accuracy": float(
                np.mean([(shown.argmax(1)[own == c] == c).mean() for c in np.unique(own)])
            ),
            "macro AUC": macro_auc(own, shown) or 0.0,
            "melanoma AUC": class_auc(own, shown, CODES.index("mel")) or 0.0,
            "log loss": loss,
        }
    return figures
