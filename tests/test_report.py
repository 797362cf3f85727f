"""The report as it is taken along: the page's text and pictures are read again with pypdf, the document is held against the
published schema, and nothing of the photo's file is in any of them."""

import io
import json
import logging
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pypdfium2
import pytest
from jsonschema import Draft202012Validator, ValidationError
from PIL import Image, PngImagePlugin
from pypdf import PdfReader

from skinapp import NOTICE, __version__
from skinapp.decision import SENSITIVITIES
from skinapp.lesions import BY_CODE, CODES
from skinapp.network.classifier import Classifier, load
from skinapp.network.folders import MODELS
from skinapp.network.saliency import METHODS, SaliencyMap, overlay
from skinapp.output import report
from skinapp.output.report import LONGEST_LABEL, NO_GLYPH, document, pdf, png, tidy, unprintable
from skinapp.photo.checks import Check
from skinapp.photo.drawings import draw_lesion
from skinapp.reading import Reading, read
from skinapp.words import STRANGE, cost_sentence, flag_sentence, percent, set_sentence
from tests.serving import ROOT

NOW = datetime(2026, 3, 4, 15, 6, 7, tzinfo=timezone(timedelta(hours=2)))
SECRET = "Erika Mustermann"
SCHEMA = json.loads((ROOT / "skinapp" / "output" / "reading.schema.json").read_text(encoding="utf-8"))
A4 = (595.28, 841.89)  # points
DPI = 100
MARGINS = (report.LEFT, report.TOP, report.RIGHT, report.BOTTOM)


@pytest.fixture(scope="module")
def fast() -> Classifier:
    return load(MODELS / "fast")


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn JPEG with a telling name, EXIF with GPS, a comment and an XMP packet."""
    path = tmp_path_factory.mktemp("photos") / "mustermann-1961.jpg"
    exif = Image.Exif()
    exif[0x010E] = f"{SECRET} description"
    exif[0x013B] = f"{SECRET} artist"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[29] = "1961:02:03"
    packet = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{SECRET} packet</x:xmpmeta>".encode()
    draw_lesion("mel").save(path, exif=exif, comment=f"{SECRET} comment", xmp=packet)
    assert path.read_bytes().count(SECRET.encode()) == 4
    return path


@pytest.fixture(scope="module")
def reading(photo: Path, fast: Classifier) -> Reading:
    return read(photo, fast)


@pytest.fixture(scope="module")
def seen_with_x(reading: Reading) -> np.ndarray:
    """The page with the label "x"."""
    return as_seen(printed(reading, label="x"))


@pytest.fixture(scope="module")
def grey(fast: Classifier) -> Reading:
    """Of a plain grey picture, in which nothing speaks for some classes."""
    buffer = io.BytesIO()
    Image.new("RGB", (300, 300), (200, 150, 130)).save(buffer, "PNG")
    return read(buffer.getvalue(), fast)


def printed(
    reading: Reading,
    saliency: SaliencyMap | None = None,
    sensitivity: float = 0.95,
    label: str = "",
    opacity: float = 0.5,
) -> bytes:
    """The PDF of a moment that stays the same."""
    return pdf(reading, saliency or reading.saliency(), sensitivity, label, NOW, opacity)


def words(page: bytes) -> str:
    """The text of the only page, on one line."""
    pages = PdfReader(io.BytesIO(page)).pages
    assert len(pages) == 1
    assert (pages[0].mediabox.width, pages[0].mediabox.height) == pytest.approx(A4, abs=0.1)
    return " ".join(pages[0].extract_text().split())


def as_seen(page: bytes) -> np.ndarray:
    """The page as it prints, uint8 (H, W) in grey levels, 100 pixels an inch."""
    with pypdfium2.PdfDocument(page) as opened:
        return np.asarray(opened[0].render(scale=DPI / 72).to_pil().convert("L"))


def inked(seen: np.ndarray) -> tuple[float, float, float, float]:
    """The box of all that is not white: left, top, right, bottom in millimetres."""
    rows, columns = np.nonzero(seen < 250)
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    left, top, right, bottom = (float(edge) * 25.4 / DPI for edge in box)
    return left, top, right, bottom


def rendered(page: bytes) -> list[np.ndarray]:
    """The page's pictures of some size, uint8 (S, S, 3), in the order in which they stand."""
    pictures = [np.asarray(image.image) for image in PdfReader(io.BytesIO(page)).pages[0].images]
    return [picture for picture in pictures if picture.shape[0] > 1]


def unlike(one: np.ndarray, other: Image.Image) -> float:
    """Mean difference in grey levels."""
    return float(np.abs(one.astype(int) - np.asarray(other, dtype=int)).mean())


@pytest.mark.parametrize("sensitivity", SENSITIVITIES)
def test_the_page_says_what_the_reading_says(reading: Reading, sensitivity: float) -> None:
    text = words(
        printed(reading, reading.saliency("bcc"), sensitivity=sensitivity, label="Case 17, “left arm”")
    )
    shown = sorted(reading.prediction.by_code.items(), key=lambda item: -item[1])
    bars = text[text.index("Probability of each class") : text.index("Photo checks")]
    places = [bars.index(f"{BY_CODE[code].name} {code}") for code, _ in shown]
    assert places == sorted(places)
    for code, share in shown:
        assert percent(share) in bars, code
    assert flag_sentence(reading, sensitivity) in text
    assert set_sentence(reading, sensitivity) in text
    assert (
        f"Saliency map {METHODS[reading.classifier.configuration.map_method]} for {BY_CODE['bcc'].name}"
        in text
    )

    (point, flagged) = next(
        (p, f) for p, f in reading.flags if (p.target, p.sensitivity) == ("malignant", sensitivity)
    )
    share = f"{reading.probability('malignant'):.1%}".replace("%", " %")
    side = "above" if flagged else "below"
    threshold = f"{point.threshold:.1%}".replace("%", " %")
    assert f"Malignant or premalignant {share} This is {side} the threshold of {threshold}" in text
    assert ("the lesion is not flagged" in text) is not flagged
    assert cost_sentence(reading, sensitivity) in text

    assert NOTICE in text
    assert f"Network: fast, 94 px sha256 {reading.classifier.sha256} Program: skinapp {__version__}" in text
    assert "4 March 2026, 15:06 (UTC+02:00)" in text
    assert "Case Case 17, “left arm”" in text


def test_every_check_is_printed_with_its_advice_where_it_failed(reading: Reading) -> None:
    checks = tuple(
        Check(
            f"check_{number}",
            number % 3 > 0,
            f"Finding number {number} about this very photo, told at some length.",
            "" if number % 3 else f"Advice number {number}, which tells what to do about it the next time.",
        )
        for number in range(24)
    )
    page = printed(replace(reading, checks=checks))
    text = words(page)
    for check in checks:
        assert check.finding in text
        assert check.advice in text
    assert text.index(checks[21].finding) < text.index(checks[1].finding), "failed ones come first"
    assert text.index(checks[23].finding) < text.index("The probabilities presume"), "above the foot"
    assert inked(as_seen(page)) == pytest.approx(MARGINS, abs=1)
    few = words(printed(replace(reading, checks=())))
    assert "Photo checks None were made." in few


def test_the_page_shows_the_photo_and_the_map_on_it(reading: Reading) -> None:
    saliency = reading.saliency("mel", "gradcam")
    square, mapped = rendered(printed(reading, saliency, opacity=0.8))
    expected = overlay(reading.square, saliency, 0.8)
    assert unlike(square, reading.square) < 2
    assert unlike(mapped, expected) < 2
    assert unlike(mapped, reading.square) > 5
    assert "Grad-CAM for Melanoma" in words(printed(reading, saliency, opacity=0.8))
    assert "80 % opaque" in words(printed(reading, saliency, opacity=0.8))


def test_without_evidence_there_is_no_map_but_a_sentence(grey: Reading) -> None:
    some = grey.saliency()
    saliency = replace(some, values=np.zeros_like(some.values), evidence=False)
    page = printed(grey, saliency)
    assert f"No positive evidence for {BY_CODE[saliency.code].name} in this photo" in words(page)
    assert len(rendered(page)) == 1


def test_a_photo_that_is_not_dermatoscopic_is_told_above_the_numbers(
    reading: Reading, tmp_path: Path, fast: Classifier
) -> None:
    strange = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8))
    strange.save(tmp_path / "noise.png")
    noise = read(tmp_path / "noise.png", fast)
    assert noise.dermatoscopic is False
    text = words(printed(noise, noise.saliency()))
    assert text.index(STRANGE) < text.index("90 % prediction set")
    passing = replace(reading, prediction=replace(reading.prediction, dermatoscopic_score=0.5))
    assert STRANGE not in words(printed(passing, passing.saliency()))


def test_a_network_without_that_operating_point_says_so(photo: Path, model_folder: Path) -> None:
    tiny = read(photo, load(model_folder))
    text = words(printed(tiny, tiny.saliency(), sensitivity=0.98))
    assert "This network has no operating point for 98 %." in text
    assert tiny.dermatoscopic is None
    text = words(printed(tiny, tiny.saliency(), sensitivity=0.9))
    assert "the threshold of 20.0 %" in text
    assert "false alarms" not in text, "nothing was measured of this network"


def test_nothing_of_the_photo_s_file_is_handed_on(reading: Reading, photo: Path) -> None:
    page = printed(reading, reading.saliency())
    reader = PdfReader(io.BytesIO(page))
    streams = [
        item.get_data()
        for number in range(1, len(reader.xref[0]) + 1)
        if hasattr(item := reader.get_object(number), "get_data")
    ]
    assert any(stream.startswith(b"\xff\xd8") for stream in streams), "the pictures are among them"
    made = [page, *streams, png(reading, reading.saliency()), json.dumps(document(reading, "", NOW)).encode()]
    for content in made:
        for secret in (
            SECRET,
            "Mustermann",
            "mustermann",
            photo.stem,
            "1961:02:03",
            "Exif\0",
            "adobe:ns:meta",
        ):
            assert secret.encode() not in content
            assert secret.encode("utf-16-be") not in content
    assert set(reader.metadata or {}) <= {"/Title", "/Creator", "/Producer", "/CreationDate"}


def test_a_picture_s_metadata_is_left_behind_wherever_it_comes_from(reading: Reading) -> None:
    square = reading.square.copy()
    square.info = {"comment": SECRET.encode(), "exif": SECRET.encode(), "icc_profile": SECRET.encode()}
    laden = replace(reading, square=square)
    for content in (printed(laden, laden.saliency()), png(laden, laden.saliency())):
        assert SECRET.encode() not in content


@pytest.mark.parametrize(
    "label",
    [
        "x" * 100_000,
        "W" * LONGEST_LABEL,
        "\n\n\t many\r\n lines \x00\x1b[31m\x85 ",
        "\u202egnp.exe\u2066 \u200b\u00ad\ufeff",
        "\ud800 lone surrogate",
        "Z" + "\u0351\u036b\u0313" * 60,
        "漢字 السلام עברית 🙂👩\u200d⚕️ \U0010ffff",
        "**bold** __under__ --strike-- [link](https://example.org) ) Tj (",
        "<script>alert(1)</script> {nb} %PDF",
    ],
)
def test_odd_labels_neither_break_the_page_nor_leave_it(
    reading: Reading, seen_with_x: np.ndarray, label: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        page = printed(reading, reading.saliency(), label=label)
    assert not caplog.records, "a case label is no business of the log's"
    assert NOTICE in words(page)
    seen = as_seen(page)
    assert inked(seen) == pytest.approx(MARGINS, abs=1)
    changed = np.abs(seen.astype(int) - seen_with_x) > 8
    rows = np.nonzero(changed.any(axis=1))[0] * 25.4 / DPI
    assert rows.min() > 28, "the label stays below the title"
    assert rows.max() < 37.5, "and above the notice"
    kept = tidy(label)
    assert 0 < len(kept) <= LONGEST_LABEL and kept.replace("\u200d", "").isprintable()
    Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(document(reading, label, NOW))))


# Arabic and Hebrew from the right, joined and with numbers from the left; Devanagari and Thai with their marks in place.
SCRIPTS = {
    "arabic": "حالة 12 الكتف الأيمن", "persian": "می\u200cخواهم ۱۲", "hebrew": "מקרה 12 כתף ימין", "hindi": "रोगी 12 दायां कंधा",
    "thai": "ผู้ป่วย 12 ไหล่ขวา", "greek": "Ασθενής 12", "cyrillic": "Пациент 12", "latin": "Łódź, Müller 12",
}  # fmt: skip


RIGHT_TO_LEFT = {"arabic": "حن", "persian": "خ۱", "hebrew": "קן"}  # an early and a late letter of each


@pytest.mark.parametrize("script", SCRIPTS)
def test_labels_are_printed_as_they_are_written(reading: Reading, script: str) -> None:
    label = SCRIPTS[script]
    assert unprintable(label) == ""
    page = printed(reading, label=label)
    text = words(page)
    assert NO_GLYPH not in text
    for word in label.split():
        if script not in ("hindi",):  # a vowel's sign stands before the letter that it follows
            assert word.replace("\u200c", "") in text.replace("\u200c", ""), "a search in the PDF finds it"
    rest = words(printed(reading, label="x"))
    assert rest[rest.index(NOTICE[:20]) :] in text, "the rest of the page stays as it is"
    if script in RIGHT_TO_LEFT:
        letters = pypdfium2.PdfDocument(page)[0].get_textpage()
        places = {
            letters.get_text_range(i, 1): letters.get_charbox(i)[0] for i in range(letters.count_chars())
        }
        early, late = RIGHT_TO_LEFT[script]
        assert places[early] > places[late]


def test_what_the_page_cannot_print_is_known_beforehand(reading: Reading) -> None:
    assert unprintable("患者 12, 患 right 한") == "患者한"
    assert words(printed(reading, label="患者 12")).count(NO_GLYPH) == 2
    assert document(reading, "患者 12", NOW)["case"] == "患者 12"


def test_without_a_label_there_is_no_line_for_it(reading: Reading) -> None:
    assert "Case " not in words(printed(reading, reading.saliency(), label=" \n"))


def test_the_document_is_the_reading_and_follows_the_schema(
    reading: Reading, grey: Reading, photo: Path, model_folder: Path
) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    validator = Draft202012Validator(SCHEMA)
    for one in (reading, grey, read(photo, load(model_folder))):
        made = json.loads(json.dumps(document(one, "Case 17", NOW)))
        validator.validate(made)
        assert {key: made[key] for key in one.as_json()} == json.loads(json.dumps(one.as_json()))
        assert made.keys() - one.as_json().keys() == {"schema", "program", "time", "case"}
        assert made["checks"] == [vars(check) for check in one.checks]
    assert made["schema"] == report.SCHEMA
    assert made["time"] == "2026-03-04T15:06:07+02:00"
    assert made["program"] == f"skinapp {__version__}"
    assert made["case"] == "Case 17"
    assert document(reading, " \n", NOW)["case"] == ""


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), "skinapp-reading/2"),
        (("case",), "x" * (LONGEST_LABEL + 1)),
        (("label",), "melanoma"),
        (("probabilities", "mel"), 1.2),
        (("probabilities", "mel"), "0.2"),
        (("probabilities", "scc"), 0.1),
        (("set", "codes"), []),
        (("targets", "malignant", "operating_points", 0, "flagged"), "yes"),
        (("checks", 0), {"name": "sharp", "passed": True, "finding": "Sharp."}),
        (("model", "sha256"), "0" * 63),
        (("dermatoscopic", "score"), None),
        (("file",), "mustermann.jpg"),
        (("notice",), None),
    ],
)
def test_a_wrong_document_fails(reading: Reading, path: tuple[Any, ...], value: object) -> None:
    made = json.loads(json.dumps(document(reading, "Case 17", NOW)))
    part = made
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    with pytest.raises(ValidationError):
        Draft202012Validator(SCHEMA).validate(made)


@pytest.mark.parametrize("missing", ["schema", "time", "probabilities", "checks", "notice", "model"])
def test_no_key_may_be_missing(reading: Reading, missing: str) -> None:
    made = json.loads(json.dumps(document(reading, "", NOW)))
    del made[missing]
    with pytest.raises(ValidationError):
        Draft202012Validator(SCHEMA).validate(made)


def test_the_schema_knows_the_app_s_classes() -> None:
    assert tuple(SCHEMA["$defs"]["code"]["enum"]) == CODES
    assert SCHEMA["properties"]["schema"]["const"] == report.SCHEMA
    assert SCHEMA["properties"]["case"]["maxLength"] == LONGEST_LABEL


def test_the_overlay_as_png_carries_the_notice_and_nothing_else(reading: Reading) -> None:
    saliency = reading.saliency("nv")
    with Image.open(io.BytesIO(png(reading, saliency, 0.3))) as picture:
        assert isinstance(picture, PngImagePlugin.PngImageFile)
        assert picture.format == "PNG"
        assert picture.info == {"Comment": NOTICE}
        expected = overlay(reading.square, saliency, 0.3)
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(expected))
