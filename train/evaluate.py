"""How good a model is on labelled photos: the figures, their intervals, a table.

    python -m train.evaluate --images DIR --labels CSV [--part report] [--model DIR] [--json FILE] [--predictions FILE]

CSV has the columns `image_id` and `dx`; with `lesion_id`, intervals resample lesions. `--part report` takes the rows that
have it in the column `part`, as in model/split.csv.
"""

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from skinapp.figures.evaluation import evaluate, table
from skinapp.lesions import CODES
from skinapp.network.classifier import Classifier
from skinapp.network.folders import default_model
from skinapp.photo.preprocess import to_pixels
from train.commands import in_one_sentence
from train.dataset import Dataset, Record, load_labelled


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
