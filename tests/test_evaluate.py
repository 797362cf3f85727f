"""Figures against scikit-learn's, what is undefined, intervals, and the command on a real model folder."""

import csv
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from skinapp.evaluate import main
from skinapp.figures import evaluation as module
from skinapp.figures.evaluation import (
    HEADLINE,
    class_auc,
    evaluate,
    expected_calibration_error,
    headline,
    intervals,
    table,
)
from skinapp.lesions import CODES
from skinapp.network.classifier import Classifier
from skinapp.photo.preprocess import open_photo
from tests.drawings import write_labels


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESAMPLES", 20)  # a thousand take ten seconds


def problem(number: int = 300, seed: int = 0, classes: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Labels of the first so many classes, and probabilities that are right about half the time."""
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), random.integers(0, classes, number - classes)])
    logits = random.normal(0, 1, (number, len(CODES))) + 2 * np.eye(len(CODES))[labels]
    exponentials = np.exp(logits)
    return labels, exponentials / exponentials.sum(1, keepdims=True)


def own_lesions(labels: np.ndarray) -> list[str]:
    return [f"lesion {i}" for i in range(len(labels))]


@pytest.mark.parametrize("seed", range(3))
def test_headline_is_scikit_learns(seed: int) -> None:
    labels, shown = problem(seed=seed)
    top = shown.argmax(1)
    found = headline(labels, shown)
    assert found.keys() == set(HEADLINE)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(labels, top))
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(labels, top))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(labels, top, average="macro"))
    assert found["macro_precision"] == pytest.approx(metrics.precision_score(labels, top, average="macro"))
    assert found["macro_recall"] == pytest.approx(metrics.recall_score(labels, top, average="macro"))
    assert found["macro_auc"] == pytest.approx(metrics.roc_auc_score(labels, shown, multi_class="ovr"))


def test_classes_and_confusion_are_scikit_learns() -> None:
    labels, shown = problem()
    found = evaluate(labels, shown, own_lesions(labels))
    report = metrics.classification_report(labels, shown.argmax(1), output_dict=True, target_names=CODES)
    for i, code in enumerate(CODES):
        row = found.per_class[code]
        assert row.precision == pytest.approx(report[code]["precision"])
        assert row.recall == pytest.approx(report[code]["recall"])
        assert row.f1 == pytest.approx(report[code]["f1-score"])
        assert row.support == report[code]["support"]
        assert row.auc == pytest.approx(metrics.roc_auc_score(labels == i, shown[:, i]))
    assert found.confusion_matrix == metrics.confusion_matrix(labels, shown.argmax(1)).tolist()


def test_confusion_rows_are_the_truth() -> None:
    labels, shown = np.array([4, 4, 5]), np.eye(7)[[5, 5, 5]]
    assert evaluate(labels, shown, "abc").confusion_matrix[4][5] == 2


def slow_calibration_error(labels: np.ndarray, shown: np.ndarray) -> float:
    error = 0.0
    for low in range(15):
        high = (low + 1) / 15 if low < 14 else 1.1  # the last bin holds certainty too
        members = [i for i, row in enumerate(shown) if low / 15 <= row.max() < high]
        if members:
            confidence = np.mean([shown[i].max() for i in members])
            right = np.mean([shown[i].argmax() == labels[i] for i in members])
            error += len(members) / len(labels) * abs(confidence - right)
    return error


@pytest.mark.parametrize("seed", range(3))
def test_calibration_error_is_that_of_a_slow_loop(seed: int) -> None:
    labels, shown = problem(seed=seed)
    assert expected_calibration_error(labels, shown) == pytest.approx(slow_calibration_error(labels, shown))


@pytest.mark.parametrize(
    "labels, shown, error",
    [
        ([0, 1], np.eye(7)[[0, 1]], 0.0),  # sure and right
        ([0, 1], np.eye(7)[[1, 0]], 1.0),  # sure and wrong
        ([0, 1], [[0.5, 0.5, 0, 0, 0, 0, 0]] * 2, 0.0),  # half sure and right half the time
    ],
)
def test_calibration_error_of_plain_cases(labels: list[int], shown: Any, error: float) -> None:
    assert expected_calibration_error(np.array(labels), np.array(shown)) == pytest.approx(error)


def test_class_that_does_not_occur_is_undefined_not_nan() -> None:
    labels, shown = problem(classes=5)
    found = evaluate(labels, shown, own_lesions(labels))
    row = found.per_class["vasc"]
    assert (row.precision, row.recall, row.f1, row.auc, row.support) == (None, None, None, None, 0)
    occurring = [found.per_class[code] for code in CODES[:5]]
    assert found.balanced_accuracy == pytest.approx(np.mean([row.recall for row in occurring]))
    assert found.macro_auc == pytest.approx(np.mean([row.auc for row in occurring]))
    assert '"auc": null' in json.dumps(asdict(found), allow_nan=False)


def test_class_that_is_never_predicted_has_no_precision() -> None:
    labels = np.arange(7)
    found = evaluate(labels, np.eye(7)[np.zeros(7, int)], own_lesions(labels))
    assert found.per_class["bcc"].precision is None
    assert found.per_class["bcc"].recall == 0.0


@pytest.mark.parametrize("number", [1, 20])
def test_one_class_alone(number: int) -> None:
    labels, shown = np.full(number, 5), problem(20)[1][:number]
    found = evaluate(labels, shown, own_lesions(labels))
    assert found.macro_auc is None and found.confidence_intervals["macro_auc"] is None
    assert found.accuracy == found.balanced_accuracy
    json.dumps(asdict(found), allow_nan=False)
    assert "      -" in table(found)


def test_area_of_a_class_that_all_photos_have_is_undefined() -> None:
    assert class_auc(np.array([2, 2]), problem(7)[1][:2], 2) is None


def test_intervals_contain_the_estimate() -> None:
    labels, shown = problem()
    estimate, found = headline(labels, shown), intervals(labels, shown, own_lesions(labels))
    for name in HEADLINE:
        interval, value = found[name], estimate[name]
        assert interval is not None and value is not None and interval[0] < interval[1]
        if name != "ece":  # chance adds to the error of every resample, and so to its interval's lower end
            assert interval[0] < value < interval[1]


def test_intervals_resample_lesions_not_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four like photos of a lesion say no more than one: the interval is twice as wide as by photos."""
    monkeypatch.setattr(module, "RESAMPLES", 100)
    labels, shown = (np.repeat(values, 4, axis=0) for values in problem(75))
    by_photo = intervals(labels, shown, own_lesions(labels))["accuracy"]
    by_lesion = intervals(labels, shown, [f"lesion {i // 4}" for i in range(300)])["accuracy"]
    assert by_photo and by_lesion
    assert 1.5 < np.ptp(by_lesion) / np.ptp(by_photo) < 2.7


def test_lesions_are_counted() -> None:
    labels, shown = problem(40)
    found = evaluate(labels, shown, [f"lesion {i // 4}" for i in range(40)])
    assert (found.n, found.lesions) == (40, 10)


def run(dataset: Path, model: Path, out: Path, *more: str, labels: Path | None = None) -> int:
    labels = labels or dataset / "HAM10000_metadata.csv"
    paths = {
        "--images": dataset / "images",
        "--labels": labels,
        "--model": model,
        "--json": out / "figures.json",
        "--predictions": out / "predictions.csv",
    }
    return main([*(word for option, path in paths.items() for word in (option, str(path))), *more])


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_command_writes_exactly_the_agreed_figures(
    dataset_folder: Path, model_folder: Path, tmp_path: Path
) -> None:
    assert run(dataset_folder, model_folder, tmp_path) == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    agreed = {*HEADLINE, "n", "per_class", "confusion_matrix", "confidence_intervals"}
    assert figures.keys() == agreed | {"lesions", "model"}
    assert set(HEADLINE) == {
        "accuracy", "balanced_accuracy", "macro_f1", "macro_auc", "ece", "macro_precision", "macro_recall"
    }  # fmt: skip
    assert tuple(figures["per_class"]) == CODES
    for row in figures["per_class"].values():
        assert row.keys() == {"precision", "recall", "f1", "auc", "support"}
    assert figures["confidence_intervals"].keys() == set(HEADLINE)
    assert all(len(interval) == 2 for interval in figures["confidence_intervals"].values())
    assert np.array(figures["confusion_matrix"]).shape == (7, 7)
    assert figures["n"] == np.sum(figures["confusion_matrix"]) == 98
    assert figures["lesions"] == 63
    assert figures["model"] == {"name": model_folder.name, "sha256": Classifier(model_folder).sha256}


def test_predictions_are_what_the_app_shows(dataset_folder: Path, model_folder: Path, tmp_path: Path) -> None:
    assert run(dataset_folder, model_folder, tmp_path) == 0
    classifier = Classifier(model_folder)
    written = rows_of(tmp_path / "predictions.csv")
    assert len(written) == 98 and len({row["predicted"] for row in written}) > 1
    for row in written[::10]:
        shown = classifier(open_photo(dataset_folder / "images" / f"{row['image_id']}.jpg"))
        assert row["predicted"] == shown.top.code
        np.testing.assert_allclose([float(row[code]) for code in CODES], shown.probabilities, atol=1e-5)


def test_figures_are_those_of_the_predictions(
    dataset_folder: Path, model_folder: Path, tmp_path: Path
) -> None:
    assert run(dataset_folder, model_folder, tmp_path) == 0
    written = rows_of(tmp_path / "predictions.csv")
    right = np.mean([row["predicted"] == row["dx"] for row in written])
    assert json.loads((tmp_path / "figures.json").read_text())["accuracy"] == pytest.approx(right)


def test_table_may_lack_a_class_and_name_some_photos_only(
    dataset_folder: Path, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row for row in rows_of(dataset_folder / "HAM10000_metadata.csv") if row["dx"] != "df"]
    write_labels(tmp_path / "some.csv", rows)
    assert run(dataset_folder, model_folder, tmp_path, labels=tmp_path / "some.csv") == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["n"] == 84
    absent = figures["per_class"]["df"]
    assert absent == dict.fromkeys(("precision", "recall", "f1", "auc")) | {"support": 0}
    assert "84 photos of 54 lesions" in capsys.readouterr().out


def test_part_takes_some_rows(dataset_folder: Path, model_folder: Path, tmp_path: Path) -> None:
    rows = rows_of(dataset_folder / "HAM10000_metadata.csv")
    parted = [row | {"part": ("train", "report")[i % 2]} for i, row in enumerate(rows)]
    write_labels(tmp_path / "split.csv", parted)
    assert run(dataset_folder, model_folder, tmp_path, "--part", "report", labels=tmp_path / "split.csv") == 0
    written = rows_of(tmp_path / "predictions.csv")
    assert [row["image_id"] for row in written] == [row["image_id"] for row in rows[1::2]]


def test_label_without_photo_is_named(
    dataset_folder: Path, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = rows_of(dataset_folder / "HAM10000_metadata.csv")
    write_labels(tmp_path / "labels.csv", [*rows, rows[0] | {"image_id": "ISIC_9999999"}])
    assert run(dataset_folder, model_folder, tmp_path, labels=tmp_path / "labels.csv") == 1
    assert "1 labels without a photo: ISIC_9999999" in capsys.readouterr().err
    assert not (tmp_path / "figures.json").exists()


def test_model_of_other_weights_is_refused(
    dataset_folder: Path, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model_folder, broken)
    with (broken / "weights.npz").open("ab") as file:
        file.write(b"x")
    assert run(dataset_folder, broken, tmp_path) == 1
    assert "sha256 differs" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["--images", "--labels", "--json", "--model"])
def test_missing_path_is_named_in_one_line(
    missing: str, dataset_folder: Path, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(dataset_folder, model_folder, tmp_path, missing, str(tmp_path / "nowhere" / "x")) == 1
    said = capsys.readouterr().err.strip()
    assert "nowhere" in said and "\n" not in said and "Traceback" not in said
