"""Probabilities and figures in words, the same on the page, in the report and in the documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skinapp.decision import CAUTION
from skinapp.figures import measured

if TYPE_CHECKING:
    from skinapp.reading import Reading

STRANGE = "This photo differs from those the network learned from, so its result is less reliable."


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


def headline(reading: Reading, sensitivity: float = CAUTION) -> str:
    """What is said of a photo before all else: the flag, then the prediction set. sensitivity: of the operating point."""
    sentences = [
        STRANGE if reading.dermatoscopic is False else "",
        flag_sentence(reading, sensitivity),
        set_sentence(reading, sensitivity),
    ]
    return " ".join(filter(None, sentences))


def flag_sentence(reading: Reading, sensitivity: float) -> str:
    """Whether the lesion is flagged at an operating point, and by how much; empty where the model has no such point."""
    found = reading.flag("malignant", sensitivity)
    if found is None:
        return ""
    point, flagged = found
    share, threshold = apart(reading.probability("malignant"), point.threshold)
    if flagged:
        return f"Flagged as possibly malignant or premalignant: {share}, above the threshold of {threshold}."
    return (
        f"Not flagged at this setting: {share} malignant or premalignant, below the threshold of {threshold}."
    )


def set_sentence(reading: Reading, sensitivity: float = CAUTION) -> str:
    """The prediction set: "90 % prediction set: Melanoma, Melanocytic nevus."."""
    held = ", ".join(lesion.name for lesion in reading.held_at(sensitivity))
    return f"{percent(reading.classifier.configuration.set_coverage)} prediction set: {held}."


def missed_sentence(reading: Reading) -> str:
    """How often a prediction set is wrong."""
    missed = round(10 * (1 - reading.classifier.configuration.set_coverage))
    return (
        f"In about {missed} of 10 test lesions the right class was not in the set; at a clinic that the network was not "
        "trained on, it can be more."
    )


def cost_sentence(reading: Reading, sensitivity: float) -> str:
    """What that setting found of malignant or premalignant lesions that it was not fitted to, and its false alarms; empty
    where that was not measured."""
    cost = measured.cost(reading.classifier.folder, "malignant", sensitivity)
    if cost is None:
        return ""
    found, alarms = cost.sensitivity.value, cost.false_alarms_per_find.value
    if found is None or alarms is None:
        return ""
    return (
        f"In our tests this setting found {100 * found:.0f} of 100 malignant or premalignant lesions, with {alarms:.1f} false "
        f"alarms for each one found. {_one_in(cost.positive, cost.photos)} of these tests was malignant or premalignant."
    )


def _one_in(part: int, whole: int) -> str:
    """`One photo in five`."""
    number = round(whole / part)
    spelled = ("", "", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return f"One photo in {spelled[number] if 2 <= number <= 10 else number}"
