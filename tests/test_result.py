"""What the page says of one reading, without a browser."""

import re
from dataclasses import replace

import numpy as np
import pytest

from skinapp.decision import SENSITIVITIES
from skinapp.lesions import CODES
from skinapp.network.classifier import load
from skinapp.network.folders import MODELS
from skinapp.page.result import sentence_html, target_html
from skinapp.photo.drawings import draw_lesion
from skinapp.reading import Reading, read_photo


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
        html = target_html(with_malignant(reading, point.threshold + aside), sensitivity)
        told = re.search(r"<b>([\d.]+)&nbsp;%</b>, (\w+) the threshold of ([\d.]+)&nbsp;%", html)
        assert told, html
        assert told[2] == word
        assert (float(told[1]) > float(told[3])) is (word == "above") and told[1] != told[3]


def test_no_line_ends_before_a_percent_sign(reading: Reading) -> None:
    for html in (sentence_html(reading), target_html(reading, SENSITIVITIES[0])):
        assert "&nbsp;%" in html and " %" not in html
