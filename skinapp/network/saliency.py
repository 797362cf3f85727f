"""Where in the photo the network found its evidence: saliency maps, their overlay and their legend.

Grad-CAM and LayerCAM, of which one comes with every photo, are one traced gradient; a test holds them equal to tf-keras-vis',
which makes the others.

Grad-CAM: Selvaraju 2017, arXiv:1610.02391. Grad-CAM++: Chattopadhay 2018, arXiv:1710.11063. LayerCAM: Jiang 2021,
doi:10.1109/TIP.2021.3089943. Score-CAM: Wang 2020, arXiv:1910.01279. SmoothGrad: Smilkov 2017, arXiv:1706.03825.
`python -m train.maps` measures which of them keeps to the lesion.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import keras
import matplotlib
import numpy as np
import tensorflow as tf
from PIL import Image
from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
from tf_keras_vis.saliency import Saliency
from tf_keras_vis.scorecam import Scorecam
from tf_keras_vis.utils.scores import CategoricalScore

from skinapp.lesions import CODES
from skinapp.network.classifier import Classifier, Prediction
from skinapp.network.saliency_methods import METHODS

# Turbo tells low from high at a glance on brown and pink skin; viridis's dark end would drown in a dark lesion.
COLOURS = "turbo"
SCORED_CHANNELS = 48  # of Score-CAM, those that vary most over the photo: one forward pass each
NOISY_COPIES = 16  # of SmoothGrad
NOISE = 0.2  # standard deviation, as a share of the picture's range of grey levels
SMOOTH_CELLS = 14  # a side: SmoothGrad's pixels are averaged to about the coarseness of the other maps

RawMap = Callable[[Prediction, int], np.ndarray]


@dataclass(frozen=True)
class SaliencyMap:
    """values: float32 (h, w) in [0, 1] at the method's own resolution, 1 where the evidence for `code` is strongest.

    `evidence` is False where nothing in the photo speaks for the class: all values are then 0. `method`: a key of METHODS, empty for a map that is
    no method's.
    """

    code: str
    values: np.ndarray
    evidence: bool
    method: str = ""


def explain(
    classifier: Classifier, prediction: Prediction, code: str, method: str | None = None
) -> SaliencyMap:
    """Where the evidence for a class lies. All maps are of the class logit and of the upright view.

    prediction: this classifier's; code: one of CODES; method: a key of METHODS, by default the configuration's.
    SmoothGrad shows where the logit is sensitive, for the class or against it; Score-CAM weighs by softmax of the logits.
    Safe from several threads. Raises ValueError for an unknown method.
    """
    method = method or classifier.configuration.map_method
    raw = _raw_map(classifier, method)(prediction, CODES.index(code))
    values = np.maximum(np.asarray(raw, np.float32), 0)
    peak = float(values.max())
    # Less than that is round-off beside what speaks against the class.
    evidence = peak > 1e-6 * float(np.abs(raw).max())
    return SaliencyMap(code, values / peak if evidence else np.zeros_like(values), evidence, method)


@cache
def _raw_map(classifier: Classifier, method: str) -> RawMap:
    """What a method makes of a prediction and a class index: float (h, w), unscaled. Built once a process.

    The CAMs' last ReLU is left to `explain`, which has to see what speaks against the class; in Grad-CAM++ the library uses
    it for the weights, too.
    """
    match method:
        case "gradcam":
            return _gradient_cam(classifier, lambda gradient: gradient.mean(axis=(1, 2), keepdims=True))
        case "gradcam++":
            return _grad_cam_plus_plus(classifier)
        case "layercam":
            return _gradient_cam(classifier, lambda gradient: np.maximum(gradient, 0))
        case "scorecam":
            return _score_cam(classifier)
        case "smoothgrad":
            return _smooth_grad(classifier)
    raise ValueError(f"There is no saliency method {method!r}: the names are {', '.join(METHODS)}.")


def _gradient_cam(classifier: Classifier, weights: Callable[[np.ndarray], np.ndarray]) -> RawMap:
    """A CAM whose weights are made of the logit's gradient, float32 (1, h, w, c). The prediction holds the map layer's
    features: only the head after it is run and differentiated, once, for the upright view."""
    gradient = _gradient(classifier)

    def raw_map(prediction: Prediction, index: int) -> np.ndarray:
        found = gradient(prediction.features, index).numpy()
        return (prediction.features * weights(found)).sum(axis=-1)[0]

    return raw_map


@cache
def _gradient(classifier: Classifier) -> Callable[[np.ndarray, int], tf.Tensor]:
    """Traced at its first call: features (1, h, w, c) and a class index -> gradient of that logit, (1, h, w, c)."""
    head = classifier.head

    @tf.function(
        input_signature=[
            tf.TensorSpec([1, *head.inputs[0].shape[1:]], tf.float32),
            tf.TensorSpec([], tf.int32),
        ],
        autograph=False,
        jit_compile=False,
    )
    def gradient(features: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(features)
            logit = head(features, training=False)[0, index]
        return tape.gradient(logit, features)

    return gradient


def _grad_cam_plus_plus(classifier: Classifier) -> RawMap:
    """Grad-CAM++, of the features that the prediction holds."""
    head = _traced(classifier.head)
    library = GradcamPlusPlus(head)

    def raw_map(prediction: Prediction, index: int) -> np.ndarray:
        cam = library(
            CategoricalScore(index),
            tf.constant(prediction.features),
            penultimate_layer=head.layers[0],
            seek_penultimate_conv_layer=False,
            expand_cam=False,
            normalize_cam=False,  # the library would stretch a map without positive evidence into noise
        )
        return np.asarray(cam)[0]

    return raw_map


def _score_cam(classifier: Classifier) -> RawMap:
    """Score-CAM with the channels that vary most ("faster Score-CAM"): it has to run the whole network."""
    whole = classifier.folded
    network = _traced(keras.Model(whole.inputs, whole.outputs[0]), classifier.head)
    library = Scorecam(network)
    channels = min(SCORED_CHANNELS, network.layers[1].output.shape[-1])

    def raw_map(prediction: Prediction, index: int) -> np.ndarray:
        cam = library(
            CategoricalScore(index),
            tf.constant(prediction.picture),
            penultimate_layer=network.layers[1],
            seek_penultimate_conv_layer=False,
            max_N=channels,
            activation_modifier=None,
            expand_cam=False,
            normalize_cam=False,
        )
        return np.asarray(cam)[0]

    return raw_map


def _smooth_grad(classifier: Classifier) -> RawMap:
    """SmoothGrad: the library's gradients of all noisy copies in one batch instead of one after the other. The noise is
    drawn once, so that a photo's map stays the same."""
    whole = classifier.folded
    library = Saliency(_traced(keras.Model(whole.inputs, whole.outputs[1])))
    size = classifier.configuration.input_size
    noise = np.random.RandomState(0).standard_normal((NOISY_COPIES, size, size, 3)).astype(np.float32)

    def raw_map(prediction: Prediction, index: int) -> np.ndarray:
        noisy = prediction.picture + NOISE * np.ptp(prediction.picture) * noise
        gradients = library(CategoricalScore(index), tf.constant(noisy), keepdims=True, normalize_map=False)
        pixels = np.asarray(gradients).mean(axis=0).max(axis=-1)
        return np.asarray(Image.fromarray(pixels).resize((SMOOTH_CELLS, SMOOTH_CELLS), Image.Resampling.BOX))

    return raw_map


class _TracedLayer(keras.layers.Layer):
    """A model as one traced function. tf-keras-vis calls and differentiates it eagerly; layer by layer that would cost
    more than the whole prediction."""

    def __init__(self, model: keras.Model):
        super().__init__(trainable=False)
        self._shape = model.outputs[0].shape[1:]
        self._traced_model = tf.function(
            lambda x: model(x, training=False), autograph=False, jit_compile=False
        )

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return self._traced_model(x)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], *self._shape)


class _TracedModel(keras.Model):
    """Models one after the other, each traced."""

    def predict(self, x: list[np.ndarray], batch_size: int) -> np.ndarray:
        """For Score-CAM. Keras's own method writes a progress bar and is not made for several threads."""
        return self(x, training=False).numpy()


def _traced(*models: keras.Model) -> keras.Model:
    inputs = outputs = keras.Input(models[0].inputs[0].shape[1:])
    for model in models:
        outputs = _TracedLayer(model)(outputs)
    return _TracedModel([inputs], outputs)  # a list, as tf-keras-vis passes what it is called with


def enlarged(saliency: SaliencyMap, size: int) -> np.ndarray:
    """The map as smoothly as it is shown. Returns float32 (size, size) in [0, 1]."""
    values = Image.fromarray(saliency.values).resize((size, size), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(values), 0, 1)


def heat(saliency: SaliencyMap, size: int) -> Image.Image:
    """The map in colours. Returns an RGBA picture (size, size); its alpha grows with the evidence, so that skin without
    evidence stays as it is."""
    strength = enlarged(saliency, size)
    coloured = matplotlib.colormaps[COLOURS](strength)
    coloured[..., 3] = np.minimum(1, 2 * strength)
    return Image.fromarray((coloured * 255).round().astype(np.uint8))


def overlay(square: Image.Image, saliency: SaliencyMap, opacity: float = 0.5) -> Image.Image:
    """The map on the photo. square: RGB (S, S), opacity in [0, 1] -> RGB (S, S)."""
    coloured = heat(saliency, square.width)
    coloured.putalpha(coloured.getchannel("A").point(lambda alpha: round(alpha * opacity)))
    return Image.alpha_composite(square.convert("RGBA"), coloured).convert("RGB")


def legend_colours(steps: int = 9) -> list[str]:
    """The colour scale from no to strongest evidence, as CSS colours."""
    return [matplotlib.colors.to_hex(matplotlib.colormaps[COLOURS](i / (steps - 1))) for i in range(steps)]
