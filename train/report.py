"""Writes a model folder's calibration, metrics.json and figures from its validation logits, and the documents from those.

python -m train.report                    # model/*, model/metrics.json, model/README.md and README.md
python -m train.report --model runs/cnn   # one folder of your own
"""

import argparse
import csv
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from skinapp.figures.evaluation import evaluate, expected_calibration_error
from skinapp.network.configuration import Configuration, probabilities
from skinapp.network.folders import MODELS
from train.commands import in_one_sentence
from train.corruptions import read_corruptions
from train.dermatoscopic import read_dermatoscopic
from train.documents import figures
from train.documents.tables import with_model_index, with_tables
from train.maps import read_maps
from train.margins import read_curves, read_margins
from train.probabilities.calibrate import (
    answers,
    at_tau,
    calibrate_model,
    cross_fitted,
    error_by_chance,
    fit_halves,
)
from train.probabilities.curves import curves, target_areas
from train.probabilities.decisions import SetFigures, measure_points, measure_sets
from train.probabilities.failures import by_group, mistakes
from train.similar import read_similar
from train.validation import Validation, read_validation

ROOT = MODELS.parent


def write_report(folder: Path) -> None:
    """Write metrics.json and the figures of one model folder."""
    configuration = Configuration.read(folder)
    validation = read_validation(folder)
    fitted = fit_halves(configuration, validation)
    crossed = cross_fitted(fitted, validation)
    metrics = measure(folder, configuration, validation, fitted)
    (folder / "metrics.json").write_text(as_text(metrics), encoding="utf-8")
    figures.learning_curves(folder / "history.csv", folder / "learning_curves.png")
    figures.confusion_matrix(
        metrics["confusion_matrix"],
        f"Report lesions, {metrics['n']} photos",
        folder / "confusion_matrix.png",
    )
    labels, everything = (
        validation.labels,
        f"All validation lesions, cross-fitted, {len(validation.photos)} photos",
    )
    figures.roc(labels, crossed.probabilities, everything, folder / "roc.png")
    figures.reliability(metrics["curves"]["reliability"], folder / "reliability.png")
    if metrics["corruptions"]:
        figures.corruptions(read_corruptions(folder), folder / "corruptions.png")
    if metrics["margins"]:
        figures.map_curves(read_curves(folder), metrics["margins"][0]["shown"], folder / "map_curves.png")


def measure(
    folder: Path, configuration: Configuration, validation: Validation, fitted: Mapping[str, Configuration]
) -> dict[str, Any]:
    """All figures of one network, in the form of metrics.json: those of `Evaluation` on report lesions, and more.

    fitted: from `fit_halves`.
    """
    crossed = cross_fitted(fitted, validation)
    report, labels, lesions = validation.part("report"), validation.labels, validation.lesion_ids
    fixed = answers(configuration, report.logits)
    plain = probabilities(report.logits, 1.0, 0.0, np.array(configuration.prior))
    with (folder / "history.csv").open(newline="", encoding="utf-8") as file:
        history = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    # Runs before 2026-11-25 recorded no log loss, and chose by the area.
    best = max(history, key=lambda epoch: -epoch.get("tune_log_loss", -epoch["tune_macro_auc"]))
    points = configuration.operating_points
    return asdict(evaluate(report.labels, fixed.probabilities, report.lesion_ids)) | {
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
        "sources": by_source(configuration, validation, crossed.probabilities, fitted, fixed.probabilities),
        "calibration": {
            "temperature": configuration.temperature,
            "tau": configuration.tau,
            "ece_before": expected_calibration_error(report.labels, plain),
            "ece_after": expected_calibration_error(report.labels, fixed.probabilities),
            "ece_by_chance": error_by_chance(fixed.probabilities),
        },
        "cross_fitted": _evaluate_crossed(fitted, validation),
        "shipped_tau": _evaluate_crossed(at_tau(configuration, validation), validation),
        "sets": {
            "promised": configuration.set_coverage,
            "report": _as_dicts(measure_sets(report.labels, fixed.sets, report.lesion_ids)),
            "cross_fitted": _as_dicts(measure_sets(labels, crossed.sets, lesions)),
        },
        "operating_points": {
            "report": [
                asdict(p) for p in measure_points(report.labels, fixed.flags, report.lesion_ids, points, True)
            ],
            "cross_fitted": [
                asdict(p) for p in measure_points(labels, crossed.flags, lesions, points, False)
            ],
        },
        "curves": curves(fitted, validation, crossed),
        "groups": [asdict(group) for group in by_group(validation.photos, labels, crossed.probabilities)],
        "mistakes": [asdict(m) for m in mistakes(validation.photos, labels, crossed.probabilities)],
        "corruptions": [asdict(row) for row in read_corruptions(folder)],
        "maps": [asdict(row) for row in read_maps(folder)],
        "margins": [asdict(row) for row in read_margins(folder)],
        "dermatoscopic": [asdict(row) for row in read_dermatoscopic(folder)],
        "similar": [asdict(row) for row in read_similar(folder)],
    }


def by_source(
    configuration: Configuration,
    validation: Validation,
    crossed: np.ndarray,
    fitted: Mapping[str, Configuration],
    shown: np.ndarray,
) -> dict[str, Any]:
    """The figures of each source: as shipped on report lesions, and cross-fitted on all validation lesions.

    crossed: float (N, 7), cross-fitted probabilities of all photos; shown: float (M, 7), those shipped of the report photos.
    """
    report, found = validation.part("report"), {}
    flags = cross_fitted(fitted, validation).flags
    points = configuration.operating_points
    for name in dict.fromkeys(validation.sources.tolist()):
        kinds = {}
        for kind, part, probabilities_, flagged in (
            ("report", report, shown, answers(configuration, report.logits).flags),
            ("cross_fitted", validation, crossed, flags),
        ):
            rows = part.sources == name
            own = part.source(name)
            if not rows.any():
                continue
            evaluation = evaluate(own.labels, probabilities_[rows], own.lesion_ids)
            melanoma = target_areas(own.labels, probabilities_[rows], own.lesion_ids)["melanoma"]
            kinds[kind] = asdict(evaluation) | {
                "ece_by_chance": error_by_chance(probabilities_[rows]),
                "melanoma_auc": melanoma["auc"],
                "melanoma_auc_interval": melanoma["auc_interval"],
                "operating_points": [
                    asdict(point)
                    for point in measure_points(
                        own.labels, flagged[rows], own.lesion_ids, points, kind == "report"
                    )
                ],
            }
        found[name] = kinds
    return found


def as_text(metrics: Mapping[str, Any]) -> str:
    """metrics.json, a list of numbers on one line. Raises ValueError for what JSON has no word for."""
    spread = json.dumps(metrics, indent=2, allow_nan=False)
    return re.sub(r"\[([^\[\]{}\"]*)\]", lambda found: f"[{' '.join(found[1].split())}]", spread) + "\n"


def _evaluate_crossed(fitted: Mapping[str, Configuration], validation: Validation) -> dict[str, Any]:
    """`Evaluation` on all validation lesions, each half by constants fitted to the other, and those constants."""
    shown = cross_fitted(fitted, validation).probabilities
    return asdict(evaluate(validation.labels, shown, validation.lesion_ids)) | {
        "ece_by_chance": error_by_chance(shown),
        "fitted_on": {
            part: {"temperature": half.temperature, "tau": half.tau} for part, half in fitted.items()
        },
    }


def _as_dicts(rows: Mapping[str, SetFigures]) -> dict[str, Any]:
    return {name: asdict(row) for name, row in rows.items()}


def _parameters(folder: Path) -> int:
    with np.load(folder / "weights.npz", allow_pickle=False) as arrays:
        return int(sum(arrays[name].size for name in arrays.files))


@in_one_sentence
def main(arguments: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(
        description="Write metrics, figures and documents anew from validation logits."
    )
    parser.add_argument("--model", type=Path, help="only this model folder, and no documents")
    options = parser.parse_args(arguments)
    if options.model:
        calibrate_model(options.model)
        write_report(options.model)
        return
    metrics = {}
    for folder in sorted(path.parent for path in MODELS.glob("*/skinapp.json")):
        calibrate_model(folder)
        write_report(folder)
        metrics[folder.name] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    (MODELS / "metrics.json").write_text(as_text(metrics), encoding="utf-8")
    for document in (MODELS / "README.md", ROOT / "README.md"):
        text = document.read_text(encoding="utf-8")
        text = with_tables(text, metrics)
        if document.parent == MODELS:
            text = with_model_index(text, metrics)
        document.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
