"""What every test may use: drawn data sets and a tiny model folder, none of them the user's own."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow, whose notes would bury pytest's
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["MPLBACKEND"] = "Agg"
os.environ.pop("SKINAPP_MODEL", None)  # the tests' answers do not depend on the user's choice

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

from skinapp.decision import OperatingPoint
from skinapp.lesions import CODES
from skinapp.network import known_answer
from skinapp.network.classifier import Classifier
from skinapp.network.configuration import FORMAT, Configuration
from skinapp.photo.drawings import draw_lesion
from skinapp.photo.preprocess import to_input
from skinapp.service.engine import Engine
from tests.drawings import write_dataset
from tests.serving import running_app
from train.network.architectures import CnnSettings, cnn
from train.network.export import write_model

LESIONS_PER_CLASS = 9  # the fewest of which one goes to tune and one to report
MOST_FILES = 3200  # what the app is told to take at once


# Few tests each, but of minutes: last in line, as pytest-xdist has files of few tests, one worker would wait for them.
LONGEST = {"test_archive", "test_load", "test_workers", "test_accessibility", "test_fit", "test_maps"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


@pytest.fixture(scope="session")
def dataset_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn data set of 63 lesions and 98 images in the flat layout; not to be changed."""
    folder = tmp_path_factory.mktemp("drawn")
    write_dataset(folder, LESIONS_PER_CLASS)
    return folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of a tiny untrained CNN whose answers differ between photos; not to be changed."""
    folder = tmp_path_factory.mktemp("tiny")
    keras.utils.set_random_seed(7)
    network, map_layer = cnn(CnnSettings(filters=(4, 8)), 94)
    drawn = np.concatenate([to_input(draw_lesion(code, 0, (150, 112)), 94, "bicubic") for code in CODES])
    logits, head = np.asarray(network(drawn, training=False)), network.get_layer("logits")
    head.kernel.assign(head.kernel * 2 / logits.std(0))  # untrained logits hardly differ from photo to photo
    head.bias.assign(-2 * logits.mean(0) / logits.std(0))
    write_model(folder, network, tiny_configuration(map_layer))
    known_answer.write(Classifier(folder))
    return folder


@pytest.fixture(scope="session")
def app_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TMPDIR of the app at `address`, where its uploads lie, and log.txt with all that it has printed."""
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="session")
def address(app_folder: Path) -> Iterator[str]:
    """Of the app as it is started, with the shipped weights. One for all files: to start it and to load its models takes
    20 s. Files that need other settings, or end it, start their own."""
    settings = {"TMPDIR": str(app_folder), "SKINAPP_MOST_FILES": str(MOST_FILES)}
    with running_app(app_folder / "log.txt", **settings) as address:
        yield address


@pytest.fixture
def engine(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """What reads the page's photos, with the tiny model first, loaded."""
    monkeypatch.setenv("SKINAPP_MODEL", str(model_folder))
    engine = Engine()
    engine._load()
    return engine


def tiny_configuration(map_layer: str) -> Configuration:
    """A configuration for a network that a test has built; sha256 is filled in by `write_model`."""
    return Configuration(
        format=FORMAT,
        network="cnn",
        settings={},
        input_size=94,
        resampling="bicubic",
        classes=CODES,
        map_layer=map_layer,
        map_method="gradcam",
        views=8,
        prior=tuple(np.full(len(CODES), 1 / len(CODES)).tolist()),
        temperature=1.3,
        tau=0.2,
        set_coverage=0.9,
        set_thresholds=(0.5,) * len(CODES),
        operating_points=(OperatingPoint("malignant", 0.9, 0.2), OperatingPoint("melanoma", 0.9, 0.1)),
        dermatoscopic_layer="",
        dermatoscopic_threshold=0.0,
        withheld_threshold=0.0,
        sha256={},
        versions={},
        command="test",
    )
