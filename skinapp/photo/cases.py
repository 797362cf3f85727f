"""The photos that travel with the program, to try it with: ten of each class, and a picture of an everyday object.

`train/data/cases.py` chose them from HAM10000's lesions outside `train`, so the network has not learned from them.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from skinapp.lesions import BY_CODE, CODES

FOLDER = Path(__file__).resolve().parent.parent / "cases"
LIST = "cases.json"  # in the folder


KNOWN_BY = {
    "histo": "histology",
    "follow_up": "follow-up",
    "confocal": "confocal microscopy",
    "consensus": "expert consensus",
}


@dataclass(frozen=True)
class Case:
    """One picture of at most 256 pixels a side. id: of the ISIC archive; dx: one of CODES, empty for the everyday object;
    dx_type, age, sex and site: as the publisher gives them, or empty; licence and attribution: of this very picture."""

    id: str
    dx: str
    dx_type: str
    age: str
    sex: str
    site: str
    source: str
    licence: str
    attribution: str

    @property
    def path(self) -> Path:
        """The JPEG file."""
        return FOLDER / f"{self.id}.jpg"

    @property
    def name(self) -> str:
        """The name of its class, empty for the everyday object."""
        return BY_CODE[self.dx].name if self.dx else ""

    @property
    def known_by(self) -> str:
        """How the class is known, in words."""
        return KNOWN_BY.get(self.dx_type, self.dx_type)

    @property
    def origin(self) -> str:
        """What has to be said where the picture is shown: id, source, author, licence."""
        return f"{self.id}, {self.source}. {self.attribution}. Licence: {self.licence}."


@cache
def cases() -> tuple[Case, ...]:
    """All of them, by class and then as they were drawn; the everyday object last."""
    listed = json.loads((FOLDER / LIST).read_text(encoding="utf-8"))
    return tuple(Case(**entry) for entry in listed)


def first_of_each() -> tuple[Case, ...]:
    """The examples of the first screen: one of each class in the order of CODES, then the everyday object."""
    return tuple(next(case for case in cases() if case.dx == code) for code in (*CODES, ""))
