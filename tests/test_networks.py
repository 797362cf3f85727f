"""Both networks, over settings: what tf-keras-vis, the classifier and the JSON format need of them."""

import math

import keras
import numpy as np
import pytest

from skinapp.lesions import CODES
from train.network.architectures import CnnSettings, EfficientNetLiteSettings, build, cnn

Settings = CnnSettings | EfficientNetLiteSettings

NETWORKS: list[Settings] = [
    CnnSettings(),
    CnnSettings(filters=(4,)),
    CnnSettings(filters=(4, 4, 4, 4, 4, 4)),  # more stages than 94 pixels can be halved
    CnnSettings(filters=(4, 8), kernel_size=(5, 3), activation="elu", dropout=0.0),
    EfficientNetLiteSettings(imagenet=False),
    EfficientNetLiteSettings(imagenet=False, enlarge_to=94),
    EfficientNetLiteSettings(imagenet=False, enlarge_to=192, dropout=0.0, drop_path=0.0),
]


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda s: f"{type(s).__name__}-{NETWORKS.index(s)}")
def built(request: pytest.FixtureRequest) -> tuple[keras.Model, str]:
    return build(request.param, 94)


def photos(number: int = 2) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (number, 94, 94, 3)).astype(np.float32)


def test_input_is_a_photo_and_output_seven_values(built: tuple[keras.Model, str]) -> None:
    network, _ = built
    assert network.input_shape == (None, 94, 94, 3)
    assert network.output_shape == (None, len(CODES))


def test_grey_levels_become_small_numbers_around_zero(built: tuple[keras.Model, str]) -> None:
    network, _ = built
    levels = np.array([[0.0, 127.0, 255.0]], np.float32)
    np.testing.assert_allclose(network.get_layer("rescale")(levels), [[-127 / 128, 0.0, 1.0]], atol=1e-6)


def test_output_is_logits(built: tuple[keras.Model, str]) -> None:
    network, _ = built
    last = network.layers[-1]
    assert last.activation is keras.activations.linear
    last.bias.assign(last.bias + 5)  # a softmax would swallow it
    after = np.asarray(network(photos(), training=False))
    last.bias.assign(last.bias - 5)
    np.testing.assert_allclose(after, np.asarray(network(photos(), training=False)) + 5, atol=1e-3)


def test_map_layer_has_at_least_six_cells_a_side(built: tuple[keras.Model, str]) -> None:
    network, map_layer = built
    _, height, width, _ = network.get_layer(map_layer).output.shape
    assert height == width >= 6


def test_map_layer_is_as_deep_as_six_cells_allow(built: tuple[keras.Model, str]) -> None:
    network, map_layer = built
    sides = {layer.output.shape[1] for layer in network.layers if len(layer.output.shape) == 4}
    assert network.get_layer(map_layer).output.shape[1] == min(side for side in sides if side >= 6)


def test_network_is_flat_and_of_stock_layers(built: tuple[keras.Model, str]) -> None:
    network, _ = built
    for layer in network.layers:
        assert not isinstance(layer, keras.Model | keras.layers.Lambda)
        assert type(layer).__module__.startswith("keras.")


def test_architecture_survives_json(built: tuple[keras.Model, str]) -> None:
    network, _ = built
    again = keras.models.model_from_json(network.to_json())
    again.set_weights(network.get_weights())
    assert [v.path for v in again.weights] == [v.path for v in network.weights]
    np.testing.assert_array_equal(again(photos(), training=False), network(photos(), training=False))


def test_json_route_is_the_safe_one() -> None:
    """What the classifier calls refuses code, so that the test above says something about the layers."""
    inputs = keras.Input((4,))
    network = keras.Model(inputs, keras.layers.Lambda(lambda x: x + 1)(inputs))
    with pytest.raises(ValueError, match="safe_mode"):
        keras.models.model_from_json(network.to_json())


def test_dropout_acts_in_training_alone() -> None:
    network, _ = cnn(CnnSettings(filters=(4,), dropout=0.5), 94)
    dropout = network.get_layer("dropout")
    assert dropout.rate == 0.5
    ones = np.ones((1, 1000), np.float32)
    assert np.array_equal(dropout(ones, training=False), ones)
    assert 300 < np.count_nonzero(dropout(ones, training=True)) < 700


def test_cnn_honours_filters_kernels_and_activation() -> None:
    network, _ = cnn(CnnSettings(filters=(4, 8, 6), kernel_size=(7, 5, 3), activation="gelu"), 94)
    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [c.filters for c in convolutions] == [4, 4, 8, 8, 6, 6]
    assert [c.kernel_size[0] for c in convolutions] == [7, 7, 5, 5, 3, 3]
    activations = {x.activation for x in network.layers if isinstance(x, keras.layers.Activation)}
    assert activations == {keras.activations.gelu}


def test_one_kernel_size_serves_all_stages() -> None:
    network, _ = cnn(CnnSettings(filters=(4, 4, 4), kernel_size=(5,)), 94)
    assert {x.kernel_size for x in network.layers if isinstance(x, keras.layers.Conv2D)} == {(5, 5)}


@pytest.mark.parametrize("kernels", [(3, 5), (3, 3, 3, 3)])
def test_kernels_that_do_not_match_the_filters(kernels: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="3 stages need one kernel size or 3"):
        cnn(CnnSettings(filters=(4, 4, 4), kernel_size=kernels), 94)


def test_cnn_parameter_count() -> None:
    network, _ = cnn(CnnSettings(filters=(4, 8), kernel_size=(3,)), 94)
    convolutions = 9 * (3 * 4 + 4 * 4 + 4 * 8 + 8 * 8)
    norms = 4 * (4 + 4 + 8 + 8)
    assert network.count_params() == convolutions + norms + 8 * 7 + 7


def test_efficientnet_parameter_count() -> None:
    """The published 4.65 million, less ImageNet's 1000 classes, plus seven, plus the moving statistics."""
    network, _ = build(EfficientNetLiteSettings(imagenet=False), 94)
    trainable = sum(int(np.prod(v.shape)) for v in network.trainable_weights)
    assert trainable == 4_652_008 - (1280 * 1000 + 1000) + (1280 * 7 + 7)


def test_drop_path_grows_with_depth() -> None:
    network, _ = build(EfficientNetLiteSettings(imagenet=False, drop_path=0.16), 94)
    rates = {x.name: x.rate for x in network.layers if x.name.endswith("drop_path")}
    assert rates["blocks_2_drop_path"] == pytest.approx(0.02) and rates[
        "blocks_14_drop_path"
    ] == pytest.approx(0.14)
    assert list(rates.values()) == sorted(rates.values())


def test_picture_is_enlarged_inside_the_network() -> None:
    network, _ = build(EfficientNetLiteSettings(imagenet=False, enlarge_to=128), 94)
    assert network.get_layer("enlarge").output.shape[1:3] == (128, 128)
    plain, _ = build(EfficientNetLiteSettings(imagenet=False, enlarge_to=94), 94)
    assert "enlarge" not in {layer.name for layer in plain.layers}


def test_the_larger_variant_has_its_published_size() -> None:
    """6.09 million parameters with ImageNet's classes, BatchNorm's moving statistics left out."""
    network, _ = build(EfficientNetLiteSettings(variant=2, imagenet=False), 94)
    trained = sum(math.prod(v.shape) for v in network.trainable_variables)
    assert trained == 6_092_072 - 1281 * 1000 + 1281 * 7
