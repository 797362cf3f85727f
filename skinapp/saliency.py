"""Where in the photo the network found its evidence: Grad-CAM by tf-keras-vis, its overlay and its legend.

Grad-CAM: Selvaraju 2017, arXiv:1610.02391.
"""

from dataclasses import dataclass
from functools import cache

import keras
import matplotlib
import numpy as np
import tensorflow as tf
from PIL import Image
from tf_keras_vis.gradcam import Gradcam
from tf_keras_vis.utils.scores import CategoricalScore

from skinapp.classifier import Classifier
from skinapp.lesions import CODES

# Turbo tells low from high at a glance on brown and pink skin; viridis's dark end would drown in a dark lesion.
COLOURS = "turbo"


@dataclass(frozen=True)
class SaliencyMap:
    """values: float32 (h, w) in [0, 1] at the map layer's resolution, 1 where the evidence for `code` is strongest.

    `evidence` is False where nothing in the photo speaks for the class: all values are then 0.
    """

    code: str
    values: np.ndarray
    evidence: bool


class GradCam:
    """Grad-CAM of the class logit for one classifier, of the upright view. Built once: safe from several threads."""

    def __init__(self, classifier: Classifier):
        self._head = _traced(classifier.head)
        self._gradcam = Gradcam(self._head)

    def __call__(self, features: np.ndarray, code: str) -> SaliencyMap:
        """features: float32 (1, h, w, c) of a Prediction; code: the class to explain -> SaliencyMap."""
        cam = self._gradcam(
            CategoricalScore(CODES.index(code)),
            tf.constant(features),
            penultimate_layer=self._head.layers[0],
            seek_penultimate_conv_layer=False,
            expand_cam=False,
            normalize_cam=False,  # the library would stretch a map without positive evidence into noise
        )
        values = np.asarray(cam, np.float32)[0]
        peak = float(values.max())
        # Against the features' own scale: round-off is no evidence.
        evidence = peak > 1e-6 * float(np.abs(features).max())
        return SaliencyMap(code, values / peak if evidence else np.zeros_like(values), evidence)


class _Traced(keras.layers.Layer):
    """The network's head as one traced function. tf-keras-vis calls and differentiates it eagerly; layer by layer that
    would cost more than the whole prediction."""

    def __init__(self, head: keras.Model):
        super().__init__(name="traced_head", trainable=False)
        self._traced_head = tf.function(lambda features: head(features, training=False), jit_compile=False)

    def call(self, features: tf.Tensor) -> tf.Tensor:
        return self._traced_head(features)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], len(CODES))


def _traced(head: keras.Model) -> keras.Model:
    features = keras.Input(head.inputs[0].shape[1:], name="features")
    return keras.Model(features, _Traced(head)(features))


@cache
def grad_cam(classifier: Classifier) -> GradCam:
    """The Grad-CAM of a classifier, built once a process."""
    return GradCam(classifier)


def heat(saliency: SaliencyMap, size: int) -> Image.Image:
    """The map in colours. Returns an RGBA picture (size, size); its alpha grows with the evidence, so that skin without
    evidence stays as it is."""
    values = Image.fromarray(saliency.values).resize((size, size), Image.Resampling.BICUBIC)
    strength = np.clip(np.asarray(values), 0, 1)
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
