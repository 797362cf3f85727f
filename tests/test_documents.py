"""Figures in the documents are those of model/metrics.json, which are those of the weights, and what they name exists."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from skinapp.classifier import Configuration
from skinapp.models import MODELS
from tests.serving import ROOT
from train.calibrate import answers, fit_configuration
from train.decisions import measure_points, measure_sets
from train.evaluate import evaluate
from train.tables import with_model_index, with_tables
from train.validation import read_validation

DOCUMENTS = [ROOT / "README.md", MODELS / "README.md"]
FOLDERS = sorted(path.parent for path in MODELS.glob("*/config.json"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=["README", "card"])
def test_results_are_those_of_the_metrics(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    metrics = json.loads((MODELS / "metrics.json").read_text(encoding="utf-8"))
    written = with_tables(text, metrics)
    if document.parent == MODELS:
        written = with_model_index(written, metrics)
    assert written == text, "run python -m train.report"


def test_the_metrics_are_those_of_the_shipped_weights() -> None:
    metrics = json.loads((MODELS / "metrics.json").read_text(encoding="utf-8"))
    assert list(metrics) == [folder.name for folder in FOLDERS]
    for folder in FOLDERS:
        assert metrics[folder.name] == json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        configuration = Configuration.read(folder)
        assert metrics[folder.name]["model"]["sha256"] == configuration.sha256["weights.npz"]
        assert metrics[folder.name]["calibration"]["tau"] == configuration.tau


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_configuration_follows_from_the_tune_lesions(folder: Path) -> None:
    shipped = Configuration.read(folder)
    assert fit_configuration(shipped, read_validation(folder).part("tune")) == shipped


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_metrics_follow_from_the_validation_logits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "train.evaluate.RESAMPLES", 2
    )  # a thousand take ten seconds, and intervals are not compared
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    configuration, report = Configuration.read(folder), read_validation(folder).part("report")
    found = answers(configuration, report.logits)
    fresh = evaluate(report.labels, found.probabilities, report.lesion_ids)
    for figure in ("n", "accuracy", "balanced_accuracy", "macro_f1", "macro_auc", "ece"):
        assert getattr(fresh, figure) == pytest.approx(metrics[figure])
    assert fresh.confusion_matrix == metrics["confusion_matrix"]
    assert np.sum(fresh.confusion_matrix) == fresh.n
    for name, sets in measure_sets(report.labels, found.sets, report.lesion_ids).items():
        written = metrics["sets"]["report"][name]
        assert (sets.photos, sets.coverage, sets.size) == pytest.approx(
            (written["photos"], written["coverage"], written["size"])
        )
    points = measure_points(
        report.labels, found.flags, report.lesion_ids, configuration.operating_points, True
    )
    for point, written in zip(points, metrics["operating_points"]["report"], strict=True):
        assert (point.target, point.asked, point.threshold) == tuple(
            written[key] for key in ("target", "asked", "threshold")
        )
        assert point.sensitivity == pytest.approx(written["sensitivity"])
        assert point.specificity == pytest.approx(written["specificity"])


@pytest.mark.parametrize("document", DOCUMENTS, ids=["README", "card"])
def test_linked_files_exist(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text(encoding="utf-8"))
    missing = [link for link in links if not (document.parent / link).exists()]
    assert links
    assert not missing


def test_no_photo_of_the_data_set_is_tracked() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "skinapp/lesions.py" in tracked
    assert not re.findall(r"ISIC_\d+\.(?:jpe?g|png)", tracked, re.IGNORECASE)


def test_skinapp_never_imports_train() -> None:
    for path in [ROOT / "app.py", *(ROOT / "skinapp").rglob("*.py")]:
        assert not re.search(r"^\s*(from|import) train\b", path.read_text(encoding="utf-8"), re.MULTILINE), (
            path
        )
