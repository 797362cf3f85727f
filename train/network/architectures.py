"""The two networks: flat functional Keras models, float32 (N, size, size, 3) in [0, 255] -> logits (N, 7).

Flat, because tf-keras-vis cannot look into a model that is called as a layer; logits, because a saturated softmax has no
gradient; stock layers only, so that the architecture travels as JSON and loads without any code of ours.
"""

import math
from dataclasses import dataclass

import keras
from keras import layers

from skinapp.lesions import CODES
from train.network.imagenet import efficientnet_lite_weights

SMALLEST_MAP = 6  # a saliency map of fewer cells a side says nothing about where


@dataclass(frozen=True)
class CnnSettings:
    """A plain CNN. One stage per entry of `filters`: two convolutions, each with BatchNorm and activation, then pooling
    for as long as the map stays at least 6x6."""

    filters: tuple[int, ...] = (32, 64, 128, 256)
    kernel_size: tuple[int, ...] = (3,)  # one for all stages, or one a stage
    activation: str = "relu"
    dropout: float = 0.3


@dataclass(frozen=True)
class EfficientNetLiteSettings:
    """EfficientNet-Lite (Tan & Le 2019, arXiv:1905.11946, without squeeze-and-excitation, ReLU6), from ImageNet."""

    variant: int = 0  # Lite0 or Lite2: 3.4 or 4.9 million parameters
    # ImageNet's features want a larger picture than 94 px: of 1,000 photographs, 51 % are named right at 96, 68 % at 128.
    enlarge_to: int = 128
    training_enlarge_to: int = 0  # the same while training, if not in proportion to its pictures
    dropout: float = 0.3
    # Stochastic depth (arXiv:1603.09382), growing linearly from the first block to the last.
    drop_path: float = 0.1
    imagenet: bool = True  # False leaves random weights: for tests
    frozen: int = 0  # stem and blocks before this one are not trained: 5 doubles the speed


# How often blocks are repeated and how wide they are, by variant; the first and last stages keep their one block.
LITE_SCALING = {0: (1.0, 1.0), 2: (1.2, 1.1)}  # depth, width
# Stages of EfficientNet-Lite0: repeats, kernel, stride of the first block, expansion, output channels.
LITE0_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def build(settings: CnnSettings | EfficientNetLiteSettings, size: int) -> tuple[keras.Model, str]:
    """Build the network for pictures of `size` pixels a side. Returns it and the name of its map layer."""
    if isinstance(settings, CnnSettings):
        return cnn(settings, size)
    return efficientnet_lite(settings, size)


def cnn(settings: CnnSettings, size: int) -> tuple[keras.Model, str]:
    """A plain CNN from random weights. Raises ValueError where kernel sizes and filters do not match in number."""
    kernels = (
        settings.kernel_size * len(settings.filters)
        if len(settings.kernel_size) == 1
        else settings.kernel_size
    )
    if len(kernels) != len(settings.filters):
        raise ValueError(
            f"{len(settings.filters)} stages need one kernel size or {len(settings.filters)} of them."
        )
    inputs = keras.Input((size, size, 3), name="photo")
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="rescale")(inputs)
    map_layer = ""
    for stage, (filters, kernel) in enumerate(zip(settings.filters, kernels, strict=True)):
        if stage and x.shape[1] // 2 >= SMALLEST_MAP:
            x = layers.MaxPooling2D(name=f"stage_{stage}_pool")(x)
        for step in (1, 2):
            name = f"stage_{stage}_conv{step}"
            x = layers.Conv2D(filters, kernel, padding="same", use_bias=False, name=name)(x)
            x = layers.BatchNormalization(name=f"{name}_bn")(x)
            x = layers.Activation(settings.activation, name=f"{name}_activation")(x)
            map_layer = f"{name}_activation"  # the last one stays
    return keras.Model(inputs, _head(x, settings.dropout), name="cnn"), map_layer


def efficientnet_lite(settings: EfficientNetLiteSettings, size: int) -> tuple[keras.Model, str]:
    """EfficientNet-Lite with a new head; the picture is enlarged inside the network."""
    inputs = keras.Input((size, size, 3), name="photo")
    x = inputs
    if settings.enlarge_to != size:
        x = layers.Resizing(
            settings.enlarge_to, settings.enlarge_to, interpolation="bilinear", name="enlarge"
        )(x)
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="rescale")(x)
    x = layers.Conv2D(32, 3, 2, padding="same", use_bias=False, name="conv_stem")(x)
    x = layers.ReLU(6, name="relu0")(_norm(x, "bn0"))
    blocks = lite_blocks(settings.variant)
    map_layer = ""
    for index, (kernel, stride, expand, filters) in enumerate(blocks):
        name = f"blocks_{index}"
        shortcut = x
        if expand > 1:
            x = layers.Conv2D(x.shape[-1] * expand, 1, use_bias=False, name=f"{name}_expand_conv")(x)
            x = layers.ReLU(6, name=f"{name}_expand_relu")(_norm(x, f"{name}_bn0"))
            if x.shape[1] >= SMALLEST_MAP:
                map_layer = f"{name}_expand_relu"
        x = layers.DepthwiseConv2D(
            kernel, stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
        )(x)
        x = layers.ReLU(6, name=f"{name}_depthwise_relu")(_norm(x, f"{name}_bn1"))
        x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_project_conv")(x)
        x = _norm(x, f"{name}_bn2")
        if stride == 1 and shortcut.shape[-1] == filters:
            if settings.drop_path:
                rate = settings.drop_path * index / len(blocks)
                x = layers.Dropout(rate, noise_shape=(None, 1, 1, 1), name=f"{name}_drop_path")(x)
            x = layers.Add(name=f"{name}_add")([shortcut, x])
    x = layers.Conv2D(1280, 1, use_bias=False, name="conv_head")(x)
    x = layers.ReLU(6, name="relu_head")(_norm(x, "bn1"))
    if x.shape[1] >= SMALLEST_MAP:
        map_layer = "relu_head"
    model = keras.Model(inputs, _head(x, settings.dropout), name=f"efficientnet_lite{settings.variant}")
    if settings.imagenet:
        _assign(model, efficientnet_lite_weights(settings.variant))
    for layer in frozen_layers(model, settings.frozen):
        layer.trainable = False
    return model, map_layer


def lite_blocks(variant: int) -> list[tuple[int, int, int, int]]:
    """Kernel, stride, expansion and output channels of each block of EfficientNet-Lite0 or 2."""
    depth, width = LITE_SCALING[variant]
    blocks = []
    for stage, (repeats, kernel, stride, expand, filters) in enumerate(LITE0_STAGES):
        inner = 0 < stage < len(LITE0_STAGES) - 1
        for repeat in range(math.ceil(repeats * depth) if inner else repeats):
            blocks.append((kernel, 1 if repeat else stride, expand, _rounded_to_8(filters * width)))
    return blocks


def _rounded_to_8(filters: float) -> int:
    """The multiple of 8 that is nearest, but no less than nine tenths: EfficientNet's own rule."""
    nearest = max(8, int(filters + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * filters else nearest + 8


def frozen_layers(model: keras.Model, blocks: int) -> list[keras.layers.Layer]:
    """The layers of EfficientNet-Lite before block number `blocks`; none where that is 0."""
    names = [layer.name for layer in model.layers]
    end = next(i for i, name in enumerate(names) if name.startswith(f"blocks_{blocks}_")) if blocks else 0
    return model.layers[:end]


def _norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.BatchNormalization(epsilon=1e-3, momentum=0.99, name=name)(x)


def _head(x: keras.KerasTensor, dropout: float) -> keras.KerasTensor:
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Dense(len(CODES), name="logits")(x)


def _assign(model: keras.Model, weights: dict) -> None:
    """Set every variable but the head's from `weights`; nothing on either side may be left over."""
    variables = {v.path: v for v in model.weights if not v.path.startswith("logits/")}
    if variables.keys() != weights.keys():
        raise ValueError(f"Weights do not fit the network: {sorted(variables.keys() ^ weights.keys())[:5]}")
    for path, variable in variables.items():
        variable.assign(weights[path])
