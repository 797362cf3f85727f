"""`python -m skinapp` as it is typed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pypdf import PdfReader

from skinapp.cli import main
from skinapp.lesions import CODES
from skinapp.network.classifier import load
from skinapp.network.folders import MODELS
from skinapp.photo.drawings import draw_lesion
from skinapp.reading import read
from skinapp.words import headline, percent
from tests.serving import ROOT


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Two photos of one name in two folders, and between them a file that is none."""
    paths = [tmp_path / "a" / "photo.jpg", tmp_path / "broken.jpg", tmp_path / "b" / "photo.jpg"]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
    draw_lesion("mel").save(paths[0])
    paths[1].write_text("not a photo")
    draw_lesion("nv").save(paths[2])
    return paths


def test_json_lines_have_the_api_s_keys(
    photos: list[Path], model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main([*map(str, photos), "--json", "--model", str(model_folder)])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert status == 1
    assert [line["file"] for line in lines] == [str(path) for path in photos]
    assert lines[1].keys() == {"file", "error"}
    for path, line in ((photos[0], lines[0]), (photos[2], lines[2])):
        expected = json.loads(json.dumps(read(path, load(model_folder)).as_json()))
        assert line == {"file": str(path)} | expected


def test_json_holds_set_targets_and_operating_points(
    photos: list[Path], model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(photos[0]), str(photos[2]), "--json", "--model", str(model_folder)]) == 0
    configuration = load(model_folder).configuration
    for line in map(json.loads, capsys.readouterr().out.splitlines()):
        assert set(line) == {
            "file", "headline", "label", "name", "probabilities", "set", "targets", "dermatoscopic", "checks", "model", "notice",
        }  # fmt: skip
        shares = line["probabilities"]
        surest = sorted(CODES, key=lambda code: -shares[code])
        before = {code: sum(shares[c] for c in CODES if shares[c] > shares[code]) for code in CODES}
        assert line["set"] == {
            "coverage": configuration.set_coverage,
            "codes": [
                code for code in surest if before[code] <= 0.5
            ],  # every class's threshold in this model
        }
        assert line["label"] == line["set"]["codes"][0]
        suspicious = shares["akiec"] + shares["bcc"] + shares["mel"]
        for target, share, threshold in (("malignant", suspicious, 0.2), ("melanoma", shares["mel"], 0.1)):
            assert line["targets"][target]["probability"] == pytest.approx(share)
            assert line["targets"][target]["operating_points"] == [
                {"sensitivity": 0.9, "threshold": threshold, "flagged": share >= threshold}
            ]
        assert line["dermatoscopic"] is None, "this model does not tell"


def test_a_model_is_called_by_its_name(photos: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(photos[0]), "--json", "--model", "fast"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["model"] == {"name": "fast", "sha256": load(MODELS / "fast").sha256}


def test_the_table_has_a_line_a_photo(
    photos: list[Path], model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(photos[0]), "--model", str(model_folder)]) == 0
    heading, line, _, notice = capsys.readouterr().out.splitlines()
    assert heading.split() == ["photo", "top", *CODES]
    prediction = load(model_folder)(draw_lesion("mel")).probabilities
    shares = [float(cell.rstrip("%")) / 100 for cell in line.split()[2:]]
    assert shares == pytest.approx(prediction, abs=0.03)  # the JPEG differs a little from the drawing
    assert "Not a medical device" in notice


def test_overlays_do_not_overwrite_each_other(photos: list[Path], model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "overlays"
    assert main([*map(str, photos), "--overlay", str(folder), "--model", str(model_folder)]) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["photo-2.png", "photo.png"]
    with Image.open(folder / "photo.png") as overlay, Image.open(photos[0]) as photo:
        assert overlay.size == (450, 450)
        square = np.asarray(photo.crop((75, 0, 525, 450)))
        assert np.abs(np.asarray(overlay).astype(int) - square).max() > 20


def test_a_report_of_each_photo(photos: list[Path], model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "reports"
    assert main([*map(str, photos), "--report", str(folder), "--model", str(model_folder)]) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["photo-2.pdf", "photo.pdf"]
    for name, path in (("photo.pdf", photos[0]), ("photo-2.pdf", photos[2])):
        (page,) = PdfReader(folder / name).pages
        text = " ".join(page.extract_text().split())
        reading = read(path, load(model_folder))
        assert headline(reading) in text
        assert reading.top.name in text and percent(max(reading.prediction.probabilities)) in text
        assert reading.classifier.sha256 in text
        assert "photo.jpg" not in text


@pytest.mark.parametrize(
    "arguments", [["--model", "nowhere"], ["--overlay", "app.py/x"], ["--report", "app.py/x"]]
)
def test_what_cannot_start_says_why(
    photos: list[Path],
    arguments: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    assert main([str(photos[0]), *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert len(output.err.strip().splitlines()) == 1


def test_the_program_as_it_is_called_leaves_no_temporary_file(photos: list[Path], tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "skinapp", *map(str, photos), "--json", "--overlay", str(tmp_path / "maps")],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 3
    assert "Traceback" not in done.stderr
    assert len(list((tmp_path / "maps").iterdir())) == 2
    assert not list(temporary.iterdir())
