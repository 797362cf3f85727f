"""The wheel: installed outside the repository, it reads a photo; what it asks for is what the requirements files name."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import time
import tomllib
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

import skinapp
from skinapp.network.folders import MODELS
from skinapp.photo.drawings import draw_lesion
from tests.requirements import written
from tests.serving import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as `python -m build` builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment outside the repository with the wheel in it. Returns its programs' folder.

    What the wheel depends on is lent by this environment: installing it would take minutes, and CI's image does that."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    programs = folder / "bin"
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "lent.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    install = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "install", "--quiet"]
    install += ["--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check", str(wheel)]
    subprocess.run(install, check=True, timeout=120)
    return programs


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    bare = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "SKINAPP_MODEL"}}
    return subprocess.run(
        command, cwd=folder, env=bare, capture_output=True, text=True, timeout=300, check=False
    )


def test_the_wheel_holds_the_package_and_the_shipped_model_and_no_more(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    assert {"skinapp/py.typed", "skinapp/output/reading.schema.json", "skinapp/page/frame.js"} <= set(names)
    assert {"skinapp/model/fast/skinapp.json", "skinapp/model/fast/weights.npz"} <= set(names)
    assert all(name.startswith(("skinapp/", f"skinapp-{skinapp.__version__}.dist-info/")) for name in names)
    assert not [name for name in names if name.endswith("split.csv")]


def test_the_wheel_says_under_which_licences_it_is(wheel: Path) -> None:
    (name,) = (name for name in ZipFile(wheel).namelist() if name.endswith(".dist-info/METADATA"))
    metadata = ZipFile(wheel).read(name).decode()
    assert "\nLicense-Expression: Apache-2.0 AND CC-BY-NC-4.0\n" in metadata
    assert "\nLicense-File: model/LICENSE\n" in metadata
    assert "\nProvides-Extra: app\n" in metadata


def test_the_installed_command_reads_a_photo_from_any_folder(environment: Path, tmp_path: Path) -> None:
    draw_lesion("mel").save(tmp_path / "photo.png")
    done = run([str(environment / "skinapp"), "photo.png", "--json"], tmp_path)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["file"] == "photo.png" and answer["model"]["name"] == "fast"
    assert (
        answer["model"]["sha256"]
        == json.loads((MODELS / "fast" / "skinapp.json").read_text())["sha256"]["weights.npz"]
    )
    where = run([str(environment / "python"), "-c", "import skinapp; print(skinapp.__file__)"], tmp_path)
    assert Path(where.stdout.strip()).is_relative_to(environment.parent), "the wheel, not the repository"


def test_each_command_has_an_example_in_its_help(environment: Path, tmp_path: Path) -> None:
    for command in ([], ["read"], ["serve"], ["archive"], ["evaluate"]):
        done = run([str(environment / "skinapp"), *command, "--help"], tmp_path)
        assert done.returncode == 0 and "example: skinapp " in done.stdout, done.stderr
        assert "Not a medical device" in " ".join(done.stdout.split())


def test_importing_is_quick_and_loads_neither_tensorflow_nor_gradio() -> None:
    code = (
        "import sys, time; began = time.perf_counter(); import skinapp; took = time.perf_counter() - began\n"
        "print(took, *(name for name in ('tensorflow', 'keras', 'gradio', 'numpy', 'PIL') if name in sys.modules))"
    )
    times = []
    for _ in range(3):  # the machine may be busy: the quickest tells
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        )
        took, *loaded = done.stdout.split()
        assert not loaded
        times.append(float(took))
        time.sleep(0.1)
    assert min(times) < 0.2


def test_the_requirements_files_are_those_of_pyproject() -> None:
    for name, text in written().items():
        assert (ROOT / name).read_text(encoding="utf-8") == text, f"{name}: run make requirements"


def test_the_version_stands_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "version" not in project and project["dynamic"] == ["version"]
    assert re.search(
        rf"^version: {re.escape(skinapp.__version__)}$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE
    )
    assert f"## {skinapp.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
