"""The configuration of a model folder: how the weights beside it are to be used. Needs no TensorFlow."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from skinapp.decision import OperatingPoint
from skinapp.lesions import CODES
from skinapp.photo.preprocess import RESAMPLING

FILE = "skinapp.json"  # in the model folder; Keras has a config.json of its own
FORMAT = 4  # of the model folder; a folder of another format is refused


class ModelError(RuntimeError):
    """A model folder that cannot be used; its text says what is wrong and what to do."""


@dataclass(frozen=True)
class Configuration:
    """`skinapp.json`: how the weights beside it are to be used.

    `prior` is the class mix that softmax of the logits presumes (that of the training photos, in the order of `classes`).
    The probabilities shown are softmax((logits - tau * log(prior)) / temperature): tau 0 presumes that mix, 1 presumes
    seven classes that are equally frequent. `views` mirrored and turned copies are averaged (1, 2, 4 or 8).
    `set_thresholds` (one a class) and `operating_points` are what `skinapp.decision` needs; the sets hold the right class
    with probability `set_coverage`. `dermatoscopic_layer` is the layer whose pooled output tells dermatoscopic photos from
    others (`skinapp.network.dermatoscopic`), empty where that was not fitted; a photo passes up to
    `dermatoscopic_threshold`, and its result is withheld beyond `withheld_threshold`, until somebody asks for it.
    `sha256` is by file name; a similar.npz named there is the index of training cases (`skinapp.network.case_index`). `command` and
    `versions` tell how the weights came about.
    """

    format: int
    network: str
    settings: dict[str, Any]
    input_size: int
    resampling: str
    classes: tuple[str, ...]
    map_layer: str
    map_method: str
    views: int
    prior: tuple[float, ...]
    temperature: float
    tau: float
    set_coverage: float
    set_thresholds: tuple[float, ...]
    operating_points: tuple[OperatingPoint, ...]
    dermatoscopic_layer: str
    dermatoscopic_threshold: float
    withheld_threshold: float
    sha256: dict[str, str]
    versions: dict[str, str]
    command: str

    @classmethod
    def read(cls, folder: Path) -> "Configuration":
        """Read `folder`/skinapp.json. Raises ModelError where it is missing, unreadable, of another format, or not as `write` left it."""
        path = folder / FILE
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except OSError:
            raise ModelError(f"{folder} is no model folder: it has no readable {FILE}.") from None
        except ValueError:
            raise ModelError(
                f"{path} is not valid JSON: restore it from the repository or train again."
            ) from None
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            raise ModelError(
                f"{path} is not of format {FORMAT}: it was written by another version of skinapp."
            )
        if raw.pop("checksum", None) != checksum(raw):
            raise ModelError(
                f"{path} was changed after it was written (its checksum differs): restore it from the repository or train again."
            )
        disputed = {field.name for field in fields(cls)} ^ raw.keys()
        if disputed:
            raise ModelError(
                f"{path} and this version of skinapp disagree about {', '.join(sorted(disputed))}."
            )
        if tuple(raw["classes"]) != CODES:
            raise ModelError(
                f"{path} lists other classes, or in another order, than skinapp's: {', '.join(CODES)}."
            )
        if raw["resampling"] not in RESAMPLING or raw["views"] not in (1, 2, 4, 8):
            raise ModelError(f"{path} names a resampling or a number of views that skinapp does not know.")
        if any(Path(name).name != name for name in raw["sha256"]):
            raise ModelError(f"{path} names files outside its folder.")
        fixed: dict[str, Any] = {
            k: tuple(value) if isinstance(value, list) else value for k, value in raw.items()
        }
        fixed["operating_points"] = tuple(OperatingPoint(**point) for point in raw["operating_points"])
        return cls(**fixed)

    def write(self, folder: Path) -> None:
        """Write `folder`/skinapp.json with its checksum."""
        raw = asdict(self)
        (folder / FILE).write_text(
            json.dumps(raw | {"checksum": checksum(raw)}, indent=2) + "\n", encoding="utf-8"
        )

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """float32 (..., 7) logits, averaged over the views -> float64 (..., 7) probabilities that sum to 1.

        Temperature: Guo 2017, arXiv:1706.04599; prior: Saerens 2002, doi:10.1162/089976602753284446.
        """
        return probabilities(logits, self.temperature, self.tau, np.asarray(self.prior))

    @property
    def presumed_mix(self) -> dict[str, float]:
        """The class mix that the probabilities presume: the prior, as far as tau has left it. By code, sum 1."""
        left = np.asarray(self.prior) ** (1 - self.tau)
        return dict(zip(self.classes, (left / left.sum()).tolist(), strict=True))


def probabilities(logits: np.ndarray, temperature: float, tau: float, prior: np.ndarray) -> np.ndarray:
    """softmax((logits - tau * log(prior)) / temperature). float (..., 7) -> float64 (..., 7), sums 1.

    The prior comes first, so that tau alone decides which class is named, and temperature how surely.
    """
    adjusted = (np.asarray(logits, np.float64) - tau * np.log(prior)) / temperature
    exponentials = np.exp(adjusted - adjusted.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def checksum(raw: dict[str, Any]) -> str:
    """The sha256 of a configuration without its checksum, as JSON with sorted keys: however the file is laid out, it counts."""
    return hashlib.sha256(json.dumps(raw, sort_keys=True).encode()).hexdigest()
