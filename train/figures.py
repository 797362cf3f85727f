"""The figures of a model folder, drawn with matplotlib."""

import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no screen is needed

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import RocCurveDisplay

from skinapp.lesions import CODES

ACCENT = "#0f6e84"
PALETTE = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#d55e00",
    "#56b4e9",
    "#3b3b3b",
)  # Okabe & Ito: safe to tell apart


def learning_curves(history: Path, to: Path) -> None:
    """Draw history.csv: the training loss, and accuracy, balanced accuracy and macro AUC on tune lesions."""
    with history.open(newline="", encoding="utf-8") as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    epochs = [row["epoch"] for row in rows]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    left.plot(epochs, [row["loss"] for row in rows], color=ACCENT, marker="o", markersize=3)
    left.set(xlabel="epoch", ylabel="training loss (smoothed, mixed labels)", title="Loss")
    names = {
        "tune_accuracy": "accuracy",
        "tune_balanced_accuracy": "balanced accuracy",
        "tune_macro_auc": "macro AUC",
    }
    for (key, name), colour in zip(names.items(), PALETTE, strict=False):
        right.plot(epochs, [row[key] for row in rows], label=name, color=colour, marker="o", markersize=3)
    right.set(xlabel="epoch", title="Tune lesions, one view, averaged weights", ylim=(None, 1))
    right.legend()
    _save(figure, to)


def confusion_matrix(counts: list[list[int]], title: str, to: Path) -> None:
    """Draw a confusion matrix, coloured by the share of each true class, with the counts written in."""
    matrix = np.array(counts)
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    figure, axes = plt.subplots(figsize=(5.2, 4.8), layout="constrained")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(matrix.shape):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(matrix[row, column]), ha="center", va="center", color=colour, fontsize=9)
    axes.set(
        xticks=range(len(CODES)), yticks=range(len(CODES)), xticklabels=CODES, yticklabels=CODES, title=title,
        xlabel="most probable class", ylabel="dx",
    )  # fmt: skip
    _save(figure, to)


def roc(labels: np.ndarray, probabilities: np.ndarray, title: str, to: Path) -> None:
    """Draw one ROC curve a class, one against the rest, for the classes where it is defined."""
    figure, axes = plt.subplots(figsize=(5.2, 4.8), layout="constrained")
    for index, (code, colour) in enumerate(zip(CODES, PALETTE, strict=True)):
        positive = labels == index
        if 0 < positive.sum() < len(labels):
            RocCurveDisplay.from_predictions(
                positive, probabilities[:, index], name=code, ax=axes, curve_kwargs={"color": colour}
            )
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1, linestyle="--")
    axes.set(title=title, xlabel="1 - specificity", ylabel="sensitivity")
    _save(figure, to)


def _save(figure: plt.Figure, to: Path) -> None:
    figure.savefig(
        to, dpi=100, metadata={"Software": None}
    )  # no version in the file: it would differ without need
    plt.close(figure)
