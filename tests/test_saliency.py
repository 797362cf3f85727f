"""Saliency maps: the fast path equals the library's own result; an empty map is said to be empty."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tf_keras_vis.gradcam import Gradcam
from tf_keras_vis.utils.scores import CategoricalScore

from skinapp.classifier import Classifier, load
from skinapp.lesions import CODES
from skinapp.models import default_model
from skinapp.preprocess import to_input
from skinapp.saliency import SaliencyMap, grad_cam, heat, legend_colours, overlay
from tests.drawings import draw_lesion


@pytest.fixture(params=["tiny", "shipped"])
def classifier(request: pytest.FixtureRequest, model_folder: Path) -> Classifier:
    return load(model_folder if request.param == "tiny" else default_model())


@pytest.mark.parametrize("code", ["mel", "nv", "vasc"])
def test_the_map_equals_the_plain_library_s(classifier: Classifier, code: str) -> None:
    photo = draw_lesion("mel", seed=3)
    configuration = classifier.configuration
    library = Gradcam(classifier.network)(
        CategoricalScore(CODES.index(code)),
        to_input(photo, configuration.input_size, configuration.resampling),
        penultimate_layer=configuration.map_layer,
        seek_penultimate_conv_layer=False,
        expand_cam=False,
        normalize_cam=False,
    )[0]
    library = np.asarray(library)
    saliency = grad_cam(classifier)(classifier(photo).features, code)
    assert saliency.evidence == (library.max() > 0)
    np.testing.assert_allclose(saliency.values, library / max(library.max(), 1e-12), atol=2e-3)


def test_maps_of_two_classes_differ(classifier: Classifier) -> None:
    features = classifier(draw_lesion("bcc")).features
    maps = [grad_cam(classifier)(features, code).values for code in CODES]
    assert max(np.abs(maps[0] - other).max() for other in maps[1:]) > 0.05


def test_the_map_is_large_enough(classifier: Classifier) -> None:
    values = grad_cam(classifier)(classifier(draw_lesion("bcc")).features, "bcc").values
    assert min(values.shape) >= 6
    assert values.dtype == np.float32
    assert values.min() >= 0
    assert values.max() <= 1


def test_no_positive_evidence_is_an_empty_map_not_noise(model_folder: Path) -> None:
    classifier = Classifier(model_folder)
    head = classifier.network.get_layer("logits")
    head.kernel.assign(-tf.abs(head.kernel))  # after ReLU, nothing can speak for any class
    saliency = grad_cam(classifier)(classifier(draw_lesion("mel")).features, "mel")
    assert not saliency.evidence
    assert not saliency.values.any()
    square = draw_lesion("mel").crop((0, 0, 100, 100))
    np.testing.assert_array_equal(overlay(square, saliency), square)


def test_the_overlay_changes_only_where_there_is_evidence() -> None:
    values = np.zeros((6, 6), np.float32)
    values[1, 4] = 1
    saliency = SaliencyMap("mel", values, True)
    square = Image.new("RGB", (120, 120), (200, 160, 150))
    laid = np.asarray(overlay(square, saliency, opacity=0.5)).astype(int)
    difference = np.abs(laid - np.asarray(square)).sum(-1)
    assert difference[100:, :20].max() == 0
    assert np.unravel_index(difference.argmax(), difference.shape)[0] < 50
    assert difference[20:40, 80:100].min() > 20
    np.testing.assert_array_equal(overlay(square, saliency, opacity=0), square)
    assert heat(saliency, 120).mode == "RGBA"


def test_the_legend_runs_through_the_map_s_colours() -> None:
    values = np.linspace(0, 1, 9, dtype=np.float32).reshape(1, 9).repeat(9, 0)
    coloured = np.asarray(heat(SaliencyMap("mel", values, True), 9))[0, :, :3]
    expected = [tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5)) for colour in legend_colours(9)]
    np.testing.assert_allclose(coloured, expected, atol=3)


def test_the_photo_s_own_model_is_left_as_it_was(model_folder: Path) -> None:
    classifier = Classifier(model_folder)
    before = [weight.copy() for weight in classifier.network.get_weights()]
    photo = draw_lesion("nv")
    answer = classifier(photo).probabilities
    grad_cam(classifier)(classifier(photo).features, "nv")
    assert classifier(photo).probabilities == answer
    for old, new in zip(before, classifier.network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert isinstance(classifier.network, keras.Model)
