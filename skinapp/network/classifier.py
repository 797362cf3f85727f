"""A model folder -> a Classifier: one traced forward pass from pixels to probabilities and map-layer features.

A model folder holds `skinapp.json` (everything that the weights need to be used rightly), `network.json` (the architecture,
Keras's own serialisation of stock layers) and `weights.npz` (half precision). It is written by `train/` and only read here.
"""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

os.environ.setdefault(
    "TF_CPP_MIN_LOG_LEVEL", "2"
)  # before TensorFlow: its start-up notes would bury our messages

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from skinapp.lesions import BY_CODE, CODES, LesionClass
from skinapp.network.case_index import FILE as SIMILAR
from skinapp.network.case_index import Index
from skinapp.network.configuration import Configuration, ModelError
from skinapp.network.dermatoscopic import FILE as GAUSSIAN
from skinapp.network.dermatoscopic import Gaussian
from skinapp.network.folders import checked
from skinapp.network.folding import folded
from skinapp.photo.preprocess import to_input

# The weights were trained so; a user's own keras.json may say otherwise, and would change answers and maps.
keras.config.set_floatx("float32")
keras.config.set_image_data_format("channels_last")
keras.config.set_epsilon(1e-7)
keras.config.set_dtype_policy("float32")

BATCH = 16  # photos at once when many are scored: times eight views, what two cores digest best


@dataclass(frozen=True)
class Prediction:
    """What the network says of one photo. `probabilities`: one a class, in the order of CODES, sum 1.

    `picture`: float32 (1, S, S, 3) in [0, 255], what the network saw, upright; `features`: float32 (1, h, w, c), the map
    layer's output for it. Saliency maps are made from these two. `dermatoscopic_score`: how far the photo is from typical
    dermatoscopic ones (`skinapp.network.dermatoscopic`), None where that was not fitted. `embedding`: float32 (d,), what the logits
    layer saw, averaged over the views; similar cases are found by it. None where no dense layer ends the network.
    """

    probabilities: tuple[float, ...]
    picture: np.ndarray
    features: np.ndarray
    dermatoscopic_score: float | None = None
    embedding: np.ndarray | None = None

    @property
    def top(self) -> LesionClass:
        """The most probable class."""
        return BY_CODE[CODES[int(np.argmax(self.probabilities))]]

    @property
    def by_code(self) -> dict[str, float]:
        """Probabilities by class code, in the order of CODES."""
        return dict(zip(CODES, self.probabilities, strict=True))


class Classifier:
    """A loaded model folder. Safe to use from several threads.

    network: as it is stored, photo to logits; folded: the same as it is run, photo to the map layer's features, logits, the
    layer of the dermatoscopic score and what feeds the logits; head: of that, features to logits.
    Raises ModelError where a file is missing or not the one that skinapp.json was written for.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.name = self.folder.resolve().name
        self.configuration = Configuration.read(self.folder)
        fitted = self.configuration.dermatoscopic_layer
        indexed = SIMILAR in self.configuration.sha256
        optional = [*([GAUSSIAN] if fitted else []), *([SIMILAR] if indexed else [])]
        for name in ("network.json", "weights.npz", *optional):
            checked(self.folder / name, self.configuration.sha256.get(name, ""))
        self.network = _network(self.folder)
        features, logits = self._output(self.configuration.map_layer, "map"), self.network.outputs[0]
        middle = self._output(fitted, "dermatoscopic") if fitted else features  # pooled, and then ignored
        self.gaussian = Gaussian.read(self.folder) if fitted else None
        if self.gaussian and self.gaussian.whitening.shape[1:] != (middle.shape[-1],) * 2:
            raise ModelError(f"{self.folder}: {GAUSSIAN} does not belong to the layer {fitted}.")
        fed = self.network.layers[-1].input  # what the logits are a linear function of: the pooled features
        self.embeds = isinstance(fed, keras.KerasTensor) and len(fed.shape) == 2
        last = fed if self.embeds else logits  # and then ignored
        self.similar = Index.read(self.folder) if indexed else None
        if self.similar and (not self.embeds or self.similar.weights != self.sha256):
            raise ModelError(f"{self.folder}: {SIMILAR} was made of other weights: run train.similar anew.")
        # One pass gives the logits of all views and what they were made from, the map layer's features and those that tell
        # dermatoscopic photos from others; saliency differentiates only the rest.
        self.folded = folded(keras.Model(self.network.inputs, [features, logits, middle, last]))
        self.head = keras.Model(*self.folded.outputs[:2])
        size = self.configuration.input_size
        signature = [tf.TensorSpec([None, size, size, 3], tf.float32)]
        # Without autograph, which would leave a file of rewritten Python in the temporary folder.
        self.forward = tf.function(
            self._forward, input_signature=signature, autograph=False, jit_compile=False
        )

    @property
    def sha256(self) -> str:
        """Of the weights file: names the network in every answer."""
        return self.configuration.sha256["weights.npz"]

    @property
    def title(self) -> str:
        """For people: "fast, 94 px"."""
        return f"{self.name}, {self.configuration.input_size} px"

    def __call__(self, photo: Image.Image) -> Prediction:
        """photo: RGB Pillow image of any shape, upright -> Prediction."""
        return self.many(to_input(photo, self.configuration.input_size, self.configuration.resampling))[0]

    def many(self, batch: np.ndarray) -> list[Prediction]:
        """One pass for several photos. batch: float32 (N, S, S, 3) in [0, 255], as from `to_input` -> N predictions."""
        features, logits, pooled, last = (output.numpy() for output in self.forward(batch))
        shown = self.configuration.probabilities(logits).tolist()
        scores = self.gaussian.scores(pooled).tolist() if self.gaussian else [None] * len(batch)
        return [
            Prediction(
                tuple(shown[i]),
                # Copies: a view would keep the whole batch alive, and with it other people's photos.
                batch[i : i + 1].copy(),
                features[i : i + 1].copy(),
                scores[i],
                last[i].copy() if self.embeds else None,
            )
            for i in range(len(batch))
        ]

    def logits(self, pictures: np.ndarray) -> np.ndarray:
        """Many photos. pictures: uint8 (N, S, S, 3) from `to_pixels` -> float32 (N, 7), averaged over the views."""
        return self.outputs(pictures)[0]

    def outputs(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Many photos. pictures: uint8 (N, S, S, 3) from `to_pixels` -> logits as above, and float64 (N,) dermatoscopic
        scores, NaN where that was not fitted."""
        logits, pooled, _ = self._scored(pictures)
        return logits, self.gaussian.scores(pooled) if self.gaussian else np.full(len(logits), np.nan)

    def embeddings(self, pictures: np.ndarray) -> np.ndarray:
        """Many photos. pictures: as above -> float32 (N, d), a `Prediction.embedding` a row. Raises ModelError where the
        network gives none."""
        if not self.embeds:
            raise ModelError(
                f"{self.folder}: the network does not end in a dense layer, so it has no embedding."
            )
        return self._scored(pictures)[2]

    def _scored(self, pictures: np.ndarray) -> tuple[np.ndarray, ...]:
        """All that `_forward` gives but the map layer's features."""
        batches = [
            self.forward(tf.constant(pictures[start : start + BATCH], tf.float32))[1:]
            for start in range(0, len(pictures), BATCH)
        ]
        return tuple(np.concatenate(parts) for parts in zip(*batches, strict=True))

    def _forward(self, batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """float32 (N, S, S, 3) -> features of the upright photos (N, h, w, c), logits averaged over the views (N, 7), the
        other features of the upright photos, averaged over the picture (N, d), and what feeds the logits, averaged over
        the views (N, e)."""
        count, number = tf.shape(batch)[0], self.configuration.views
        features, logits, middle, last = self.folded(views(batch, number), training=False)
        averaged, fed = (
            tf.reduce_mean(tf.reshape(part, [number, count, part.shape[-1]]), axis=0)
            for part in (logits, last)
        )
        return features[:count], averaged, tf.reduce_mean(middle[:count], axis=(1, 2)), fed

    def _output(self, layer: str, what: str) -> keras.KerasTensor:
        """The output of a layer that the configuration names, a map (N, h, w, c). Raises ModelError."""
        try:
            output = self.network.get_layer(layer).output
        except ValueError:
            raise ModelError(f"{self.folder} names a {what} layer that its network lacks.") from None
        if len(output.shape) != 4:
            raise ModelError(f"{self.folder} names a {what} layer whose output is no map.")
        return output


def views(batch: tf.Tensor, number: int) -> tf.Tensor:
    """Mirrored and turned copies: a lesion has no up or down. (N, S, S, 3) -> (number * N, S, S, 3), upright ones first.

    number: 1 (upright), 2 (and mirrored), 4 (and upside down), 8 (and all that about the diagonal, so by quarter turns, too).
    """
    for flip in (tf.image.flip_left_right, tf.image.flip_up_down, tf.image.transpose)[
        : number.bit_length() - 1
    ]:
        batch = tf.concat([batch, flip(batch)], axis=0)
    return batch


@cache
def load(folder: Path) -> Classifier:
    """The classifier of a model folder, loaded once a process. Raises ModelError."""
    return Classifier(folder)


def _network(folder: Path) -> keras.Model:
    """Architecture from JSON (safe mode: no Lambda layer, no code), weights from an archive that cannot hold objects."""
    try:
        network = keras.models.model_from_json((folder / "network.json").read_text(encoding="utf-8"))
    except (ValueError, TypeError):
        raise ModelError(
            f"{folder}: network.json holds layers that are not loaded: only Keras's own are."
        ) from None
    with np.load(folder / "weights.npz", allow_pickle=False) as arrays:
        if set(arrays.files) != {variable.path for variable in network.weights}:
            raise ModelError(f"{folder}: weights.npz does not belong to network.json.")
        for variable in network.weights:
            variable.assign(arrays[variable.path].astype(np.float32))
    return network
