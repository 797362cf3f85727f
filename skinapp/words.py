"""Probabilities and figures in words, the same on the page, in the report and in the documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skinapp import measured

if TYPE_CHECKING:
    from skinapp.reading import Reading


def percent(share: float) -> str:
    """`62 %`; no network is certain, so never 0 or 100."""
    if share > 0.99:
        return "over 99 %"
    if share >= 0.01:
        return f"{share:.0%}".replace("%", " %")
    return f"{max(share, 0.001):.1%}".replace("%", " %")


def as_share(value: float | None) -> str:
    """`.765`, as the field writes shares; a dash where there is none."""
    return "-" if value is None else f"{value:.3f}".removeprefix("0")


def tenths(share: float) -> str:
    """`12.6 %`: thresholds lie so low that whole percents would hide on which side a lesion is."""
    return percent(share) if share > 0.99 else f"{max(share, 0.001):.1%}".replace("%", " %")


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
