"""The answers for many photos as rows: for a table, CSV and JSON. Without TensorFlow, so that the page may hold them."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from skinapp import NOTICE
from skinapp.decision import CAUTION
from skinapp.lesions import BY_CODE, CODES, LesionClass
from skinapp.words import headline

if TYPE_CHECKING:  # importing them for real loads TensorFlow and SciPy
    from skinapp.network.classifier import Classifier
    from skinapp.photo.checks import Check
    from skinapp.reading import Reading

COLUMNS = (
    "image",
    "label",
    *(f"p_{code}" for code in CODES),
    "malignant",
    "flagged",
    "set",
    "failed_checks",
    "headline",
    "error",
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a cell that begins so is run, not shown, by spreadsheets


@dataclass(frozen=True, slots=True)
class Row:
    """What is kept of one photo. name: of its file; error: why it could not be read, else empty, and then all others are
    filled in: probabilities in the order of CODES, malignant the summed one of malignant and premalignant classes, held the
    codes of the prediction set (most probable first), failed the photo checks that it did not pass, flagged whether malignant
    reaches threshold, the one of the operating point CAUTION (None where the model has none), headline as in `words`."""

    name: str
    error: str = ""
    probabilities: tuple[float, ...] = ()
    malignant: float = 0.0
    held: tuple[str, ...] = ()
    failed: tuple[Check, ...] = ()
    flagged: bool = False
    threshold: float | None = None
    headline: str = ""

    @classmethod
    def of(cls, name: str, result: Reading | str) -> Row:
        """From what `batch.read_many` yields for the source of this name."""
        if isinstance(result, str):
            return cls(name, result)
        found = result.flag("malignant", CAUTION)
        return cls(
            name,
            "",
            result.prediction.probabilities,
            result.probability("malignant"),
            tuple(lesion.code for lesion in result.held),
            tuple(check for check in result.checks if not check.passed),
            result.flagged(CAUTION),
            found[0].threshold if found else None,
            headline(result),
        )

    @property
    def strange(self) -> bool:
        """Whether the photo does not look like a dermatoscopic one."""
        return any(check.name == "dermatoscopic" for check in self.failed)

    @property
    def top(self) -> LesionClass:
        """The most probable class, of a row without error."""
        return BY_CODE[CODES[self.probabilities.index(max(self.probabilities))]]

    def as_json(self) -> dict[str, Any]:
        """{file, error} or {file, headline, label, name, probabilities: {code: float}, malignant, flagged, set: [code],
        failed_checks: [name]}."""
        if self.error:
            return {"file": self.name, "error": self.error}
        return {
            "file": self.name,
            "headline": self.headline,
            "label": self.top.code,
            "name": self.top.name,
            "probabilities": dict(zip(CODES, self.probabilities, strict=True)),
            "malignant": self.malignant,
            "flagged": self.flagged,
            "set": list(self.held),
            "failed_checks": [check.name for check in self.failed],
        }


def document(rows: Iterable[Row], classifier: Classifier) -> dict[str, Any]:
    """Rows and what holds for all of them: {model: {name, sha256}, set_coverage, notice, rows}."""
    return {
        "model": {"name": classifier.name, "sha256": classifier.sha256},
        "set_coverage": classifier.configuration.set_coverage,
        "notice": NOTICE,
        "rows": [row.as_json() for row in rows],
    }


class CsvTable:
    """Writes rows as CSV, one after the other, beneath COLUMNS. file: opened with newline=""."""

    def __init__(self, file: TextIO):
        self._writer = csv.writer(file, lineterminator="\n")
        self._writer.writerow(COLUMNS)

    def write(self, row: Row) -> None:
        """Probabilities have six places; sets and checks are separated by blanks; a name that a spreadsheet would take for
        a formula gets an apostrophe in front."""
        name = f"'{row.name}" if row.name.startswith(FORMULA) else row.name
        if row.error:
            blank = [""] * (len(COLUMNS) - 2)
            self._writer.writerow([name, *blank, row.error])
            return
        shares = [f"{share:.6f}" for share in (*row.probabilities, row.malignant)]
        checks = " ".join(check.name for check in row.failed)
        flagged = "" if row.threshold is None else "yes" if row.flagged else "no"
        self._writer.writerow(
            [name, row.top.code, *shares, flagged, " ".join(row.held), checks, row.headline, ""]
        )
