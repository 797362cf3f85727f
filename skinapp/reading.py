"""Everything known of one photo. Page, command line and API all go through `read`, so that they agree."""

from dataclasses import dataclass
from os import PathLike
from typing import Any

from PIL import Image

from skinapp import NOTICE
from skinapp.classifier import Classifier, Prediction
from skinapp.lesions import LesionClass
from skinapp.preprocess import centre_square, open_photo
from skinapp.saliency import SaliencyMap, grad_cam

SHOWN_SIDE = 512  # pixels a side of the square that people see; the network sees its own


@dataclass(frozen=True)
class Reading:
    """square: RGB picture of what the network saw, at most SHOWN_SIDE a side, without metadata."""

    square: Image.Image
    prediction: Prediction
    classifier: Classifier

    @property
    def top(self) -> LesionClass:
        """The most probable class."""
        return self.prediction.top

    def saliency(self, code: str | None = None) -> SaliencyMap:
        """The Grad-CAM of a class, by default of the most probable one. Runs only the network's head."""
        return grad_cam(self.classifier)(self.prediction.features, code or self.top.code)

    def as_json(self) -> dict[str, Any]:
        """What API and command line answer: {label, name, probabilities: {code: float}, model: {name, sha256}, notice}."""
        return {
            "label": self.top.code,
            "name": self.top.name,
            "probabilities": self.prediction.by_code,
            "model": {"name": self.classifier.name, "sha256": self.classifier.sha256},
            "notice": NOTICE,
        }


def read(source: bytes | str | PathLike[str], classifier: Classifier) -> Reading:
    """Decode a photo and run the network once. source: an image file's bytes or path. Raises PhotoError."""
    photo = open_photo(source)
    prediction = classifier(photo)
    square = centre_square(photo)
    square.thumbnail((SHOWN_SIDE, SHOWN_SIDE), Image.Resampling.LANCZOS)
    return Reading(square, prediction, classifier)
