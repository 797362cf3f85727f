"""The figures of a model folder, drawn with matplotlib."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no screen is needed

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import RocCurveDisplay

from skinapp.lesions import CODES
from skinapp.network.saliency_methods import METHODS
from skinapp.output.charts import FEWEST
from train.corruptions import CorruptionFigures
from train.margins import CurvePoint

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


def reliability(bins: Mapping[str, Any], to: Path) -> None:
    """Draw how often the top class is right against its probability, before and after calibration, as the page does.

    bins: `reliability` of the curves in metrics.json.
    """
    figure, panels = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained", sharey=True)
    for axes, key, title in zip(panels, ("before", "after"), ("Before", "After calibration"), strict=True):
        names = ("photos", "probability", "right", "low", "high")
        photos, said, right, low, high = (np.array(bins[key][name]) for name in names)
        enough = photos >= FEWEST
        axes.plot([0, 1], [0, 1], color="0.7", linewidth=1, linestyle="--")
        axes.bar(said, photos / photos.sum(), 0.045, color="0.88")
        spread = np.abs([low - right, high - right])[:, enough]
        axes.errorbar(said[enough], right[enough], spread, color=ACCENT, marker="o", markersize=4, linewidth=1.2,
                      capsize=2)  # fmt: skip
        axes.set(title=f"{title}: ECE {bins[key]['ece']:.3f}", xlim=(0, 1), ylim=(0, 1))
        axes.set_xlabel("probability of the top class")
    panels[0].set_ylabel("how often it is right (bars: share of photos)")
    _save(figure, to)


def corruptions(rows: Sequence[CorruptionFigures], to: Path) -> None:
    """Draw balanced accuracy against strength, one small plot a corruption; the clean level (strength 0) is dashed.

    rows: from `read_corruptions`, those of "none" among them. Raises ValueError without.
    """
    clean = next((row.balanced_accuracy for row in rows if row.strength == 0), None)
    if clean is None:
        raise ValueError("The figures on corrupted photos lack those of the clean ones: measure them anew.")
    names = list(dict.fromkeys(row.corruption for row in rows if row.strength))
    figure, grid = plt.subplots(3, 5, figsize=(9, 5.6), sharex=True, sharey=True, layout="constrained")
    for axes, name in zip(grid.flat, names, strict=False):
        graded = sorted((row.strength, row.balanced_accuracy) for row in rows if row.corruption == name)
        strengths, accuracies = zip((0, clean), *graded, strict=True)
        axes.axhline(clean, color="0.6", linewidth=1, linestyle="--")
        axes.plot(strengths, accuracies, color=ACCENT, marker="o", markersize=3)
        axes.set_title(name.replace("_", " ").replace("jpeg", "JPEG"), fontsize=10)
        axes.set(xticks=strengths, ylim=(0, 1))
    for axes in list(grid.flat)[len(names) :]:
        axes.set_visible(False)
    figure.supxlabel("strength of the corruption (0: clean, dashed)", fontsize=10)
    figure.supylabel("balanced accuracy", fontsize=10)
    figure.suptitle(f"Damaged photos, {rows[0].photos} of report lesions", fontsize=11)
    _save(figure, to)


def map_curves(points: Sequence[CurvePoint], shown: str, to: Path) -> None:
    """Draw the mean insertion and deletion curves. points: from `read_curves`; shown: the method of the map that ships, which
    is drawn thick; a blob in the middle is dashed."""
    figure, pair = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for axes, curve in zip(pair, ("insertion", "deletion"), strict=True):
        for method in dict.fromkeys(point.method for point in points):
            own = [p for p in points if (p.method, p.curve) == (method, curve)]
            width, style = (2.5 if method == shown else 1.2), ("-" if method in METHODS else "--")
            label = METHODS.get(method, "a blob in the middle")
            axes.plot(
                [p.share for p in own], [p.probability for p in own], style, linewidth=width, label=label
            )
        axes.set(title=curve, xlabel="share of pixels, most salient first", xlim=(0, 1), ylim=(0, 1))
    pair[0].set_ylabel("mean probability of the top class")
    pair[1].legend(fontsize=9, frameon=False)
    _save(figure, to)


def _save(figure: plt.Figure, to: Path) -> None:
    figure.savefig(
        to, dpi=100, metadata={"Software": None}
    )  # no version in the file: it would differ without need
    plt.close(figure)
