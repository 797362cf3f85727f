"""BatchNorms folded into the convolutions before them: the same function of the photo, in about half the time."""

from collections import Counter
from typing import Any

import keras
import numpy as np
from keras.layers import BatchNormalization, Conv2D, DepthwiseConv2D


def folded(network: keras.Model) -> keras.Model:
    """A copy for inference. network: flat and functional, channels last -> a model of its own with the same outputs.

    A folded convolution bears the name of its BatchNorm, whose output it gives. One whose own output the network gives out
    or feeds elsewhere, too, stays as it is, and so does a BatchNorm without a convolution before it.
    """
    norms = _foldable(network)
    gone = {norm.name for norm in norms.values()}

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if layer.name in norms:
            config |= {"name": norms[layer.name].name, "use_bias": True}
        return type(layer).from_config(config)

    def call(layer: keras.layers.Layer, *inputs: Any, **options: Any) -> Any:
        norm = isinstance(layer, BatchNormalization) and layer.name in gone
        return inputs[0] if norm else layer(*inputs, **options)

    copy = keras.models.clone_model(network, clone_function=clone, call_function=call)
    for layer in network.layers:
        if layer.name in norms:
            copy.get_layer(norms[layer.name].name).set_weights(_together(layer, norms[layer.name]))
        elif layer.name not in gone and layer.weights:
            copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy


def _foldable(network: keras.Model) -> dict[str, BatchNormalization]:
    """The BatchNorm that can be folded into a convolution, by the convolution's name."""
    used = Counter(id(x) for layer in network.layers for x in keras.tree.flatten(layer.input))
    used.update(id(x) for x in network.outputs)
    # A linear function of its input, channel by channel: no activation in between.
    convolutions = {
        id(layer.output): layer
        for layer in network.layers
        if type(layer) in (Conv2D, DepthwiseConv2D) and layer.activation is keras.activations.linear
    }
    return {
        convolutions[id(layer.input)].name: layer
        for layer in network.layers
        if isinstance(layer, BatchNormalization)
        and id(layer.input) in convolutions
        and used[id(layer.input)] == 1
    }


def _together(convolution: Conv2D | DepthwiseConv2D, norm: BatchNormalization) -> list[np.ndarray]:
    """Kernel and bias of a convolution that does what both do, one after the other."""
    mean, variance = (np.asarray(v, np.float64) for v in (norm.moving_mean, norm.moving_variance))
    scale = (np.asarray(norm.gamma) if norm.scale else 1) / np.sqrt(variance + norm.epsilon)
    kernel = np.asarray(convolution.kernel)
    channels = kernel.shape[2:] if isinstance(convolution, DepthwiseConv2D) else kernel.shape[3:]
    bias = np.asarray(convolution.bias) if convolution.use_bias else 0
    shift = np.asarray(norm.beta) if norm.center else 0
    return [kernel * scale.reshape(channels), (bias - mean) * scale + shift]
