"""What the page says of one reading, as HTML: photo checks, headline, bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skinapp import words
from skinapp.lesions import BY_CODE
from skinapp.page.templating import render

if TYPE_CHECKING:
    from skinapp.reading import Reading

WAITING = '<p class="waiting">The result appears here as soon as there is a photo.</p>'


def refusal_html(sentence: str) -> str:
    """Why there is no result."""
    return render("refusal", sentence=sentence)


def checks_html(reading: Reading) -> str:
    """The photo checks: failed ones first, with what to do about them."""
    failed, passed = ([check for check in reading.checks if check.passed is yes] for yes in (False, True))
    return render("checks", failed=failed, passed=passed)


def withheld_html() -> str:
    """In place of the result of what is no dermatoscopic photo."""
    return render("withheld")


def headline_html(reading: Reading, sensitivity: float) -> str:
    """What matters first: the flag at the chosen operating point and what that point costs, then the prediction set.

    Its text holds `words.headline`. sensitivity: one of the model's operating points'.
    """
    before, held = words.set_sentence(reading, sensitivity).split(": ", 1)
    return render(
        "headline",
        strange=words.STRANGE if reading.dermatoscopic is False else "",
        flagged=reading.flagged(sensitivity),
        flag=words.flag_sentence(reading, sensitivity),
        cost=words.cost_sentence(reading, sensitivity),
        before=f"{before}:",
        held=held,
        missed=words.missed_sentence(reading),
    )


def bars_html(reading: Reading, sensitivity: float) -> str:
    """The sum of the malignant and premalignant classes with the threshold's mark, then seven bars, the most probable class
    first, those of the prediction set marked. sensitivity: as for `headline_html`."""
    held = reading.held_at(sensitivity)
    found = reading.flag("malignant", sensitivity)
    total = reading.probability("malignant")
    share, threshold = words.apart(total, found[0].threshold) if found else ("", "")
    shares = sorted(reading.prediction.by_code.items(), key=lambda item: -item[1])
    return render(
        "bars",
        point=found[0] if found else None,
        sum=total,
        share=share,
        threshold=threshold,
        rows=[
            {"lesion": BY_CODE[code], "share": share, "inside": BY_CODE[code] in held}
            for code, share in shares
        ],
    )


def mix_html(reading: Reading) -> str:
    """Which class mix the probabilities assume, of how many views they are, and which network gave them."""
    configuration = reading.classifier.configuration
    return render(
        "mix",
        mix=sorted(configuration.presumed_mix.items(), key=lambda item: -item[1]),
        views=configuration.views,
        title=reading.classifier.title,
        digest=reading.classifier.sha256[:12],
    )
