"""How good a model is on labelled photos: the figures, their intervals, a table.

    python -m train.evaluate --images DIR --labels CSV [--part report] [--model DIR] [--json FILE] [--predictions FILE]

CSV has the columns `image_id` and `dx`; with `lesion_id`, intervals resample lesions. `--part report` takes the rows that
have it in the column `part`, as in model/split.csv.
"""

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from sklearn.utils import resample
from tqdm import tqdm

from skinapp.figures.evaluation import HEADLINE, ClassFigures, confusion_counts, headline, per_class
from skinapp.lesions import CODES
from skinapp.network.classifier import Classifier
from skinapp.network.folders import default_model
from skinapp.photo.preprocess import to_pixels
from train.commands import in_one_sentence
from train.dataset import Dataset, Record, load_labelled

RESAMPLES = 1000


@dataclass(frozen=True)
class Evaluation:
    """All figures of one evaluation. Macro figures are means over the classes that occur; a precision that is undefined counts as 0 there,
    as in scikit-learn.

    confusion_matrix: rows are the true class, columns the most probable one, both in the order of CODES.
    confidence_intervals: 95 %, by figure; bootstrap over lesions, percentiles.
    """

    n: int
    lesions: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    macro_auc: float | None
    ece: float
    macro_precision: float
    macro_recall: float
    per_class: dict[str, ClassFigures]
    confusion_matrix: list[list[int]]
    confidence_intervals: dict[str, tuple[float, float] | None]


def evaluate(labels: np.ndarray, probabilities: np.ndarray, lesions: Sequence[str]) -> Evaluation:
    """labels: int (N,) indices into CODES; probabilities: float (N, 7), rows sum to 1; lesions: N ids -> Evaluation."""
    figures = headline(labels, probabilities)
    return Evaluation(
        n=len(labels),
        lesions=len(set(lesions)),
        **figures,  # type: ignore[arg-type]  # only macro_auc can be None
        per_class=per_class(labels, probabilities),
        confusion_matrix=confusion_counts(labels, probabilities),
        confidence_intervals=intervals(labels, probabilities, lesions),
    )


def intervals(
    labels: np.ndarray, probabilities: np.ndarray, lesions: Sequence[str]
) -> dict[str, tuple[float, float] | None]:
    """95 % bootstrap intervals of the headline figures, whole lesions drawn with replacement."""
    drawn = [headline(labels[rows], probabilities[rows]) for rows in resampled(lesions)]
    result: dict[str, tuple[float, float] | None] = {}
    for name in HEADLINE:
        values = [figures[name] for figures in drawn if figures[name] is not None]
        result[name] = tuple(np.percentile(values, [2.5, 97.5]).tolist()) if values else None  # type: ignore[arg-type]
    return result


def resampled(lesions: Sequence[str]) -> Iterator[np.ndarray]:
    """The rows of RESAMPLES bootstrap samples, whole lesions drawn with replacement. lesions: N ids -> int arrays."""
    members: dict[str, list[int]] = {}
    for index, lesion in enumerate(lesions):
        members.setdefault(lesion, []).append(index)
    groups = [np.array(group) for group in members.values()]
    random = np.random.RandomState(0)  # the same data give the same intervals
    for _ in tqdm(range(RESAMPLES), desc="intervals", disable=None, leave=False):
        yield np.concatenate([groups[i] for i in resample(np.arange(len(groups)), random_state=random)])


def resample_counts(lesions: Sequence[str]) -> np.ndarray:
    """How often each row is in each of those samples: float64 (RESAMPLES, N), so that a product with it counts."""
    return np.stack([np.bincount(rows, minlength=len(lesions)) for rows in resampled(lesions)]).astype(float)


def table(evaluation: Evaluation) -> str:
    """The evaluation as text for a terminal."""

    def shown(value: float | None) -> str:
        return "      -" if value is None else f"{value:7.3f}"

    lines = [f"{evaluation.n} photos of {evaluation.lesions} lesions", ""]
    for name in HEADLINE:
        interval = evaluation.confidence_intervals[name]
        between = f"  [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
        lines.append(f"{name.replace('_', ' '):20}{shown(getattr(evaluation, name))}{between}")
    lines += ["", f"{'dx':8}{'precision':>10}{'recall':>10}{'F1':>10}{'AUC':>10}{'photos':>10}"]
    for code, row in evaluation.per_class.items():
        cells = "".join(f"{shown(value):>10}" for value in (row.precision, row.recall, row.f1, row.auc))
        lines.append(f"{code:8}{cells}{row.support:>10}")
    lines += [
        "",
        "confusion matrix (rows: true dx, columns: most probable)",
        " " * 8 + "".join(f"{c:>7}" for c in CODES),
    ]
    for code, counts in zip(CODES, evaluation.confusion_matrix, strict=True):
        lines.append(f"{code:8}" + "".join(f"{count:>7}" for count in counts))
    return "\n".join(lines)


def write_predictions(path: Path, records: Sequence[Record], probabilities: np.ndarray) -> None:
    """One row a photo: image_id, lesion_id, dx, predicted, and the probability of each class."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image_id", "lesion_id", "dx", "predicted", *CODES])
        for record, row in zip(records, probabilities, strict=True):
            predicted = CODES[int(row.argmax())]
            writer.writerow(
                [record.image_id, record.lesion_id, record.dx, predicted, *(f"{p:.6f}" for p in row)]
            )


def predict(dataset: Dataset, classifier: Classifier) -> np.ndarray:
    """The probabilities that the app shows. Pictures from `to_pixels` -> float64 (N, 7)."""
    return classifier.configuration.probabilities(classifier.logits(dataset.pictures))


@in_one_sentence
def main(arguments: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(description="Measure a model on labelled photos.")
    parser.add_argument("--images", type=Path, required=True, help="the folder of photos")
    parser.add_argument(
        "--labels", type=Path, required=True, help="a CSV with image_id, dx and optionally lesion_id"
    )
    parser.add_argument("--part", help="only the rows whose column `part` says so: train, tune or report")
    parser.add_argument("--model", type=Path, help="a model folder (default: SKINAPP_MODEL or model/fast)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--predictions", type=Path, help="write each photo's probabilities to this CSV")
    options = parser.parse_args(arguments)
    classifier = Classifier(options.model or default_model())
    size, resampling = classifier.configuration.input_size, classifier.configuration.resampling
    dataset = load_labelled(
        options.images, options.labels, lambda photo: to_pixels(photo, size, resampling), options.part
    )
    probabilities = predict(dataset, classifier)
    evaluation = evaluate(dataset.labels, probabilities, [record.lesion_id for record in dataset.records])
    print(f"model {classifier.title}, sha256 {classifier.sha256}")
    print(table(evaluation))
    if options.json:
        figures = asdict(evaluation) | {"model": {"name": classifier.name, "sha256": classifier.sha256}}
        options.json.write_text(json.dumps(figures, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    if options.predictions:
        write_predictions(options.predictions, dataset.records, probabilities)


if __name__ == "__main__":
    sys.exit(main())
