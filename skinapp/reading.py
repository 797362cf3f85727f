"""Everything known of one photo. Page, command line and API all go through `read`, so that they agree."""

from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any

import numpy as np
from PIL import Image

from skinapp import NOTICE
from skinapp.decision import CAUTION, TARGETS, OperatingPoint, conformal_set, target_probability
from skinapp.lesions import BY_CODE, CODES, LesionClass
from skinapp.network.classifier import Classifier, Prediction
from skinapp.network.saliency import SaliencyMap, explain
from skinapp.photo.checks import Check, check_square, colours_check, dermatoscopic_check
from skinapp.photo.colours import IGNORED
from skinapp.photo.preprocess import Frame, framed, open_photo, to_pixels
from skinapp.words import headline

SHOWN_SIDE = 512  # pixels a side of the square that people see; the network sees its own


@dataclass(frozen=True)
class Reading:
    """square: RGB picture of what the network saw, at most SHOWN_SIDE a side, without metadata. checks: all photo checks,
    passed ones included."""

    square: Image.Image
    prediction: Prediction
    classifier: Classifier
    checks: tuple[Check, ...]

    @property
    def top(self) -> LesionClass:
        """The most probable class."""
        return self.prediction.top

    @property
    def held(self) -> tuple[LesionClass, ...]:
        """The prediction set at the operating point that is chosen before anybody chooses."""
        return self.held_at(CAUTION)

    def held_at(self, sensitivity: float) -> tuple[LesionClass, ...]:
        """The prediction set, the most probable class first. Where the lesion is flagged at CAUTION, or at a more cautious
        point that was chosen, the set holds a malignant or premalignant class. sensitivity: of the chosen point."""
        shown = np.array(self.prediction.probabilities)
        inside = conformal_set(
            shown,
            np.array(self.classifier.configuration.set_thresholds),
            self.flagged(max(sensitivity, CAUTION)),
        )
        return tuple(BY_CODE[CODES[i]] for i in np.argsort(-shown, kind="stable") if inside[i])

    def flagged(self, sensitivity: float) -> bool:
        """Whether the lesion is flagged as malignant or premalignant at this point; False where there is no such point."""
        found = self.flag("malignant", sensitivity)
        return found is not None and found[1]

    @property
    def flags(self) -> tuple[tuple[OperatingPoint, bool], ...]:
        """The model's operating points, and whether this photo passes each."""
        points = self.classifier.configuration.operating_points
        return tuple((point, self.probability(point.target) >= point.threshold) for point in points)

    def flag(self, target: str, sensitivity: float) -> tuple[OperatingPoint, bool] | None:
        """One operating point and whether this photo passes it; None where the model has no such point."""
        return next((f for f in self.flags if (f[0].target, f[0].sensitivity) == (target, sensitivity)), None)

    @property
    def dermatoscopic(self) -> bool | None:
        """Whether the photo looks like a dermatoscopic one to the network; None where the model does not tell."""
        score = self.prediction.dermatoscopic_score
        return None if score is None else score <= self.classifier.configuration.dermatoscopic_threshold

    @property
    def withheld(self) -> bool:
        """Whether the photo is so far from all dermatoscopic ones that its result should wait until somebody asks for it."""
        score = self.prediction.dermatoscopic_score
        return score is not None and score > self.classifier.configuration.withheld_threshold

    def probability(self, target: str) -> float:
        """The summed probability of a target's classes. target: a key of `decision.TARGETS`."""
        return float(target_probability(np.array(self.prediction.probabilities), target))

    def saliency(self, code: str | None = None, method: str | None = None) -> SaliencyMap:
        """The map of a class, by default of the most probable one, by the model's own method or a key of `METHODS`."""
        return explain(self.classifier, self.prediction, code or self.top.code, method)

    def as_json(self) -> dict[str, Any]:
        """What API and command line answer: {headline, label, name, probabilities: {code: float}, set: {coverage, codes},
        targets: {target: {probability, operating_points: [{sensitivity, threshold, flagged}]}},
        dermatoscopic: {score, threshold, passed, withheld} or null, checks: [{name, passed, finding, advice}], model: {name, sha256}, notice}."""
        configuration = self.classifier.configuration
        return {
            "headline": headline(self),
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
                "withheld": self.withheld,
            },
            "checks": [asdict(check) for check in self.checks],
            "model": {"name": self.classifier.name, "sha256": self.classifier.sha256},
            "notice": NOTICE,
        }


@dataclass(frozen=True)
class Prepared:
    """A photo ready for the network, small enough to wait in numbers. square: as in Reading; pixels: uint8 (S, S, 3), what
    the network will see; checks: those that need no network."""

    square: Image.Image
    pixels: np.ndarray
    checks: tuple[Check, ...]


def read(source: bytes | str | PathLike[str], classifier: Classifier) -> Reading:
    """Decode a photo and run the network once. source: an image file's bytes or path. Raises PhotoError."""
    return read_photo(open_photo(source), classifier)


def read_photo(photo: Image.Image, classifier: Classifier, frame: Frame | None = None) -> Reading:
    """The same for a photo that is decoded. photo: from `open_photo`; frame: the part that is read, by default the largest
    centred square."""
    prepared = prepare(photo, classifier, frame)
    batch = prepared.pixels.astype(np.float32)[np.newaxis]
    return reading_of(prepared, classifier.many(batch)[0], classifier)


def prepare(photo: Image.Image, classifier: Classifier, frame: Frame | None = None) -> Prepared:
    """All that is done before the network. Arguments as for `read_photo`."""
    square = framed(photo, frame or Frame())
    side = square.width
    pixels = to_pixels(square, classifier.configuration.input_size, classifier.configuration.resampling)
    square.thumbnail((SHOWN_SIDE, SHOWN_SIDE), Image.Resampling.LANCZOS)
    checks = (*check_square(square, side), colours_check(IGNORED in photo.info))
    return Prepared(square, pixels, checks)


def reading_of(prepared: Prepared, prediction: Prediction, classifier: Classifier) -> Reading:
    """What is known of a photo once the network has run on it."""
    checks, score = prepared.checks, prediction.dermatoscopic_score
    if score is not None:
        checks += (dermatoscopic_check(score <= classifier.configuration.dermatoscopic_threshold),)
    return Reading(prepared.square, prediction, classifier, checks)
