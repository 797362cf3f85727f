"""What the page says of one reading, without a browser."""

import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest

from skinapp.decision import CAUTION, SENSITIVITIES
from skinapp.lesions import CLASSES, CODES
from skinapp.network.classifier import load
from skinapp.network.folders import MODELS
from skinapp.output.rows import Row
from skinapp.page.result import bars_html, headline_html
from skinapp.photo.drawings import draw_lesion
from skinapp.reading import Reading, read_photo
from skinapp.words import STRANGE, cost_sentence, flag_sentence, headline, set_sentence


@pytest.fixture(scope="module")
def reading() -> Reading:
    return read_photo(draw_lesion("mel"), load(MODELS / "fast"))


def with_malignant(reading: Reading, share: float) -> Reading:
    """The reading with another probability of malignant or premalignant lesions: all of it melanoma, the rest nevus."""
    probabilities = np.zeros(len(CODES))
    probabilities[[CODES.index("mel"), CODES.index("nv")]] = share, 1 - share
    return replace(reading, prediction=replace(reading.prediction, probabilities=tuple(probabilities)))


@pytest.mark.parametrize("sensitivity", SENSITIVITIES)
def test_probability_and_threshold_tell_on_which_side_a_lesion_is(
    reading: Reading, sensitivity: float
) -> None:
    (point, _) = reading.flag("malignant", sensitivity) or (None, None)
    assert point is not None
    for aside, word in ((-0.002, "below"), (0.002, "above"), (-0.0002, "below"), (0.0001, "above")):
        html = headline_html(with_malignant(reading, point.threshold + aside), sensitivity)
        told = re.search(r": ([\d.]+)&nbsp;%[\w ]*, (\w+) the threshold of ([\d.]+)&nbsp;%", html)
        assert told, html
        assert told[2] == word
        assert (float(told[1]) > float(told[3])) is (word == "above") and told[1] != told[3]


def test_no_line_ends_before_a_percent_sign(reading: Reading) -> None:
    for html in (headline_html(reading, CAUTION), bars_html(reading, SENSITIVITIES[0])):
        assert "&nbsp;%" in html and " %" not in html


def text_of(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).replace("\N{NO-BREAK SPACE}", " ").split())


@pytest.mark.parametrize("sensitivity", SENSITIVITIES)
def test_headline_flag_and_set_agree_on_drawn_probabilities(reading: Reading, sensitivity: float) -> None:
    """500 vectors: half of them spread over the classes, half nearly sure of one class."""
    generator = np.random.default_rng(7)
    drawn = np.vstack([generator.dirichlet(np.full(len(CODES), a), 250) for a in (0.5, 0.08)])
    flagged_ones = 0
    for shares in drawn:
        photo = replace(
            reading,
            prediction=replace(reading.prediction, probabilities=tuple(shares), dermatoscopic_score=0.0),
        )
        (point, flagged) = photo.flag("malignant", sensitivity) or (None, False)
        assert point is not None
        suspicious = shares[[CODES.index(code) for code in ("mel", "bcc", "akiec")]].sum()
        assert flagged is bool(suspicious >= point.threshold)
        flagged_ones += flagged
        told, held = headline(photo, sensitivity), photo.held_at(sensitivity)
        assert told.startswith("Flagged as possibly malignant" if flagged else "Not flagged at this setting")
        assert told.endswith(f"90 % prediction set: {', '.join(lesion.name for lesion in held)}.")
        assert told.startswith(flag_sentence(photo, sensitivity))
        inside = np.array([lesion in held for lesion in CLASSES])
        assert photo.top == held[0] and shares[inside].min() > shares[~inside].max(initial=0), "a hole"
        shown = text_of(headline_html(photo, sensitivity))
        assert flag_sentence(photo, sensitivity) in shown
        if flagged:
            assert any(lesion.suspicious for lesion in held)
            bare = shown.replace("Benign keratosis", "").lower()
            assert "benign" not in bare and "harmless" not in bare
    assert 100 < flagged_ones < 450


def test_json_table_and_page_say_the_same(reading: Reading) -> None:
    photo = with_malignant(reading, 0.4)
    row, page = Row.of("x.jpg", photo), text_of(headline_html(photo, CAUTION))
    assert photo.as_json()["headline"] == row.headline == row.as_json()["headline"] == headline(photo)
    assert row.flagged and row.as_json()["flagged"] is True
    for sentence in (flag_sentence(photo, CAUTION), cost_sentence(photo, CAUTION), set_sentence(photo)[:-1]):
        assert sentence in page


def test_a_photo_unlike_those_of_the_training_is_said_to_be_one(reading: Reading) -> None:
    strange = replace(reading, prediction=replace(reading.prediction, dermatoscopic_score=1e9))
    assert headline(strange).startswith(STRANGE) and STRANGE in text_of(headline_html(strange, CAUTION))
