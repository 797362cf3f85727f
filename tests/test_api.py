"""The named endpoints through gradio_client, on the app as it is started, with the shipped weights."""

import json
import re
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from jsonschema import Draft202012Validator
from PIL import Image
from pypdf import PdfReader

from skinapp.lesions import CODES
from skinapp.network.case_index import nearest
from skinapp.network.classifier import load
from skinapp.network.folders import default_model
from skinapp.network.saliency import overlay
from skinapp.photo.drawings import draw_lesion
from skinapp.reading import read
from tests.serving import ROOT

SCHEMA = json.loads((ROOT / "skinapp" / "output" / "reading.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def client(address: str, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(address, verbose=False, download_files=str(tmp_path_factory.mktemp("downloads")))


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "drawn.png"
    draw_lesion("mel").save(path)
    return path


def test_only_the_promised_endpoints_are_offered(client: Client) -> None:
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(endpoints) == {
        "/classify", "/classify_many", "/explain", "/operating_point", "/performance", "/report", "/similar",
    }  # fmt: skip
    defaults = {p["parameter_name"]: p["parameter_default"] for p in endpoints["/classify"]["parameters"]}
    assert defaults["model"] == "fast"


def test_classify_gives_what_reading_gives(client: Client, photo: Path) -> None:
    answer = client.predict(handle_file(photo), api_name="/classify")
    assert set(answer) == {
        "headline", "label", "name", "probabilities", "set", "targets", "dermatoscopic", "checks", "model", "notice",
    }  # fmt: skip
    assert list(answer["probabilities"]) == list(CODES)
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert answer["label"] == max(CODES, key=answer["probabilities"].__getitem__)
    assert "Not a medical device" in answer["notice"]
    here = read(photo, load(default_model())).as_json()
    assert answer["model"] == here["model"]
    assert answer["probabilities"] == pytest.approx(here["probabilities"], abs=1e-5)
    assert answer["set"] == here["set"]
    assert answer["label"] in answer["set"]["codes"]
    assert answer["targets"].keys() == here["targets"].keys() == {"malignant", "melanoma"}
    for target, found in answer["targets"].items():
        assert found["probability"] == pytest.approx(here["targets"][target]["probability"], abs=1e-5)
        assert found["operating_points"] == here["targets"][target]["operating_points"] != []
    assert set(answer["dermatoscopic"]) == {"score", "threshold", "passed", "withheld"}
    assert answer["dermatoscopic"]["passed"] is here["dermatoscopic"]["passed"]
    assert client.predict(handle_file(photo), "fast", api_name="/classify") == answer


@pytest.mark.parametrize("code", [None, *CODES])
def test_explain_gives_the_overlay_of_the_class(client: Client, photo: Path, code: str | None) -> None:
    arguments = [handle_file(photo)] if code is None else [handle_file(photo), code]
    picture, answer = client.predict(*arguments, api_name="/explain")
    reading = read(photo, load(default_model()))
    saliency = reading.saliency(code)
    assert answer["label"] == saliency.code == (code or reading.top.code)
    assert answer["evidence"] is saliency.evidence
    assert "Not a medical device" in answer["notice"]
    with Image.open(picture) as served:
        assert served.format == "PNG"
        expected = np.asarray(overlay(reading.square, saliency), dtype=int)
        assert np.abs(np.asarray(served.convert("RGB")) - expected).max() <= 2


def test_report_gives_a_page_and_a_document(client: Client, photo: Path) -> None:
    asked = {"code": "vasc", "label": "Case 17, “left arm”", "sensitivity": 0.98}
    page, data = map(Path, client.predict(handle_file(photo), **asked, api_name="/report"))
    assert (page.name, data.name) == ("skinapp-report.pdf", "skinapp-reading.json")
    (only,) = PdfReader(page).pages
    text = " ".join(only.extract_text().split())
    for expected in ("Case 17, “left arm”", "for Vascular lesion", "Not a medical device"):
        assert expected in text
    made = json.loads(data.read_text(encoding="utf-8"))
    Draft202012Validator(SCHEMA).validate(made)
    assert made["case"] == asked["label"]
    answer = client.predict(handle_file(photo), api_name="/classify")
    assert made | answer == made
    for content in (page.read_bytes(), text.encode(), data.read_bytes()):
        assert photo.stem.encode() not in content
    page, data = client.predict(handle_file(photo), api_name="/report")
    assert json.loads(Path(data).read_text(encoding="utf-8"))["case"] == ""
    assert f"for {made['name']}" in " ".join(PdfReader(page).pages[0].extract_text().split())


def test_similar_gives_the_nearest_training_cases(client: Client, photo: Path) -> None:
    answer = client.predict(handle_file(photo), api_name="/similar")
    expected = nearest(read(photo, load(default_model())))
    assert len(expected) == len(answer["cases"]) == 8
    assert "Not a medical device" in answer["notice"]
    distances = [case["distance"] for case in answer["cases"]]
    assert distances == sorted(distances)
    for case, here in zip(answer["cases"], expected, strict=True):
        assert case == asdict(here) | {"distance": pytest.approx(here.distance, rel=1e-3)}
        assert case["link"] == f"https://api.isic-archive.com/images/{case['image_id']}/"


def test_many_photos_at_once(client: Client, photo: Path, tmp_path: Path) -> None:
    packed, labels = tmp_path / "packed.zip", tmp_path / "labels.csv"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(photo, "a/inside.png")
        archive.writestr("broken.jpg", b"nothing")
    labels.write_text("image_id,dx\ninside,mel\ndrawn,nv\n")
    answer = client.predict([handle_file(p) for p in (photo, packed, labels)], api_name="/classify_many")
    assert set(answer) == {"model", "set_coverage", "notice", "rows", "evaluation"}
    assert [row["file"] for row in answer["rows"]] == [
        "drawn.png",
        "packed.zip/a/inside.png",
        "packed.zip/broken.jpg",
    ]
    here = read(photo, load(default_model())).as_json()
    for row in answer["rows"][:2]:
        assert row["probabilities"] == pytest.approx(here["probabilities"], abs=1e-5)
        assert row["malignant"] == pytest.approx(here["targets"]["malignant"]["probability"], abs=1e-5)
        assert (row["label"], row["set"]) == (here["label"], here["set"]["codes"])
    assert answer["rows"][2].keys() == {"file", "error"}
    assert answer["evaluation"]["n"] == 2
    assert answer["evaluation"]["accuracy"] == sum(here["label"] == dx for dx in ("mel", "nv")) / 2
    with pytest.raises(AppError, match="no photo"):
        client.predict([handle_file(labels)], api_name="/classify_many")
    with pytest.raises(AppError, match="names on offer are fast"):
        client.predict([handle_file(photo)], "none", api_name="/classify_many")


def save_as(**options: object) -> Callable[[Path], None]:
    return lambda path: draw_lesion("nv").convert("CMYK").save(path, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "write", "says"),
    [
        ("empty.jpg", lambda path: path.write_bytes(b""), "empty"),
        ("text.png", lambda path: path.write_text("no picture"), "not a picture"),
        ("small.png", lambda path: draw_lesion("nv", size=(93, 200)).save(path), "94"),
        ("cmyk.tiff", save_as(), "CMYK"),
        (
            "page.svg",
            lambda path: path.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>"),
            "SVG drawing",
        ),
        ("bomb.png", lambda path: Image.new("1", (9500, 9500)).save(path), "50 megapixels"),
        ("huge.png", lambda path: Image.new("1", (20000, 20000)).save(path), "50 megapixels"),
    ],
)
@pytest.mark.parametrize("endpoint", ["/classify", "/explain", "/report", "/similar"])
def test_a_refusal_is_one_sentence(
    client: Client, tmp_path: Path, name: str, write: Callable[[Path], None], says: str, endpoint: str
) -> None:
    write(tmp_path / name)
    with pytest.raises(AppError, match=says) as refusal:
        client.predict(handle_file(tmp_path / name), api_name=endpoint)
    assert "\n" not in str(refusal.value)
    assert "Traceback" not in str(refusal.value)


def test_unknown_model_class_and_missing_photo_are_refused(client: Client, photo: Path) -> None:
    with pytest.raises(AppError, match="names on offer are fast"):
        client.predict(handle_file(photo), "none", api_name="/classify")
    with pytest.raises(AppError, match="codes are akiec"):
        client.predict(handle_file(photo), "melanoma", api_name="/explain")
    for sensitivity in (0.5, -1, None):
        with pytest.raises(AppError, match="choose one of 0.9, 0.95, 0.98"):
            client.predict(handle_file(photo), None, "", sensitivity, api_name="/report")
    with pytest.raises(AppError, match="no photo"):
        client.predict(None, api_name="/classify")


def test_answers_at_once_are_not_mixed_up(client: Client, tmp_path: Path) -> None:
    photos = []
    for code in CODES:
        photos.append(tmp_path / f"{code}.png")
        draw_lesion(code, seed=5).save(photos[-1])
    alone = [client.predict(handle_file(photo), api_name="/classify") for photo in photos]
    with ThreadPoolExecutor(7) as pool:
        together = list(
            pool.map(lambda photo: client.predict(handle_file(photo), api_name="/classify"), photos * 2)
        )
    for one, other in zip(alone * 2, together, strict=True):
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-6)
    assert len({str(answer["probabilities"]) for answer in alone}) == 7


def test_files_of_the_server_are_not_served(address: str) -> None:
    for path in ("app.py", "/etc/passwd", "../../etc/passwd", "model/fast/weights.npz"):
        answer = httpx.get(f"{address}/gradio_api/file={path}")
        assert answer.status_code in (403, 404), path


def test_the_log_names_no_photo_and_holds_no_traceback(
    client: Client, photo: Path, app_folder: Path, tmp_path: Path
) -> None:
    bad, log = tmp_path / "secret-name.jpg", app_folder / "log.txt"
    bad.write_bytes(b"nothing")
    before = len(log.read_text(errors="replace"))
    client.predict(handle_file(photo), api_name="/classify")
    client.predict(handle_file(photo), label="Erika M. 漢字", api_name="/report")
    with pytest.raises(AppError):
        client.predict(handle_file(bad), api_name="/classify")
    text = log.read_text(errors="replace")
    assert "Traceback" not in text
    assert "Erika" not in text and "missing" not in text[before:], (
        "the PDF library tells which letters of a label it lacks"
    )
    assert "secret-name" not in text
    assert photo.stem not in text


def test_the_documented_client_runs_as_it_is_printed(
    address: str,
    photo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    readme = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    (printed,) = (code for code in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "Client(" in code)
    with Image.open(photo) as drawn:
        drawn.save(tmp_path / "lesion.jpg")
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(printed.replace("http://127.0.0.1:7860", address), found)  # noqa: S102
    assert found["answer"]["label"] == "mel"
    assert "'probabilities'" in capsys.readouterr().out
