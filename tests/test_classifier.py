"""Loading a model folder, refusing a wrong one, and predicting."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from skinapp.lesions import CODES
from skinapp.network import folders
from skinapp.network.classifier import Classifier, load, views
from skinapp.network.configuration import Configuration, ModelError, checksum, probabilities
from skinapp.network.folders import model_folders
from skinapp.photo.drawings import draw_lesion
from skinapp.photo.preprocess import to_input, to_pixels
from skinapp.reading import read
from tests.conftest import tiny_configuration
from train.network.export import write_model


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(model_folder, tmp_path / "model"))


def test_probabilities_follow_the_configuration(model_folder: Path) -> None:
    classifier = load(model_folder)
    photo = draw_lesion("mel")
    batch = to_input(photo, 94, "bicubic")
    turned = [
        np.rot90(np.flip(batch, axis=2) if mirror else batch, k, (1, 2))
        for mirror in (0, 1)
        for k in range(4)
    ]
    logits = np.mean([classifier.network(one.copy(), training=False)[0] for one in turned], axis=0)
    configuration = classifier.configuration
    expected = tf.nn.softmax(
        (logits - configuration.tau * np.log(configuration.prior)) / configuration.temperature
    )
    prediction = classifier(photo)
    np.testing.assert_allclose(prediction.probabilities, expected, atol=1e-5)
    assert sum(prediction.probabilities) == pytest.approx(1)
    assert prediction.top.code == CODES[int(np.argmax(expected))]
    assert list(prediction.by_code) == list(CODES)


def test_many_photos_get_the_same_answers_as_each_alone(model_folder: Path) -> None:
    classifier = load(model_folder)
    photos = [draw_lesion(code, seed) for code in CODES for seed in range(3)]
    together = classifier.configuration.probabilities(
        classifier.logits(np.stack([to_pixels(photo, 94, "bicubic") for photo in photos]))
    )
    alone = [classifier(photo).probabilities for photo in photos]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.ptp(together, axis=0).max() > 0.01, "a network that says the same of everything proves nothing"


@pytest.mark.parametrize("number", [1, 2, 4, 8])
def test_views_are_different_symmetries_with_the_upright_photo_first(number: int) -> None:
    batch = np.arange(2 * 9 * 3, dtype=np.float32).reshape(2, 3, 3, 3)
    made = views(tf.constant(batch), number).numpy()
    assert made.shape == (2 * number, 3, 3, 3)
    np.testing.assert_array_equal(made[:2], batch)
    symmetries = {
        np.rot90(np.flip(batch[0], 1) if mirror else batch[0], k).tobytes()
        for mirror in (0, 1)
        for k in range(4)
    }
    first = {view.tobytes() for view in made[::2]}
    assert len(first) == number
    assert first <= symmetries


def test_prior_and_temperature_mean_what_they_say() -> None:
    prior = np.array([0.1, 0.05, 0.1, 0.05, 0.1, 0.5, 0.1])
    np.testing.assert_allclose(probabilities(np.log(prior), 1.0, 1.0, prior), np.full(7, 1 / 7))
    np.testing.assert_allclose(probabilities(np.log(prior), 1.0, 0.0, prior), prior)
    hot = probabilities(np.array([1000.0, 0, 0, 0, 0, 0, 0]), 0.1, 0.0, prior)
    assert np.isfinite(hot).all()
    logits = np.random.default_rng(0).normal(size=(200, 7))
    named = [probabilities(logits, t, 0.7, prior).argmax(1) for t in (0.5, 1.0, 2.0)]
    assert (named[0] == named[1]).all() and (named[1] == named[2]).all()  # temperature names no class
    configuration = replace(tiny_configuration("x"), prior=tuple(prior.tolist()), tau=0.5)
    mix = np.sqrt(prior) / np.sqrt(prior).sum()
    np.testing.assert_allclose(list(configuration.presumed_mix.values()), mix)


def test_half_precision_on_disk_hardly_moves_the_answer(model_folder: Path, tmp_path: Path) -> None:
    classifier = load(model_folder)
    with np.load(model_folder / "weights.npz") as arrays:
        assert {arrays[name].dtype for name in arrays.files} == {np.dtype(np.float16)}
    network = keras.models.clone_model(classifier.network)
    exact = [
        weight + 1e-5 for weight in classifier.network.get_weights()
    ]  # no longer representable in 16 bits
    network.set_weights(exact)
    write_model(tmp_path, network, classifier.configuration)
    batch = to_input(draw_lesion("nv"), 94, "bicubic")
    np.testing.assert_allclose(Classifier(tmp_path).network(batch), network(batch), rtol=0.02, atol=0.05)


def flip_a_byte(folder: Path) -> None:
    data = bytearray((folder / "weights.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "weights.npz").write_bytes(data)


def change(**values: object) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / "skinapp.json"
        raw = json.loads(path.read_text()) | values
        del raw["checksum"]
        path.write_text(json.dumps(raw | {"checksum": checksum(raw)}))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (flip_a_byte, "sha256 differs"),
        (lambda folder: (folder / "weights.npz").unlink(), "missing"),
        (lambda folder: (folder / "network.json").write_text("{}"), "sha256 differs"),
        (lambda folder: (folder / "skinapp.json").unlink(), "no model folder"),
        (lambda folder: (folder / "skinapp.json").write_text("{"), "not valid JSON"),
        (change(format=99), "another version"),
        (change(novelty=1), "novelty"),
        (change(classes=sorted(CODES, reverse=True)), "other classes"),
        (change(map_layer="nowhere"), "map layer"),
        (change(resampling="magic"), "resampling"),
    ],
)
def test_a_spoilt_model_folder_is_refused_in_one_sentence(
    folder: Path, spoil: Callable[[Path], None], says: str
) -> None:
    spoil(folder)
    with pytest.raises(ModelError, match=says) as refusal:
        Classifier(folder)
    assert "\n" not in str(refusal.value)


def test_a_lambda_layer_is_refused(tmp_path: Path) -> None:
    inputs = keras.Input((94, 94, 3))
    x = keras.layers.Conv2D(7, 3, name="map")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Lambda(lambda y: y)(x))
    write_model(tmp_path, keras.Model(inputs, x), tiny_configuration("map"))
    with pytest.raises(ModelError):
        Classifier(tmp_path)


def test_the_model_is_chosen_by_the_environment(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert next(iter(model_folders())) == folders.DEFAULT_MODEL
    monkeypatch.setenv("SKINAPP_MODEL", str(model_folder))
    assert next(iter(model_folders().items())) == (model_folder.name, model_folder)
    assert folders.DEFAULT_MODEL in model_folders()
    monkeypatch.setenv("SKINAPP_MODEL", str(model_folder / "nowhere"))
    with pytest.raises(ModelError, match="SKINAPP_MODEL"):
        model_folders()


def test_a_reading_is_the_api_s_answer(model_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    draw_lesion("bcc").save(path)
    reading = read(path, load(model_folder))
    answer = reading.as_json()
    assert set(answer) == {
        "headline", "label", "name", "probabilities", "set", "targets", "dermatoscopic", "checks", "model", "notice"
    }  # fmt: skip
    assert answer["dermatoscopic"] is None, "the tiny model has no score"
    assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)
    assert answer["model"]["sha256"] == Configuration.read(model_folder).sha256["weights.npz"]
    assert reading.square.size == (450, 450)
    assert json.loads(json.dumps(answer)) == answer
