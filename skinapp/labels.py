"""Tables that say what photos show, as their publishers and offices write them, and how well the network agrees with them.

One reader for the page, the command line, the archive and training: `read_table`. What it takes for a diagnosis is in `diagnosis_of`.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from skinapp.lesions import BY_CODE, CLASSES, CODES
from skinapp.output.rows import Row
from skinapp.photo.files import PhotoError
from skinapp.photo.sources import Source

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".dcm", ".dicom")

# Columns, as `column_name` writes them; of several, the first one here is taken.
NAMES = ("image_id", "isic_id", "image", "filename", "file_name", "image_name", "file", "name", "path")
DIAGNOSES = ("dx", "diagnosis", "label")
ISIC_DIAGNOSES = tuple(f"diagnosis_{level}" for level in (5, 4, 3, 2, 1))  # the most exact one first
ONE_HOT = {
    "mel": "mel", "nv": "nv", "bcc": "bcc", "akiec": "akiec", "ak": "akiec", "bkl": "bkl", "df": "df", "vasc": "vasc",
    "scc": "scc", "unk": "unk",
}  # fmt: skip
TITLES = 20  # lines that may stand before the header
SHOWN = 5  # columns, or diagnoses that were left out, that a sentence names
MOST_UNPACKED = 200 * 2**20  # bytes of a workbook
SCC = "scc"  # squamous cell carcinoma: a diagnosis that several publishers have, and none of the seven classes holds exactly


class LabelsError(ValueError):
    """A label file that cannot be used; its text is one sentence for the user."""


@dataclass(frozen=True)
class LabelTable:
    """A table as it was read. rows: of each photo the cells by column (names in small letters with underscores), and
    `image_id` (without folder-independent ending), `lesion_id` and `dx`, which is one of CODES, SCC, what could not be mapped as it
    stands, or empty; notes: sentences about how it was read."""

    rows: tuple[dict[str, str], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Labels:
    """The dx of photos by name (`_key`), and sentences about what was left out."""

    dx: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def of(self, name: str) -> str | None:
        """The dx of a photo, by as much of the end of its path as the table has; where only upper and lower case differ, too,
        if that leaves no doubt."""
        key = self.key_of(name)
        return None if key is None else self.dx[key]

    def key_of(self, name: str) -> str | None:
        """Under which name the table has a photo."""
        ends = list(_ends(_key(name)))
        if exact := next((end for end in ends if end in self.dx), None):
            return exact
        folded = (self._folded.get(end.casefold(), ()) for end in ends)
        return next((keys[0] for keys in folded if len(keys) == 1), None)

    @cached_property
    def _folded(self) -> dict[str, list[str]]:
        folded = defaultdict(list)
        for key in self.dx:
            folded[key.casefold()].append(key)
        return folded


@dataclass(frozen=True)
class Agreement:
    """Figures of a batch whose dx is known. n: photos with a dx; unlabelled: photos that were read but have none; unused:
    labels that belong to no photo that was read; notes: sentences about labels that were left out. The rest as in
    `skinapp.figures.evaluation`, plain for JSON."""

    n: int
    unlabelled: int
    unused: int
    accuracy: float
    balanced_accuracy: float
    per_class: dict[str, dict[str, Any]]
    confusion_matrix: list[list[int]]
    notes: tuple[str, ...] = ()


def read_table(source: bytes | Path) -> LabelTable:
    """A table of photos and diagnoses. source: its bytes or path; separated by commas, semicolons or tabs, or an Excel workbook.

    Taken are UTF-8, UTF-16 and Windows-1252; a title or a line `sep=;` before the header; the columns of HAM10000, of the ISIC
    archive and of the ISIC challenges, where each class is a column. Raises LabelsError, which names the columns that are there.
    """
    data = source if isinstance(source, bytes) else _bytes(source)
    notes: list[str] = []
    lines = _workbook(data) if data.startswith(b"PK\x03\x04") else _text_lines(data, notes)
    header, column, number = _header(lines)
    rows = []
    for cells in lines[number + 1 :]:
        row = {name: cell.strip() for name, cell in zip(header, cells, strict=False) if name}
        name = row.get(column, "")
        if not name:
            continue
        row["image_id"] = _key(name)
        row["dx"] = _dx(row)
        row["lesion_id"] = row.get("lesion_id", "")
        rows.append(row)
    return LabelTable(tuple(rows), tuple(notes))


def read_labels(source: bytes | Path) -> Labels:
    """The dx of photos that a table gives. Raises LabelsError, also where it gives two for one photo or none at all."""
    table = read_table(source)
    labels: dict[str, str] = {}
    unknown: Counter[str] = Counter()
    for row in table.rows:
        name, dx = row["image_id"], row["dx"]
        if not dx:
            continue
        if dx not in BY_CODE:
            unknown[dx] += 1
        elif labels.setdefault(name, dx) != dx:
            raise LabelsError(f"The table gives two dx for one photo ({name[:40]}): keep one.")
    notes = table.notes
    if unknown:
        most = [f"“{dx[:40]}” ({count})" for dx, count in unknown.most_common(SHOWN)]
        more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        left = f"belong to none of the seven classes: {', '.join(most)}{more}."
        if not labels:
            raise LabelsError(f"The diagnoses {left[:-1]}; the codes are {', '.join(CODES)}.")
        notes += (f"{unknown.total()} rows are left out, because their diagnoses {left}",)
    if not labels:
        raise LabelsError("The table holds no dx.")
    return Labels(labels, notes)


def labels_among(tables: Sequence[Source]) -> Labels | None:
    """The dx that come along with photos, None where no table does. Licences and other tables may lie beside the labels.

    Raises LabelsError where two tables hold labels, or where none does and one was meant to.
    """
    found, faults = [], []
    for table in tables:
        try:
            found.append(read_labels(table.content()))
        except (LabelsError, PhotoError) as error:
            if not table.name.lower().endswith(".txt"):  # licences, attributions and notes
                faults.append(error)
    if len(found) > 1:
        raise LabelsError("There is more than one table with labels: bring one, with the dx of all photos.")
    if not found and faults:
        raise LabelsError(str(faults[0]))
    return found[0] if found else None


def diagnosis_of(words: str) -> str:
    """One of CODES or SCC for a code or a diagnosis spelled out, in any case; "" for what none of them stands for.

    What is doubted or denied ("melanoma?", "no melanoma", "nevus vs. melanoma") is none.
    """
    letters = unicodedata.normalize("NFKD", words).casefold()
    letters = "".join(letter for letter in letters if not unicodedata.combining(letter))
    plain = " ".join(re.sub(r"[^\w?]+", " ", letters).split())
    if plain in _EXACT:
        return _EXACT[plain]
    if "?" in plain or _DOUBT & set(plain.split()):
        return ""
    return next((code for code, form in _FORMS if form.search(plain)), "")


_DOUBT = {
    "no",
    "non",
    "not",
    "without",
    "vs",
    "versus",
    "or",
    "suspected",
    "suspicion",
    "possible",
    "exclude",
    "excluded",
    "dd",
}
_EXACT = {
    **{code: code for code in (*CODES, SCC)},
    **{re.sub(r"\W+", " ", lesion.name.casefold()).strip(): lesion.code for lesion in CLASSES},
    "ak": "akiec", "aktinische keratose": "akiec", "solar or actinic keratosis": "akiec", "bowen": "akiec", "nev": "nv",
    "actinic keratosis or bowen s disease": "akiec", "mm": "mel", "sk": "bkl", "seb k": "bkl", "lplk": "bkl", "mole": "nv",
    "moles": "nv", "solar lentigo or seborrheic keratosis": "bkl", "ang": "vasc", "vascular": "vasc", "melanocytic": "nv",
}  # fmt: skip
# In this order: what is named first is meant where a diagnosis names two things.
_FORMS = [
    (code, re.compile(rf"\b({form})\b"))
    for code, form in (
        ("", ("(sebaceous|sebaceus|epidermal|flammeus|araneus|becker s?|anemicus|comedonicus|depigmentosus) n(a?)ev(us|i)|"
         "n(a?)ev(us|i) (sebaceus|sebaceous|flammeus|araneus|anemicus|comedonicus|depigmentosus|spilus maculosus)")),
        ("mel", "melanomas?|melanoma in situ|lentigo maligna"),
        ("bcc", "basal cell carcinomas?|basalioma|basaliom|basalzellkarzinom"),
        ("akiec", ("(actinic|solar) (keratosis|keratoses)|bowen s? ?disease|bowens disease|morbus bowen|"
         "squamous cell carcinoma in situ|in situ squamous cell carcinoma|intraepithelial carcinomas?")),
        ("scc", "squamous cell carcinomas?|plattenepithelkarzinom"),
        ("bkl", ("seborrh?o?eic (keratosis|keratoses)|seborrhoische keratose|(solar|senile) lentig(o|ines)|lichen planus like (keratosis|keratoses)|"
         "(pigmented )?benign (lichenoid )?(keratosis|keratoses)( like lesions?)?|lichenoid (keratosis|keratoses)")),
        ("df", "dermatofibromas?|dermatofibrom|fibrous histiocytomas?"),
        ("vasc", ("vascular lesions?|(h(a?)em)?angiomas?|angiokeratomas?|(h(a?)em)angiom|pyogenic granulomas?|"
         "(subcorneal|subungual|intracorneal) h(a?)em(orrhage|atoma)")),
        ("nv", "n(a?)ev(us|i)|navus|navi|n(a?)evuszelln(a?)evus|navuszellnavus"),
    )
]  # fmt: skip


def agreement(rows: Sequence[Row], labels: Labels) -> Agreement:
    """How well the rows agree with the labels. Raises LabelsError where no photo that was read has one."""
    from skinapp.figures.evaluation import (  # scikit-learn takes a second to import
        confusion_counts,
        headline,
        per_class,
    )

    known = [(row, labels.key_of(row.name)) for row in rows if not row.error]
    pairs = [(row, key) for row, key in known if key is not None]
    if not pairs:
        raise LabelsError(
            "The table names none of the photos that were read: its names must be those of the files."
        )
    truth = np.array([CODES.index(labels.dx[key]) for _, key in pairs])
    shares = np.array([row.probabilities for row, _ in pairs])
    figures = headline(truth, shares)
    return Agreement(
        n=len(pairs),
        unlabelled=len(known) - len(pairs),
        unused=len(labels.dx.keys() - {key for _, key in pairs}),
        accuracy=float(figures["accuracy"] or 0.0),
        balanced_accuracy=float(figures["balanced_accuracy"] or 0.0),
        per_class={
            code: {
                "precision": one.precision,
                "recall": one.recall,
                "f1": one.f1,
                "auc": one.auc,
                "photos": one.support,
            }
            for code, one in per_class(truth, shares).items()
        },
        confusion_matrix=confusion_counts(truth, shares),
        notes=labels.notes,
    )


def comparable(name: str) -> str:
    """A name in NFC, without letters that nobody sees: two that people take for the same are then the same."""
    return unicodedata.normalize("NFC", re.sub("[\u200b-\u200d\u2060\ufeff]", "", name))


def read_text(data: bytes) -> tuple[str, bool]:
    """Text in UTF-8 or UTF-16, else in Windows-1252, and whether it was the last one."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace"), False
    if len(data) > 3 and 0 in (data[0], data[1]) and data[0] != data[1]:  # UTF-16 without its mark
        return data.decode("utf-16-be" if data[0] == 0 else "utf-16-le", "replace"), False
    try:
        return data.decode("utf-8-sig"), False
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace"), True


def parse_lines(text: str) -> list[list[str]]:
    """The cells of each line, separated by what a line `sep=` names, or what most lines have. Raises LabelsError."""
    told = re.match(r'"?sep=(.)"?\s*?(\r\n|\r|\n)', text, re.IGNORECASE)
    if told:
        text = text[told.end() :]
    begin = text.splitlines()[:TITLES]
    counts = {mark: [line.count(mark) for line in begin] for mark in ",;\t"}
    separator = (
        told[1] if told else max(counts, key=lambda mark: (sum(map(bool, counts[mark])), sum(counts[mark])))
    )
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error:
        raise LabelsError("The table cannot be read: save it again from the program it comes from.") from None


def column_name(text: str) -> str:
    """` Image ID` -> `image_id`."""
    return re.sub(r"[\s\-.]+", "_", comparable(text).strip().strip("\"'").lower())


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LabelsError(f"{path} cannot be opened ({error.strerror}): check its name and rights.") from None


def _text_lines(data: bytes, notes: list[str]) -> list[list[str]]:
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise LabelsError("This is an Excel workbook of the old kind: save it as “CSV UTF-8” or .xlsx.")
    text, windows = read_text(data)
    if windows:
        notes.append("The table is not in UTF-8 and was read as Windows-1252: check letters with accents.")
    return parse_lines(text)


def _workbook(data: bytes) -> list[list[str]]:
    """The cells of a workbook's first sheet as text."""
    try:
        import openpyxl
    except ImportError:
        raise LabelsError(
            "This is an Excel workbook: save it as “CSV UTF-8”, or install openpyxl where skinapp runs."
        ) from None
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            if sum(member.file_size for member in packed.infolist()) > MOST_UNPACKED:
                raise LabelsError("This Excel workbook is too large: save the labels as “CSV UTF-8”.")
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        sheet = book.worksheets[0].iter_rows(values_only=True)
        return [["" if cell is None else str(cell) for cell in row] for row in sheet]
    except LabelsError:
        raise
    except Exception:  # noqa: BLE001  # openpyxl raises nearly every kind of error on damaged workbooks
        raise LabelsError("This Excel workbook cannot be read: save the labels as “CSV UTF-8”.") from None


def _header(lines: Sequence[Sequence[str]]) -> tuple[list[str], str, int]:
    """The columns, the one that names photos, and the header's place. Raises LabelsError."""
    best: tuple[int, list[str]] = (0, [])
    for number, cells in enumerate(lines[:TITLES]):
        header = [column_name(cell) for cell in cells]
        column = next((name for name in NAMES if name in header), None)
        labelled = bool({*DIAGNOSES, *ISIC_DIAGNOSES} & set(header)) or len(ONE_HOT.keys() & set(header)) > 2
        if column and labelled:
            return header, column, number
        known = bool(column) + labelled
        if len(cells) > 1 and (known, len(cells)) > (*best[:1], len(best[1])):
            best = known, [cell.strip() for cell in cells]
    found = ", ".join(cell[:20] for cell in best[1][:SHOWN]) + (" and more" if len(best[1]) > SHOWN else "")
    has = f"; its columns are {found}" if found else ""
    raise LabelsError(
        f"The table needs a column dx and one that names the photo ({' or '.join(NAMES[:3])}){has}: name its columns so."
    )


def _dx(row: Mapping[str, str]) -> str:
    """The diagnosis of a row as one of CODES or SCC, or as it stands where it is none of them."""
    for column in DIAGNOSES:
        if row.get(column):
            return diagnosis_of(row[column]) or row[column]
    told = [row[column] for column in ISIC_DIAGNOSES if row.get(column)]
    if told:
        return next((code for code in map(diagnosis_of, told) if code), told[0])
    true = {code for column, code in ONE_HOT.items() if _number(row.get(column, "")) > 0.5}
    return true.pop() if len(true) == 1 else " and ".join(sorted(true))


def _number(cell: str) -> float:
    try:
        return float(cell.replace(",", "."))
    except ValueError:
        return 0.0


def _key(name: str) -> str:
    """`a\\ISIC_01.JPG` -> `a/ISIC_01`. Both slashes part names: the table may come from another system."""
    path = PureWindowsPath(comparable(name).strip())
    return (path.with_suffix("") if path.suffix.lower() in ENDINGS else path).as_posix() if path.name else ""


def _ends(key: str) -> Iterator[str]:
    """`a/b/c` -> `a/b/c`, `b/c`, `c`."""
    parts = key.split("/")
    return ("/".join(parts[start:]) for start in range(len(parts)))
