"""What is taken along: one page, the right numbers, and nothing of the photo's file."""

import copy
import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image
from pypdf import PdfReader

from skinapp import NOTICE, __version__
from skinapp.classifier import load
from skinapp.drawings import draw_lesion
from skinapp.lesions import CLASSES
from skinapp.models import default_model
from skinapp.reading import Reading, read
from skinapp.report import LONGEST_LABEL, document, pdf, png
from skinapp.saliency import SaliencyMap, overlay
from skinapp.words import flag_sentence, percent, set_sentence

SCHEMA = json.loads(Path("skinapp/reading.schema.json").read_text())
NOW = datetime(2026, 3, 9, 14, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Reading:
    """Of a file whose EXIF tells of a patient."""
    path = tmp_path_factory.mktemp("photos") / "Jane-Roe.jpg"
    exif = Image.Exif()
    exif[0x010E], exif[0x013B] = "patient JANEROE", "clinic ATLANTIS"
    draw_lesion("mel", 2).save(path, exif=exif, comment=b"JANEROE", quality=90)
    assert b"JANEROE" in path.read_bytes()
    return read(path, load(default_model()))


def text_of(data: bytes) -> str:
    pages = PdfReader(io.BytesIO(data)).pages
    assert len(pages) == 1
    return re.sub(r"\s+", " ", pages[0].extract_text())


@pytest.mark.parametrize("sensitivity", [0.9, 0.95, 0.98])
def test_the_page_says_what_the_reading_says(reading: Reading, sensitivity: float) -> None:
    text = text_of(pdf(reading, reading.saliency(), sensitivity, "teaching set, case 7", NOW))
    for lesion in CLASSES:
        assert lesion.name in text
        assert percent(reading.prediction.by_code[lesion.code]) in text
    for sentence in (
        NOTICE,
        set_sentence(reading),
        flag_sentence(reading, sensitivity),
        "teaching set, case 7",
    ):
        assert re.sub(r"\s+", " ", sentence) in text
    for check in reading.checks:
        assert check.finding in text and check.advice in text
    assert reading.classifier.sha256 in text.replace(" ", "")
    assert "2026-03-09 14:05 UTC" in text and f"skinapp {__version__}" in text
    assert "diagnosis" not in text.replace("not a diagnosis", "")


@pytest.mark.parametrize(
    "label",
    [
        "",
        "x" * 5000,
        "W" * LONGEST_LABEL,
        "line\nbreak\x00\x07 \u202e bidi",
        "ñ Ж “quoted” 皮膚 🩺",
        "<b>&amp;</b> (a) \\ %",
    ],
)
def test_no_label_breaks_the_page(reading: Reading, label: str, caplog: pytest.LogCaptureFixture) -> None:
    saliency = reading.saliency()
    text_of(pdf(reading, saliency, 0.95, label, NOW))
    assert not caplog.records, "fpdf2 logs characters that it cannot print"
    written = document(reading, label, NOW)
    jsonschema.validate(written, SCHEMA)
    assert written["case"].isprintable()


def test_a_map_without_evidence_is_told_as_one(reading: Reading) -> None:
    nothing = SaliencyMap("df", np.zeros((8, 8), np.float32), False, "layercam")
    assert "no positive evidence for Dermatofibroma" in text_of(pdf(reading, nothing, 0.95, "", NOW))


def test_nothing_of_the_file_goes_along(reading: Reading) -> None:
    saliency = reading.saliency()
    files = [
        pdf(reading, saliency, 0.95, "", NOW),
        png(reading, saliency),
        json.dumps(document(reading, "", NOW)).encode(),
    ]
    for data in files:
        for told in (b"JANEROE", b"Jane-Roe", b"ATLANTIS", b"Exif"):
            assert told not in data
    assert not {"/Author", "/Subject"} & set(PdfReader(io.BytesIO(files[0])).metadata or {})


def test_the_document_keeps_to_its_schema(reading: Reading) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    written = json.loads(json.dumps(document(reading, "case 7", NOW)))
    jsonschema.validate(written, SCHEMA)
    assert written["probabilities"] == reading.prediction.by_code
    assert written["time"] == "2026-03-09T14:05:00+00:00"
    assert {check["name"] for check in written["checks"]} >= {"sharp", "lit", "framed", "dermatoscopic"}
    for change in ({"schema": "skinapp-reading/2"}, {"label": "scc"}, {"extra": 1}, {"case": "x" * 500}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(copy.deepcopy(written) | change, SCHEMA)


def test_the_overlay_carries_the_notice(reading: Reading) -> None:
    saliency = reading.saliency()
    with Image.open(io.BytesIO(png(reading, saliency, 0.3))) as picture:
        assert picture.info["Comment"] == NOTICE
        np.testing.assert_array_equal(picture, overlay(reading.square, saliency, 0.3))
