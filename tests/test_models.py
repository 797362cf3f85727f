"""Which model folders are on offer, what they are called, and what is said where there is none."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from skinapp.network import folders
from skinapp.network.configuration import FILE, FORMAT, Configuration, ModelError
from skinapp.network.folders import default_model, files, model_folder, model_folders, title
from tests.conftest import tiny_configuration
from tests.serving import ROOT


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Models called detailed and fast, a folder that is none, and no SKINAPP_MODEL."""
    folder = tmp_path / "model"
    for name in ("detailed", "fast"):
        write(folder / name, 94 if name == "fast" else 224)
    (folder / "figures").mkdir()
    monkeypatch.setattr(folders, "MODELS", folder)
    monkeypatch.delenv("SKINAPP_MODEL", raising=False)
    return folder


def write(folder: Path, size: int = 94, metrics: object = None, sha256: dict[str, str] | None = None) -> Path:
    """A model folder with nothing in it but a configuration and figures."""
    folder.mkdir(parents=True)
    replace(tiny_configuration("map"), input_size=size, sha256=sha256 or {}).write(folder)
    if metrics is not None:
        (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def test_the_default_comes_first(shipped: Path) -> None:
    assert list(model_folders().items()) == [
        ("fast", shipped / "fast"),
        ("detailed", shipped / "detailed"),
    ]
    assert default_model() == shipped / "fast"


def test_the_user_s_own_model_comes_before_the_shipped_ones(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = write(tmp_path / "own")
    monkeypatch.setenv("SKINAPP_MODEL", str(own))
    assert list(model_folders().items()) == [
        ("own", own),
        ("detailed", shipped / "detailed"),
        ("fast", shipped / "fast"),
    ]
    assert default_model() == own


def test_the_user_s_own_model_takes_the_place_of_a_shipped_one_of_its_name(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = write(tmp_path / "runs" / "detailed")
    monkeypatch.setenv("SKINAPP_MODEL", str(own))
    assert model_folders() == {"detailed": own, "fast": shipped / "fast"}
    assert model_folder("detailed") == own


def test_the_user_s_own_model_needs_no_shipped_one(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "MODELS", tmp_path / "empty")
    monkeypatch.setenv("SKINAPP_MODEL", str(shipped / "fast"))
    assert model_folders() == {"fast": shipped / "fast"}


def test_a_missing_default_is_told(shipped: Path) -> None:
    (shipped / "fast" / "skinapp.json").unlink()
    with pytest.raises(ModelError, match=r"fast is missing: .* SKINAPP_MODEL"):
        model_folders()


def test_a_skinapp_model_that_is_no_folder_is_told(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKINAPP_MODEL", str(shipped / "fast" / "skinapp.json"))
    with pytest.raises(ModelError, match="is no folder"):
        model_folders()


def test_a_model_is_found_by_name_and_by_path(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write(tmp_path / "other")
    assert model_folder("detailed") == shipped / "detailed"
    assert model_folder(str(other)) == other
    monkeypatch.chdir(tmp_path)
    assert model_folder("other") == Path("other")
    (tmp_path / "fast").mkdir()
    assert model_folder("fast") == shipped / "fast", "a folder of that name here does not hide the model"
    assert model_folder("./fast") == Path("fast")


@pytest.mark.parametrize("named", ["slow", "fast/skinapp.json", "FAST"])
def test_an_unknown_name_is_answered_with_the_names_there_are(named: str, shipped: Path) -> None:
    with pytest.raises(ModelError, match=f"no model '{named}': .* fast, detailed") as refusal:
        model_folder(named)
    assert "\n" not in str(refusal.value)


METRICS = {"cross_fitted": {"balanced_accuracy": 0.7384, "macro_auc": 0.9641}}


def test_title_holds_the_figures(tmp_path: Path) -> None:
    folder = write(tmp_path / "fast", 94, METRICS)
    assert title(folder) == "fast, 94 px (balanced accuracy .74, AUC .96)"


def test_title_of_a_model_given_by_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write(tmp_path / "own", 60))
    assert title(Path(".")) == "own, 60 px"


@pytest.mark.parametrize(
    "metrics",
    [None, {}, {"cross_fitted": {}}, {"cross_fitted": {"balanced_accuracy": 1.0, "macro_auc": None}}],
    ids=["no metrics.json", "empty", "no figures", "undefined"],
)
def test_title_without_figures_is_name_and_size(metrics: object, tmp_path: Path) -> None:
    assert title(write(tmp_path / "own", 94, metrics)) == "own, 94 px"


def test_title_with_spoilt_metrics(tmp_path: Path) -> None:
    folder = write(tmp_path / "own", 94)
    (folder / "metrics.json").write_text('{"cross_fitted": {"bal')
    assert title(folder) == "own, 94 px"


def test_perfect_figures_keep_their_one(tmp_path: Path) -> None:
    perfect = {"cross_fitted": {"balanced_accuracy": 1.0, "macro_auc": 0.999}}
    folder = write(tmp_path / "own", 94, perfect)
    assert title(folder) == "own, 94 px (balanced accuracy 1.00, AUC 1.00)"


def test_the_files_of_a_model_are_those_that_it_names_and_no_others(tmp_path: Path) -> None:
    weights = b"weights"
    named = {"weights.npz": hashlib.sha256(weights).hexdigest()}
    folder = write(tmp_path / "own", metrics={}, sha256=named)
    with pytest.raises(ModelError, match="missing"):
        files(folder)
    (folder / "weights.npz").write_bytes(weights)
    assert files(folder) == {
        "skinapp.json": (folder / "skinapp.json").read_bytes(),
        "weights.npz": weights,
    }
    (folder / "weights.npz").write_bytes(b"others")
    with pytest.raises(ModelError, match="sha256 differs"):
        files(folder)


@pytest.mark.parametrize("configuration", [[], {}, {"sha256": []}, {"format": FORMAT, "sha256": {}}])
def test_the_files_of_no_model_are_refused(configuration: object, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps(configuration))
    with pytest.raises(ModelError, match="skinapp.json"):
        files(tmp_path)


def test_no_file_outside_the_folder_is_a_model_s(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="outside its folder"):
        files(write(tmp_path / "own", sha256={"../weights.npz": "0"}))


def test_a_configuration_is_read_as_it_was_written_and_however_it_is_laid_out(tmp_path: Path) -> None:
    configuration = tiny_configuration("map")
    configuration.write(tmp_path)
    assert Configuration.read(tmp_path) == configuration
    path = tmp_path / FILE
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True))
    assert Configuration.read(tmp_path) == configuration


@pytest.mark.parametrize("changed", [{"temperature": 1.2}, {"checksum": "0" * 64}, {"command": "another"}])
def test_an_edited_configuration_is_refused(changed: dict[str, object], tmp_path: Path) -> None:
    path = write(tmp_path / "own") / FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(ModelError, match="checksum differs"):
        Configuration.read(path.parent)


def test_configurations_and_names_are_read_without_tensorflow() -> None:
    code = (
        "import sys; from skinapp.network.folders import default_model, title; title(default_model())\n"
        "print(*(name for name in ('tensorflow', 'keras', 'gradio', 'sklearn', 'scipy') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
