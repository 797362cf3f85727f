"""Figures in the documents are those of model/metrics.json, which are those of the weights, and what they name exists."""

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from skinapp.network.configuration import Configuration
from skinapp.network.folders import MODELS
from skinapp.photo.drawings import draw_lesion
from tests.serving import ROOT
from train.corruptions import read_corruptions
from train.dermatoscopic import read_dermatoscopic
from train.documents.tables import with_model_index, with_tables
from train.maps import read_maps
from train.margins import read_margins
from train.probabilities.calibrate import fit_configuration, fit_halves
from train.report import as_text, measure
from train.similar import read_similar
from train.validation import read_validation

DOCUMENTS = [ROOT / "README.md", MODELS / "README.md"]
FOLDERS = sorted(path.parent for path in MODELS.glob("*/skinapp.json"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=["README", "card"])
def test_results_are_those_of_the_metrics(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    metrics = json.loads((MODELS / "metrics.json").read_text(encoding="utf-8"))
    written = with_tables(text, metrics)
    if document.parent == MODELS:
        written = with_model_index(written, metrics)
    assert written == text, "run python -m train.report"


def test_the_metrics_are_those_of_the_shipped_folders() -> None:
    metrics = json.loads((MODELS / "metrics.json").read_text(encoding="utf-8"))
    assert list(metrics) == [folder.name for folder in FOLDERS]
    for folder in FOLDERS:
        assert metrics[folder.name] == json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_configuration_follows_from_the_tune_lesions(folder: Path) -> None:
    shipped = Configuration.read(folder)
    assert fit_configuration(shipped, read_validation(folder).part("tune")) == shipped


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_metrics_follow_from_the_validation_logits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "skinapp.figures.evaluation.RESAMPLES", 3
    )  # a thousand take minutes; intervals are not compared
    configuration, validation = Configuration.read(folder), read_validation(folder)
    fresh = measure(folder, configuration, validation, fit_halves(configuration, validation))
    written = figures(json.loads((folder / "metrics.json").read_text(encoding="utf-8")))
    assert written == pytest.approx(figures(json.loads(as_text(fresh))), abs=1e-6)
    compared = {place.split("/")[1] for place in written}
    assert compared == fresh.keys() - {"confidence_intervals"}, "every section has figures"


def figures(tree: Any, place: str = "") -> dict[str, Any]:
    """All that metrics.json holds, by its place in it, but for what comes of drawing samples."""
    branches = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else None
    if branches is None:
        return {place: tree}
    return {
        leaf: value
        for name, branch in branches
        if not re.search(r"interval|(^|_)(low|high)$", str(name))
        for leaf, value in figures(branch, f"{place}/{name}").items()
    }


@pytest.mark.parametrize(
    "section, read",
    [
        ("corruptions", read_corruptions),
        ("maps", read_maps),
        ("margins", read_margins),
        ("dermatoscopic", read_dermatoscopic),
        ("similar", read_similar),
    ],
)
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_measured_sections_are_the_committed_tables(
    folder: Path, section: str, read: Callable[[Path], tuple]
) -> None:
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert metrics[section] == [asdict(row) for row in read(folder)] != []


def test_readme_is_short() -> None:
    assert (ROOT / "README.md").stat().st_size < 8_000


def test_the_readme_s_python_runs_as_it_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (printed,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    draw_lesion("mel").save(tmp_path / "lesion.jpg")
    monkeypatch.chdir(tmp_path)
    exec(printed, {})  # noqa: S102
    assert " {'akiec': 0." in capsys.readouterr().out


@pytest.mark.parametrize(
    "document",
    [*DOCUMENTS, *sorted((ROOT / "docs").glob("*.md")), ROOT / "train" / "README.md"],
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_linked_files_exist(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text(encoding="utf-8"))
    missing = [link for link in links if not (document.parent / link).exists()]
    assert not missing


def test_no_photo_of_the_data_set_is_tracked() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "skinapp/lesions.py" in tracked
    others = [
        line for line in tracked.splitlines() if not line.startswith("skinapp/cases/")
    ]  # these are listed there
    assert not re.findall(r"ISIC_\d+\.(?:jpe?g|png)", "\n".join(others), re.IGNORECASE)
