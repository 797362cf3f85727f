"""A drawn picture whose answer is known: whether a loaded network still says what it said when it was exported."""

import json
import math
from pathlib import Path

import numpy as np
from PIL import Image

from skinapp.classifier import Classifier
from skinapp.models import ModelError
from skinapp.preprocess import to_pixels

FILE = "known_answer.json"
TOLERANCE = 0.02  # of a logit: processors and TensorFlow versions round differently, and the spread of logits is about 3


def drawn_lesion() -> Image.Image:
    """A brown ellipse with a darker part on skin, 256 x 256, the same on every machine."""
    down, right = np.mgrid[0:256, 0:256].astype(np.float64)
    distance = np.hypot((right - 120) / 70, (down - 134) / 52)
    inside = np.clip((1.1 - distance) / 0.2, 0, 1)[..., np.newaxis]
    darker = np.clip((0.6 - np.hypot((right - 100) / 40, (down - 120) / 40)) / 0.3, 0, 1)[..., np.newaxis]
    skin, lesion, dark = np.array([214.0, 168, 146]), np.array([128.0, 82, 58]), np.array([70.0, 44, 40])
    colours = skin * (1 - inside) + (lesion * (1 - darker) + dark * darker) * inside
    return Image.fromarray(np.round(colours).astype(np.uint8))


def logits(classifier: Classifier) -> np.ndarray:
    """The network's logits for the drawn picture, float32 (7,)."""
    configuration = classifier.configuration
    pixels = to_pixels(drawn_lesion(), configuration.input_size, configuration.resampling)
    return classifier.logits(pixels[np.newaxis])[0]


def check(classifier: Classifier) -> bool:
    """Whether the model folder holds a known answer, and the network gives it. False where it holds none.

    Raises ModelError where the network gives another, where the answer is of other weights, or where what it says are no
    probabilities at all.
    """
    found = logits(classifier)
    total = float(classifier.configuration.probabilities(found).sum())
    if not math.isclose(total, 1, abs_tol=1e-6):  # NaN is not close to anything
        raise ModelError(f"{classifier.folder}: the network gives no probabilities: restore its files.")
    path = classifier.folder / FILE
    if not path.exists():
        return False
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        expected, of = np.array(known["logits"], np.float64), known["weights_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelError(f"{path} cannot be read: restore it, or run python -m train.known_answer.") from None
    if of != classifier.sha256:
        raise ModelError(f"{path} belongs to other weights: run python -m train.known_answer.")
    if expected.shape != found.shape or float(np.abs(expected - found).max()) > TOLERANCE:
        raise ModelError(
            f"{classifier.folder}: the network answers a drawn picture otherwise than when it was exported: restore its files."
        )
    return True


def write(classifier: Classifier) -> Path:
    """Store what the network says now as the known answer of its folder. Returns the file."""
    path = Path(classifier.folder) / FILE
    known = {"weights_sha256": classifier.sha256, "logits": [float(logit) for logit in logits(classifier)]}
    path.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    return path
