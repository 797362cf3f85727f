"""Probabilities and figures in words, the same on the page, in the report and in the documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skinapp.figures import measured

if TYPE_CHECKING:
    from skinapp.reading import Reading


def percent(share: float) -> str:
    """`62 %`; no network is certain, so never 0 or 100."""
    if share > 0.99:
        return "over 99 %"
    if share < 0.001:
        return "under 0.1 %"
    if share >= 0.01:
        return f"{share:.0%}".replace("%", " %")
    return f"{share:.1%}".replace("%", " %")


def as_share(value: float | None) -> str:
    """`.765`, as the field writes shares; a dash where there is none."""
    return "-" if value is None else f"{value:.3f}".removeprefix("0")


def apart(share: float, threshold: float) -> tuple[str, str]:
    """Both as `12.6 %`, with as many decimals as tell on which side of the threshold a lesion is: thresholds lie low."""
    for decimals in (1, 2, 3):
        written = tuple(f"{value:.{decimals}%}".replace("%", " %") for value in (share, threshold))
        if written[0] != written[1]:
            break
    return (percent(share) if share > 0.99 or share < 0.001 else written[0]), written[1]


def set_sentence(reading: Reading) -> str:
    """The conformal set: "With 90 % confidence one of: Melanoma, Melanocytic nevus."."""
    held = ", ".join(lesion.name for lesion in reading.held)
    return f"With {percent(reading.classifier.configuration.set_coverage)} confidence one of: {held}."


def cost_sentence(reading: Reading, sensitivity: float) -> str:
    """What points fitted like that one, for malignant or premalignant lesions, did on lesions that did not fit them."""
    cost = measured.cost(reading.classifier.folder, "malignant", sensitivity)
    if cost is None:
        return ""
    found, vain = cost.sensitivity.value, cost.false_alarms_per_find.value
    if found is None or vain is None:
        return ""
    return (
        f"Points fitted like this one found {percent(found)} of such lesions of the data set, and flagged {vain:.1f} "
        "benign ones for each."
    )
