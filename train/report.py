"""Writes a model folder's calibration, metrics.json and figures from its validation logits, and the documents from those.

python -m train.report                    # model/*, model/metrics.json, model/README.md and README.md; a minute
python -m train.report --model runs/cnn   # one folder of your own
"""

import argparse
import csv
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from skinapp.classifier import Configuration, probabilities
from skinapp.lesions import BY_CODE, CODES
from skinapp.models import MODELS, ModelError
from train import figures
from train.calibrate import Validation, calibrate, calibrate_model, error_by_chance, read_validation
from train.evaluate import HEADLINE, evaluate, expected_calibration_error

ROOT = MODELS.parent
MARKS = re.compile(
    r"(<!-- results: written by python -m train.report -->\n).*?(<!-- end of results -->)", re.DOTALL
)


def write_report(folder: Path) -> None:
    """Write metrics.json and the figures of one model folder."""
    configuration = Configuration.read(folder)
    validation = read_validation(folder)
    crossed = cross_fitted(validation, np.array(configuration.prior))
    metrics = measure(folder, configuration, validation, crossed)
    (folder / "metrics.json").write_text(
        json.dumps(metrics, indent=2, allow_nan=False) + "\n", encoding="utf-8"
    )
    figures.learning_curves(folder / "history.csv", folder / "learning_curves.png")
    figures.confusion_matrix(
        metrics["confusion_matrix"],
        f"Report lesions, {metrics['n']} photos",
        folder / "confusion_matrix.png",
    )
    title = f"All validation lesions, cross-fitted, {len(crossed)} photos"
    figures.roc(validation.labels, crossed, title, folder / "roc.png")


def measure(
    folder: Path, configuration: Configuration, validation: Validation, crossed: np.ndarray
) -> dict[str, Any]:
    """All figures of one network, in the form of metrics.json: those of `Evaluation` on report lesions, and more. crossed: float (N, 7), from `cross_fitted`."""
    prior = np.array(configuration.prior)
    report = validation.part("report")
    shown = configuration.probabilities(report.logits)
    plain = probabilities(report.logits, 1.0, 0.0, prior)
    with (folder / "history.csv").open(newline="", encoding="utf-8") as file:
        history = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    best = max(history, key=lambda epoch: epoch["tune_macro_auc"])
    return asdict(evaluate(report.labels, shown, report.lesion_ids)) | {
        "model": {
            "name": folder.resolve().name,
            "network": configuration.network,
            "input_size": configuration.input_size,
            "parameters": _parameters(folder),
            "sha256": configuration.sha256["weights.npz"],
        },
        "training": {
            "command": configuration.command,
            "epochs": len(history),
            "chosen_epoch": int(best["epoch"]),
            "minutes": round(sum(epoch["seconds"] for epoch in history) / 60),
        },
        "calibration": {
            "temperature": configuration.temperature,
            "tau": configuration.tau,
            "ece_before": expected_calibration_error(report.labels, plain),
            "ece_after": expected_calibration_error(report.labels, shown),
            "ece_by_chance": error_by_chance(shown),
        },
        "cross_fitted": asdict(evaluate(validation.labels, crossed, validation.lesion_ids)),
    }


def cross_fitted(validation: Validation, prior: np.ndarray) -> np.ndarray:
    """Probabilities of all validation photos, each half's temperature and tau fitted on the other half. float64 (N, 7)."""
    shown = np.empty_like(validation.logits)
    for part, other in (("tune", "report"), ("report", "tune")):
        fitting, rows = validation.part(other), validation.parts == part
        fitted = calibrate(fitting.labels, fitting.logits, prior)
        shown[rows] = probabilities(validation.logits[rows], fitted.temperature, fitted.tau, prior)
    return shown


def results_table(metrics: dict[str, Any]) -> str:
    """Markdown: the headline figures of every network in `model/metrics.json`, then a table per class."""
    lines = ["| figure | " + " | ".join(f"{name}: report | {name}: cross-fitted" for name in metrics) + " |"]
    lines.append("|---|" + "---|" * 2 * len(metrics))
    evaluations = [part for network in metrics.values() for part in (network, network["cross_fitted"])]
    lines.append(
        "| photos (lesions) | " + " | ".join(f"{e['n']} ({e['lesions']})" for e in evaluations) + " |"
    )
    for figure in HEADLINE:
        cells = []
        for evaluation in evaluations:
            low, high = evaluation["confidence_intervals"][figure]
            cells.append(f"**{_short(evaluation[figure])}** [{_short(low)}, {_short(high)}]")
        name = (
            figure.replace("_", " ")
            .replace("ece", "calibration error (ECE)")
            .replace("auc", "AUC")
            .replace("f1", "F1")
        )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for name, network in metrics.items():
        lines += [
            "",
            f"Per class, {name}, cross-fitted:",
            "",
            "| dx | class | precision | recall | F1 | AUC | photos |",
        ]
        lines.append("|---|---|---|---|---|---|---|")
        for code in CODES:
            row = network["cross_fitted"]["per_class"][code]
            cells = [_short(row[key]) for key in ("precision", "recall", "f1", "auc")]
            lines.append(f"| {code} | {BY_CODE[code].name} | " + " | ".join(cells) + f" | {row['support']} |")
    return "\n".join(lines)


def with_results(document: str, metrics: dict[str, Any]) -> str:
    """The document with what stands between its two marks replaced by the results. Raises ValueError without marks."""
    if not MARKS.search(document):
        raise ValueError("The document has no place marked for the results.")
    return MARKS.sub(lambda found: f"{found[1]}\n{results_table(metrics)}\n\n{found[2]}", document)


def _short(value: float | None) -> str:
    """`.765`, as the field writes shares."""
    return "-" if value is None else f"{value:.3f}".removeprefix("0")


def _parameters(folder: Path) -> int:
    with np.load(folder / "weights.npz", allow_pickle=False) as arrays:
        return int(sum(arrays[name].size for name in arrays.files))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Write metrics, figures and documents anew from validation logits."
    )
    parser.add_argument("--model", type=Path, help="only this model folder, and no documents")
    options = parser.parse_args(arguments)
    try:
        if options.model:
            calibrate_model(options.model)
            write_report(options.model)
            return 0
        metrics = {}
        for folder in sorted(path.parent for path in MODELS.glob("*/config.json")):
            calibrate_model(folder)
            write_report(folder)
            metrics[folder.name] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        (MODELS / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
        for document in (MODELS / "README.md", ROOT / "README.md"):
            text = document.read_text(encoding="utf-8")
            document.write_text(with_results(text, metrics), encoding="utf-8")
    except (ModelError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
