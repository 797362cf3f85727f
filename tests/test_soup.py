"""The mean of two models' weights, and the share that is chosen on validation lesions."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from skinapp.network.classifier import Classifier
from skinapp.network.configuration import Configuration
from train.network.architectures import CnnSettings, cnn
from train.network.export import write_model
from train.soup import averaged, main


@pytest.fixture
def other(model_folder: Path, tmp_path: Path) -> Path:
    """A model of the same architecture with other weights."""
    folder = shutil.copytree(model_folder, tmp_path / "other")
    network = Classifier(folder).network
    network.set_weights([weight * 1.5 + 0.01 for weight in network.get_weights()])
    write_model(folder, network, Configuration.read(folder))
    return folder


def test_weights_are_averaged_in_the_share(model_folder: Path, other: Path) -> None:
    models = [Classifier(model_folder), Classifier(other)]
    for one, two, mean in zip(
        *(m.network.get_weights() for m in models), averaged(models, 0.25), strict=True
    ):
        np.testing.assert_allclose(mean, 0.75 * one + 0.25 * two, rtol=1e-5)


def test_command_writes_a_model_that_loads(
    model_folder: Path, other: Path, dataset_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--models", str(model_folder), str(other), "--data", str(dataset_folder)]
    out = tmp_path / "out"
    assert main([*arguments, "--out", str(out), "--share", "0.5"]) == 0
    assert "share 0.50: mean log loss" in capsys.readouterr().out
    soup = Classifier(out)
    expected = averaged([Classifier(model_folder), Classifier(other)], 0.5)
    for found, weight in zip(soup.network.get_weights(), expected, strict=True):
        np.testing.assert_allclose(found, weight, atol=2e-2, rtol=2e-3)  # half precision
    assert "train.soup" in soup.configuration.command


def test_unlike_networks_are_refused_in_one_sentence(
    model_folder: Path, dataset_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "larger"
    folder.mkdir()
    network, _ = cnn(CnnSettings(filters=(4, 4)), 94)
    write_model(folder, network, Configuration.read(model_folder))
    arguments = ["--models", str(model_folder), str(folder), "--data", str(dataset_folder)]
    assert main([*arguments, "--out", str(tmp_path / "out"), "--share", "0.5"]) == 1
    error = capsys.readouterr().err
    assert "different networks" in error and "Traceback" not in error
