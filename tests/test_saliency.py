"""Saliency maps: the fast paths equal the library's own results; an empty map is said to be empty."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tf_keras_vis.gradcam import Gradcam
from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
from tf_keras_vis.layercam import Layercam
from tf_keras_vis.saliency import Saliency
from tf_keras_vis.scorecam import Scorecam
from tf_keras_vis.utils.scores import CategoricalScore

from skinapp.lesions import CODES
from skinapp.network.classifier import Classifier, load
from skinapp.network.folders import default_model
from skinapp.network.saliency import (
    METHODS,
    NOISE,
    NOISY_COPIES,
    SaliencyMap,
    _gradient,
    explain,
    heat,
    legend_colours,
    overlay,
)
from skinapp.photo.drawings import draw_lesion
from skinapp.photo.preprocess import to_input

GRADIENT_CAMS = {"gradcam": Gradcam, "gradcam++": GradcamPlusPlus, "layercam": Layercam}


@pytest.fixture(params=["tiny", "shipped"])
def classifier(request: pytest.FixtureRequest, model_folder: Path) -> Classifier:
    return load(model_folder if request.param == "tiny" else default_model())


@pytest.fixture
def tiny(model_folder: Path) -> Classifier:
    return load(model_folder)


def plain_cam(classifier: Classifier, method: str, code: str, photo: Image.Image) -> np.ndarray:
    """A gradient CAM as the library makes it of the whole network, divided by its peak."""
    configuration = classifier.configuration
    cam = GRADIENT_CAMS[method](classifier.network)(
        CategoricalScore(CODES.index(code)),
        to_input(photo, configuration.input_size, configuration.resampling),
        penultimate_layer=configuration.map_layer,
        seek_penultimate_conv_layer=False,
        expand_cam=False,
        normalize_cam=False,
    )
    values = np.asarray(cam)[0]
    return values / max(values.max(), 1e-12)


@pytest.mark.parametrize("code", ["mel", "vasc"])
@pytest.mark.parametrize("method", GRADIENT_CAMS)
def test_a_gradient_cam_equals_the_plain_library_s(classifier: Classifier, method: str, code: str) -> None:
    photo = draw_lesion("mel", seed=3)
    library = plain_cam(classifier, method, code, photo)
    saliency = explain(classifier, classifier(photo), code, method)
    assert saliency.code == code
    assert saliency.evidence == (library.max() > 0)
    np.testing.assert_allclose(saliency.values, library, atol=2e-3)


@pytest.mark.parametrize("method", ["gradcam", "layercam"])
def test_our_own_cam_equals_the_library_s_for_every_class(classifier: Classifier, method: str) -> None:
    predictions = [classifier(draw_lesion(code, seed)) for code, seed in (("mel", 3), ("nv", 1), ("vasc", 2))]
    library = GRADIENT_CAMS[method](classifier.head)(
        CategoricalScore(list(range(len(CODES))) * len(predictions)),
        np.concatenate([prediction.features.repeat(len(CODES), axis=0) for prediction in predictions]),
        penultimate_layer=classifier.head.layers[0],
        seek_penultimate_conv_layer=False,
        expand_cam=False,
        normalize_cam=False,
    )
    ours = [explain(classifier, prediction, code, method) for prediction in predictions for code in CODES]
    assert sum(saliency.evidence for saliency in ours) > len(CODES)
    # Rounding: where little speaks for a class, the peak that all is divided by is a small difference of large sums.
    for saliency, values in zip(ours, np.asarray(library), strict=True):
        np.testing.assert_allclose(saliency.values, values / max(values.max(), 1e-12), atol=5e-4)


def test_one_gradient_is_traced_for_all_classes_and_both_methods(model_folder: Path) -> None:
    classifier = Classifier(model_folder)
    prediction = classifier(draw_lesion("mel"))
    for method in ("gradcam", "layercam"):
        for code in CODES:
            explain(classifier, prediction, code, method)
    assert _gradient(classifier).experimental_get_tracing_count() == 1


def test_score_cam_equals_the_plain_library_s(tiny: Classifier) -> None:
    prediction = tiny(draw_lesion("mel", seed=3))
    library = Scorecam(tiny.network)(
        CategoricalScore(CODES.index("bkl")),
        prediction.picture,
        penultimate_layer=tiny.configuration.map_layer,
        seek_penultimate_conv_layer=False,
        expand_cam=False,
        normalize_cam=False,
    )
    library = np.asarray(library)[0]
    saliency = explain(tiny, prediction, "bkl", "scorecam")
    np.testing.assert_allclose(saliency.values, library / library.max(), atol=2e-3)


def test_smooth_grad_equals_the_plain_library_s(tiny: Classifier) -> None:
    prediction = tiny(draw_lesion("mel", seed=3))
    np.random.seed(0)  # the library draws its noise from here
    library = Saliency(tiny.network)(
        CategoricalScore(CODES.index("bkl")),
        prediction.picture,
        smooth_samples=NOISY_COPIES,
        smooth_noise=NOISE,
        normalize_map=False,
    )[0]
    values = explain(tiny, prediction, "bkl", "smoothgrad").values
    averaged = np.asarray(Image.fromarray(library).resize(values.shape[::-1], Image.Resampling.BOX))
    np.testing.assert_allclose(values, averaged / averaged.max(), atol=2e-3)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_a_map(tiny: Classifier, method: str) -> None:
    prediction = tiny(draw_lesion("bcc"))
    maps = [explain(tiny, prediction, code, method) for code in CODES]
    for saliency in maps:
        assert saliency.evidence
        assert min(saliency.values.shape) >= 6
        assert saliency.values.dtype == np.float32
        assert (saliency.values.min() >= 0) and (saliency.values.max() == 1)
    if method != "scorecam":  # which weighs a tiny network's few channels much alike
        assert max(np.abs(maps[0].values - other.values).max() for other in maps[1:]) > 0.05
    again = explain(tiny, prediction, CODES[0], method)
    np.testing.assert_array_equal(again.values, maps[0].values)


def test_the_shipped_map_is_large_enough_and_of_the_class() -> None:
    classifier = load(default_model())
    prediction = classifier(draw_lesion("bcc"))
    maps = [explain(classifier, prediction, code).values for code in CODES]
    assert min(maps[0].shape) >= 6
    assert max(np.abs(maps[0] - other).max() for other in maps[1:]) > 0.05


def test_method_and_layer_are_the_configuration_s(model_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "other"))
    configuration = load(model_folder).configuration
    layer = "stage_0_conv2_activation"
    assert layer != configuration.map_layer
    replace(configuration, map_method="layercam", map_layer=layer).write(folder)
    classifier, photo = Classifier(folder), draw_lesion("mel", seed=3)
    values = explain(classifier, classifier(photo), "mel").values
    assert values.shape == (94, 94)
    np.testing.assert_allclose(values, plain_cam(classifier, "layercam", "mel", photo), atol=2e-3)


def test_an_unknown_method_is_refused_by_name(tiny: Classifier) -> None:
    with pytest.raises(ValueError, match="'lime'.*gradcam, gradcam"):
        explain(tiny, tiny(draw_lesion("mel")), "mel", "lime")


def test_several_threads_get_the_same_maps(model_folder: Path) -> None:
    classifier = Classifier(model_folder)  # nothing is built yet: the threads do that at the same time, too
    predictions = [classifier(draw_lesion(code)) for code in ("mel", "nv")]
    jobs = [(prediction, method) for prediction in predictions for method in METHODS]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda job: explain(classifier, job[0], "mel", job[1]).values, jobs))
    for (prediction, method), values in zip(jobs, together, strict=True):
        np.testing.assert_allclose(values, explain(classifier, prediction, "mel", method).values, atol=1e-4)


@pytest.mark.parametrize("method", GRADIENT_CAMS)
def test_no_positive_evidence_is_an_empty_map_not_noise(model_folder: Path, method: str) -> None:
    classifier = Classifier(model_folder)
    head = classifier.folded.get_layer("logits")
    head.kernel.assign(-tf.abs(head.kernel))  # after ReLU, nothing can speak for any class
    saliency = explain(classifier, classifier(draw_lesion("mel")), "mel", method)
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


@pytest.mark.parametrize("method", METHODS)
def test_the_photo_s_own_model_is_left_as_it_was(model_folder: Path, method: str) -> None:
    classifier = load(model_folder)
    before = [weight.copy() for weight in classifier.folded.get_weights()]
    photo = draw_lesion("nv")
    answer = classifier(photo)
    explain(classifier, answer, "nv", method)
    assert classifier(photo).probabilities == answer.probabilities
    for old, new in zip(before, classifier.folded.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
