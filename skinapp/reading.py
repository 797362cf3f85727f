"""Everything known of one photo. Page, command line and API all go through `read`, so that they agree."""

from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
from PIL import Image

from skinapp import NOTICE
from skinapp.classifier import Classifier, Prediction
from skinapp.decision import TARGETS, OperatingPoint, conformal_set, target_probability
from skinapp.lesions import BY_CODE, CODES, LesionClass
from skinapp.photo_checks import Check
from skinapp.preprocess import centre_square, open_photo
from skinapp.saliency import SaliencyMap, explain

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

    @property
    def held(self) -> tuple[LesionClass, ...]:
        """The conformal set, the most probable class first."""
        shown = np.array(self.prediction.probabilities)
        inside = conformal_set(shown, np.array(self.classifier.configuration.set_thresholds))
        return tuple(BY_CODE[CODES[i]] for i in np.argsort(-shown, kind="stable") if inside[i])

    @property
    def flags(self) -> tuple[tuple[OperatingPoint, bool], ...]:
        """The model's operating points, and whether this photo passes each."""
        points = self.classifier.configuration.operating_points
        return tuple((point, self.probability(point.target) >= point.threshold) for point in points)

    @property
    def dermatoscopic(self) -> bool | None:
        """Whether the photo looks like a dermatoscopic one to the network; None where the model does not tell."""
        score = self.prediction.dermatoscopic_score
        return None if score is None else score <= self.classifier.configuration.dermatoscopic_threshold

    @property
    def checks(self) -> tuple[Check, ...]:
        """The photo checks, passed ones included."""
        if self.dermatoscopic is None:
            return ()
        finding = "This looks like a dermatoscopic photo to the network."
        advice = "Use a photo taken through a dermatoscope: the network has seen nothing else."
        if self.dermatoscopic:
            return (Check("dermatoscopic", True, finding, ""),)
        return (Check("dermatoscopic", False, finding.replace("looks", "does not look"), advice),)

    def probability(self, target: str) -> float:
        """The summed probability of a target's classes. target: a key of `decision.TARGETS`."""
        return float(target_probability(np.array(self.prediction.probabilities), target))

    def saliency(self, code: str | None = None, method: str | None = None) -> SaliencyMap:
        """The map of a class, by default of the most probable one, by the model's own method or a key of `METHODS`."""
        return explain(self.classifier, self.prediction, code or self.top.code, method)

    def as_json(self) -> dict[str, Any]:
        """What API and command line answer: {label, name, probabilities: {code: float}, set: {coverage, codes},
        targets: {target: {probability, operating_points: [{sensitivity, threshold, flagged}]}},
        dermatoscopic: {score, threshold, passed} or null, model: {name, sha256}, notice}."""
        configuration = self.classifier.configuration
        return {
            "label": self.top.code,
            "name": self.top.name,
            "probabilities": self.prediction.by_code,
            "set": {"coverage": configuration.set_coverage, "codes": [lesion.code for lesion in self.held]},
            "targets": {
                target: {
                    "probability": self.probability(target),
                    "operating_points": [
                        {"sensitivity": point.sensitivity, "threshold": point.threshold, "flagged": flagged}
                        for point, flagged in self.flags
                        if point.target == target
                    ],
                }
                for target in TARGETS
            },
            "dermatoscopic": None
            if self.dermatoscopic is None
            else {
                "score": self.prediction.dermatoscopic_score,
                "threshold": configuration.dermatoscopic_threshold,
                "passed": self.dermatoscopic,
            },
            "model": {"name": self.classifier.name, "sha256": self.classifier.sha256},
            "notice": NOTICE,
        }


def read(source: bytes | str | PathLike[str], classifier: Classifier) -> Reading:
    """Decode a photo and run the network once. source: an image file's bytes or path. Raises PhotoError."""
    photo = open_photo(source)
    return reading_of(photo, classifier(photo), classifier)


def reading_of(photo: Image.Image, prediction: Prediction, classifier: Classifier) -> Reading:
    """What is known of a photo once the network has run on it. photo: from `open_photo`; prediction: this classifier's."""
    square = centre_square(photo)
    square.thumbnail((SHOWN_SIDE, SHOWN_SIDE), Image.Resampling.LANCZOS)
    return Reading(square, prediction, classifier)
