"""What the page says of one reading, as HTML: photo checks, sentence, operating point, bars."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from skinapp.lesions import BY_CODE
from skinapp.output.words import apart, cost_sentence, percent, set_sentence

if TYPE_CHECKING:
    from skinapp.reading import Reading

WAITING = '<p class="waiting">The result appears here as soon as there is a photo.</p>'
DRAWN = (
    '<p class="notice" role="status">A <strong>drawing</strong> to try the page with: what the network says of it means '
    "nothing.</p>"
)


def refusal_html(sentence: str) -> str:
    """Why there is no result."""
    return f'<p class="refusal" role="alert">{escape(sentence)}</p>'


def checks_html(reading: Reading, drawn: bool) -> str:
    """The photo checks: failed ones first, with what to do about them. drawn: of a drawing, nobody asks whether it is
    dermatoscopic."""
    asked = [check for check in reading.checks if not (drawn and check.name == "dermatoscopic")]
    failed = [check for check in asked if not check.passed]
    passed = [check for check in asked if check.passed]
    lines = [
        f'<li class="failed"><b>{escape(check.finding)}</b> {escape(check.advice)}</li>' for check in failed
    ]
    if passed:
        fine = " ".join(escape(check.finding) for check in passed)
        lines.append(f'<li class="passed"><span class="visually-hidden">Passed: </span>{fine}</li>')
    return f'<div role="status"><ul class="checks" aria-label="Photo checks">{"".join(lines)}</ul></div>'


def withheld_html() -> str:
    """In place of the result of what is no dermatoscopic photo."""
    return (
        '<div class="notice" role="status"><strong>No result shown: this does not look like a dermatoscopic photo.</strong> '
        "The network has learned from nothing else, and its probabilities would mean little. Lesions that are none of the "
        "seven classes are not recognised in this way.</div>"
    )


def sentence_html(reading: Reading) -> str:
    """The most probable class in words, and the conformal set."""
    top = reading.top
    before, held = set_sentence(reading).split(": ", 1)
    return _unbroken(
        f'<p class="sentence" role="status">Most probable: <strong>{escape(top.name)}</strong>, '
        f"{percent(max(reading.prediction.probabilities))}. "
        f"<small>{escape(top.description)} This class is <b>{top.malignancy}</b>.</small></p>"
        f'<p class="held">{before}: <b>{escape(held)}</b></p>'
    )


def target_html(reading: Reading, sensitivity: float) -> str:
    """Malignant or premalignant against one operating point, and what that point costs.

    sensitivity: one of the model's operating points'; empty where the model has none.
    """
    found = reading.flag("malignant", sensitivity)
    if found is None:
        return ""
    point, flagged = found
    word, colour = ("above", "flagged") if flagged else ("below", "clear")
    share, threshold = apart(reading.probability("malignant"), point.threshold)
    return _unbroken(
        f'<p class="held target {colour}">Malignant or premalignant: <b>{share}</b>, '
        f"{word} the threshold of {threshold}.<small>{cost_sentence(reading, sensitivity)}</small></p>"
    )


def bars_html(reading: Reading) -> str:
    """Seven bars, the most probable class first; those of the conformal set are marked."""
    held = {lesion.code for lesion in reading.held}
    rows = []
    for code, share in sorted(reading.prediction.by_code.items(), key=lambda item: -item[1]):
        lesion = BY_CODE[code]
        kind = "" if lesion.malignancy == "benign" else f'<span class="kind">{lesion.malignancy}</span>'
        inside = ' class="inside"' if code in held else ""
        rows.append(
            f'<li{inside}><span class="name">{escape(lesion.name)} <small>{code}</small> {kind}</span>'
            f'<span class="share">{percent(share)}</span>'
            f'<span class="track"><span style="width:{100 * share:.1f}%"></span></span></li>'
        )
    coverage = percent(reading.classifier.configuration.set_coverage)
    return (
        f'<h2 class="small-head">Probability of each class <span class="mix"><span class="swatch"></span>in the {coverage} '
        f'set</span></h2><ol class="bars">{"".join(rows)}</ol>'
    )


def mix_html(reading: Reading) -> str:
    """Which class mix the probabilities presume, of how many views they are, and which network gave them."""
    mix, views = reading.classifier.configuration.presumed_mix, reading.classifier.configuration.views
    averaged = f"They average {views} turned and mirrored copies; the map is of the photo as it stands. "
    shares = ", ".join(
        f"{code} {round(100 * share)} %" for code, share in sorted(mix.items(), key=lambda m: -m[1])
    )
    return (
        f'<details class="mix"><summary>What the probabilities presume</summary>This mix of lesions: {shares}. Where yours '
        f"differs, so do they. Anything that is none of the seven classes is forced into one of them. "
        f"{averaged if views > 1 else ''}Network: "
        f"{escape(reading.classifier.title)}, sha256 {reading.classifier.sha256[:12]}.</details>"
    )


def _unbroken(html: str) -> str:
    """No line ends before a percent sign."""
    return html.replace(" %", "&nbsp;%")
