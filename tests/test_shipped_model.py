"""The shipped weights on real photos, where the data set lies beside the repository."""

import csv
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from skinapp.classifier import load
from skinapp.lesions import CODES
from skinapp.models import MODELS, default_model
from skinapp.preprocess import open_photo, to_pixels

IMAGES = MODELS.parent.parent / "shared" / "data" / "ham10000" / "images"
A_CLASS = 10


def fixed_report_photos() -> list[tuple[Path, int]]:
    """The first ten photos a class (fewer where there are fewer) of report lesions, by id."""
    with (MODELS / "split.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["part"] == "report"]
    chosen = []
    for index, code in enumerate(CODES):
        ids = sorted(row["image_id"] for row in rows if row["dx"] == code)[:A_CLASS]
        chosen += [(IMAGES / f"{image_id}.jpg", index) for image_id in ids]
    return chosen


@pytest.mark.skipif(not IMAGES.is_dir(), reason="needs HAM10000 in ../shared/data/ham10000")
def test_balanced_accuracy_on_fixed_report_photos() -> None:
    classifier = load(default_model())
    configuration = classifier.configuration
    photos = fixed_report_photos()
    assert len(photos) >= 60
    pictures = [
        to_pixels(open_photo(path), configuration.input_size, configuration.resampling) for path, _ in photos
    ]
    shown = configuration.probabilities(classifier.logits(np.stack(pictures)))
    labels = [label for _, label in photos]
    assert balanced_accuracy_score(labels, shown.argmax(1)) > 0.5


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in MODELS.glob("*/config.json")), ids=lambda f: f.name
)
def test_a_shipped_folder_is_complete_and_small(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "config.json", "network.json", "weights.npz", "metrics.json", "history.csv", "validation.csv",
        "learning_curves.png", "confusion_matrix.png", "roc.png",
    }  # fmt: skip
    assert (folder / "weights.npz").stat().st_size < 10_000_000
    assert load(folder).configuration.input_size >= 94
