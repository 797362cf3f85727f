"""A folded network gives the same numbers, and is folded where it can be and only there."""

import keras
import numpy as np
import pytest
from keras import layers

from skinapp.lesions import CODES
from skinapp.network.classifier import Classifier, load
from skinapp.network.folders import default_model
from skinapp.network.folding import folded
from skinapp.photo.drawings import draw_lesion
from skinapp.photo.preprocess import to_input


def norms(network: keras.Model) -> list[str]:
    return [layer.name for layer in network.layers if isinstance(layer, layers.BatchNormalization)]


def unlike_new(network: keras.Model) -> keras.Model:
    """As if it had been trained: new BatchNorms do nearly nothing."""
    random = np.random.default_rng(0)
    for variable in network.weights:
        variable.assign(random.uniform(0.2, 1.5, variable.shape))
    return network


def assert_same(network: keras.Model, other: keras.Model, pictures: np.ndarray) -> None:
    theirs = keras.tree.flatten(network(pictures, training=False))
    ours = keras.tree.flatten(other(pictures, training=False))
    for one, two in zip(theirs, ours, strict=True):
        scale = float(np.abs(one).max())
        np.testing.assert_allclose(np.asarray(two) / scale, np.asarray(one) / scale, atol=1e-4)


def test_the_shipped_network_s_outputs_are_the_same() -> None:
    classifier: Classifier = load(default_model())
    configuration = classifier.configuration
    names = [configuration.map_layer, "logits", configuration.dermatoscopic_layer, "pool"]
    stored = keras.Model(
        classifier.network.inputs, [classifier.network.get_layer(name).output for name in names]
    )
    photos = [draw_lesion(code, seed=5) for code in CODES]
    size, resampling = configuration.input_size, configuration.resampling
    pictures = np.concatenate([to_input(photo, size, resampling) for photo in photos])
    assert_same(stored, classifier.folded, pictures)
    # Only the one after the layer of the dermatoscopic score is left.
    assert len(norms(classifier.folded)) <= 1 < len(norms(classifier.network))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("convolution", [layers.Conv2D, layers.DepthwiseConv2D])
@pytest.mark.parametrize("scale", [False, True])
def test_convolutions_of_both_kinds_are_folded(convolution: type, bias: bool, scale: bool) -> None:
    options = {"filters": 5} if convolution is layers.Conv2D else {"depth_multiplier": 2}
    inputs = keras.Input((8, 8, 3))
    x = convolution(kernel_size=3, strides=2, padding="same", use_bias=bias, name="conv", **options)(inputs)
    x = layers.ReLU()(layers.BatchNormalization(scale=scale, center=scale, name="norm")(x))
    network = unlike_new(keras.Model(inputs, x))
    copy = folded(network)
    assert not norms(copy) and copy.get_layer("norm").output.shape == network.get_layer("conv").output.shape
    assert_same(network, copy, np.random.default_rng(1).normal(size=(2, 8, 8, 3)).astype(np.float32))


def test_what_cannot_be_folded_stays_as_it_is() -> None:
    inputs = keras.Input((8, 8, 3))
    first = layers.BatchNormalization(name="nothing_before")(inputs)
    shown = layers.Conv2D(4, 3, name="shown")(first)
    x = layers.BatchNormalization(name="after_shown")(shown)
    curved = layers.Conv2D(4, 3, activation="relu", name="curved")(x)
    x = layers.BatchNormalization(name="after_curved")(curved)
    shared = layers.Conv2D(4, 1, name="shared")(x)
    x = layers.Add()([layers.BatchNormalization(name="after_shared")(shared), shared])
    network = unlike_new(keras.Model(inputs, [layers.Conv2D(2, 1)(x), shown]))
    copy = folded(network)
    assert norms(copy) == norms(network) == ["nothing_before", "after_shown", "after_curved", "after_shared"]
    assert_same(network, copy, np.random.default_rng(1).normal(size=(2, 8, 8, 3)).astype(np.float32))


def test_the_stored_network_is_left_as_it_was() -> None:
    inputs = keras.Input((8, 8, 3))
    network = unlike_new(keras.Model(inputs, layers.BatchNormalization()(layers.Conv2D(4, 3)(inputs))))
    before = network.get_weights()
    copy = folded(network)
    for variable in copy.weights:
        variable.assign(variable * 2)
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
