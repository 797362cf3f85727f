"""The shipped folders: complete, by the rule, and as recorded on real photos, where the data set lies beside the repository."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from skinapp.lesions import CODES
from skinapp.network.classifier import load
from skinapp.network.configuration import Configuration
from skinapp.network.folders import MODELS
from skinapp.photo.preprocess import open_photo, to_pixels
from train.maps import choose, read_maps
from train.validation import read_validation

IMAGES = MODELS.parent.parent / "shared" / "data" / "ham10000" / "images"
A_CLASS = 10

of_every_model = pytest.mark.parametrize(
    "folder", sorted(path.parent for path in MODELS.glob("*/skinapp.json")), ids=lambda folder: folder.name
)


@pytest.mark.skipif(not IMAGES.is_dir(), reason="needs HAM10000 in ../shared/data/ham10000")
@of_every_model
def test_report_photos_get_the_recorded_logits(folder: Path) -> None:
    """The first ten photos a class (fewer where there are fewer), by id: all figures come from the recorded logits."""
    classifier, recorded = load(folder), read_validation(folder).part("report")
    by_id = np.argsort([photo.image_id for photo in recorded.photos])
    rows = np.concatenate([by_id[recorded.labels[by_id] == index][:A_CLASS] for index in range(len(CODES))])
    assert len(rows) >= 60
    configuration = classifier.configuration
    pictures = [
        to_pixels(
            open_photo(IMAGES / f"{recorded.photos[row].image_id}.jpg"),
            configuration.input_size,
            configuration.resampling,
        )
        for row in rows
    ]
    logits = classifier.logits(np.stack(pictures))
    np.testing.assert_allclose(logits, recorded.logits[rows], atol=0.01)
    shown = configuration.probabilities(logits)
    assert balanced_accuracy_score(recorded.labels[rows], shown.argmax(1)) > 0.7


@of_every_model
def test_the_map_is_the_one_that_the_rule_chooses(folder: Path) -> None:
    """Without the rule's time limit, which depends on the machine: the winner must be the same."""
    configuration, winner = Configuration.read(folder), choose(read_maps(folder), float("inf"))
    assert winner is not None
    assert (configuration.map_method, configuration.map_layer) == (winner.method, winner.layer)


@of_every_model
def test_a_shipped_folder_is_complete_and_small(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "skinapp.json", "network.json", "weights.npz", "metrics.json", "history.csv", "validation.csv",
        "learning_curves.png", "confusion_matrix.png", "roc.png", "reliability.png", "corruptions.csv", "corruptions.png",
        "maps.csv", "dermatoscopic.csv", "dermatoscopic.npz", "similar.csv", "similar.npz", "known_answer.json",
    }  # fmt: skip
    assert (folder / "weights.npz").stat().st_size < 10_000_000
    assert load(folder).configuration.input_size >= 94
