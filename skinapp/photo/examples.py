"""Photos to try the page with, where the user has fetched some: `python -m train.download --examples`."""

import json
from dataclasses import dataclass
from pathlib import Path

from skinapp.lesions import BY_CODE, CODES

FOLDER = Path(__file__).resolve().parents[2] / "examples"  # git ignores it: no patient's photo is tracked
LIST = "examples.json"  # in the folder, written once all photos are there


@dataclass(frozen=True)
class Example:
    """A photo of class `code` in `file`, CODE.jpg in the folder; `isic_id`, `licence` and `attribution` as the ISIC archive
    gives them."""

    code: str
    file: str
    isic_id: str
    licence: str
    attribution: str

    @property
    def caption(self) -> str:
        """What must stand beside the photo: class, source, author, licence."""
        return f"{BY_CODE[self.code].name}: {self.isic_id} of the ISIC archive, {self.attribution}, {self.licence}"


def fetched(folder: Path = FOLDER) -> list[tuple[Path, str]]:
    """The photos in `folder` and their captions, in the order of CODES; none where none were fetched."""
    try:
        listed = json.loads((folder / LIST).read_text(encoding="utf-8"))
        examples = [Example(**entry) for entry in listed]
    except (OSError, ValueError, TypeError):
        return []
    return [
        (folder / example.file, example.caption)
        for code in CODES
        for example in examples
        if example.code == code and example.file == f"{code}.jpg" and (folder / example.file).is_file()
    ]
