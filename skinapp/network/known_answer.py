"""A drawn picture whose answer is known: whether a loaded network still says what it said when it was exported."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from skinapp.network.classifier import Classifier
from skinapp.network.configuration import ModelError
from skinapp.photo.preprocess import to_pixels

FILE = "known_answer.json"
TOLERANCE = 0.02  # of a logit: processors and TensorFlow versions round differently, and the spread of logits is about 3

# What of the configuration decides an answer, beside the weights. Its checksum tells that nobody has edited it; this tells that
# a later step of training, which may rewrite it, has left the answers as they were.
DECIDING = (
    "input_size", "resampling", "classes", "views", "prior", "temperature", "tau",
    "set_coverage", "set_thresholds", "operating_points", "dermatoscopic_layer", "dermatoscopic_threshold",
    "withheld_threshold",
)  # fmt: skip


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


def check(classifier: Classifier) -> None:
    """Hold a network to the known answer of its folder.

    Raises ModelError where there is none, where it is of other weights or another configuration, where the network gives
    another, and where what it says are no probabilities at all.
    """
    path, configuration = classifier.folder / FILE, classifier.configuration
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        of, then = known["weights_sha256"], dict(known["configuration"])
        expected, shown = np.array(known["logits"], np.float64), np.array(known["probabilities"], np.float64)
    except FileNotFoundError:
        raise ModelError(f"{path} is missing: restore it, or run python -m train.known_answer.") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelError(f"{path} cannot be read: restore it, or run python -m train.known_answer.") from None
    if of != classifier.sha256:
        raise ModelError(f"{path} belongs to other weights: run python -m train.known_answer.")
    now = _deciding(classifier)
    if changed := [name for name in DECIDING if name not in then or then[name] != now[name]]:
        raise ModelError(
            f"{classifier.folder}: skinapp.json has another {' and '.join(changed)} than when the known answer was stored: "
            "restore it, or run python -m train.known_answer."
        )
    found = logits(classifier)
    total = float(configuration.probabilities(found).sum())
    if not math.isclose(total, 1, abs_tol=1e-6):  # NaN is not close to anything
        raise ModelError(f"{classifier.folder}: the network gives no probabilities: restore its files.")
    if not (
        _close(found, expected, TOLERANCE)
        and _close(configuration.probabilities(expected), shown, 1e-6)  # arithmetic alone: no tolerance
    ):
        raise ModelError(
            f"{classifier.folder}: the network answers a drawn picture otherwise than when it was exported: restore its files."
        )


def write(classifier: Classifier) -> Path:
    """Store what the network says now as the known answer of its folder. Returns the file."""
    path = Path(classifier.folder) / FILE
    found = logits(classifier)
    known = {
        "weights_sha256": classifier.sha256,
        "configuration": _deciding(classifier),
        "logits": found.tolist(),
        "probabilities": classifier.configuration.probabilities(found).tolist(),
    }
    path.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    return path


def _deciding(classifier: Classifier) -> dict[str, Any]:
    """What of the configuration decides an answer, as JSON gives it back."""
    configuration = json.loads(json.dumps(asdict(classifier.configuration)))
    return {name: configuration[name] for name in DECIDING}


def _close(found: np.ndarray, expected: np.ndarray, tolerance: float) -> bool:
    return found.shape == expected.shape and float(np.abs(found - expected).max()) <= tolerance
