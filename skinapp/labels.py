"""The dx that the owner of many photos brings along, and how well the network agrees with it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PureWindowsPath
from typing import Any

import numpy as np

from skinapp.lesions import BY_CODE, CODES
from skinapp.output.rows import Row

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".dcm")
NAMES = ("image_id", "image", "file", "filename", "file_name", "name")  # columns that may name the photo


class LabelsError(ValueError):
    """A label file that cannot be used; its text is one sentence for the user."""


@dataclass(frozen=True)
class Agreement:
    """Figures of a batch whose dx is known. n: photos with a dx; unlabelled: photos that were read but have none; unused:
    labels that belong to no photo that was read. The rest as in `skinapp.figures.evaluation`, plain for JSON."""

    n: int
    unlabelled: int
    unused: int
    accuracy: float
    balanced_accuracy: float
    per_class: dict[str, dict[str, Any]]
    confusion_matrix: list[list[int]]


def read_labels(data: bytes) -> dict[str, str]:
    """A CSV with a column `dx` and one that names the photo -> dx by name, in small letters and without the file's ending.

    data: UTF-8, separated by commas, semicolons or tabs. Raises LabelsError, also for a dx that is none of CODES.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise LabelsError("The CSV is not in UTF-8: save it as “CSV UTF-8”.") from None
    first = text.partition("\n")[0]
    try:
        rows = csv.DictReader(io.StringIO(text), delimiter=max(",;\t", key=first.count), strict=True)
        columns = {(name or "").strip().lower(): name for name in rows.fieldnames or ()}
        column = next((columns[name] for name in NAMES if name in columns), None)
        if column is None or "dx" not in columns:
            raise LabelsError(
                f"The CSV needs a column dx and one that names the photo ({' or '.join(NAMES[:3])}): name its columns so."
            )
        labels: dict[str, str] = {}
        for row in rows:
            name, dx = _key(row[column] or ""), (row[columns["dx"]] or "").strip().lower()
            if not name or not dx:
                continue
            if dx not in BY_CODE:
                raise LabelsError(
                    f"The CSV says dx {dx[:20]!r} in line {rows.line_num}: the codes are {', '.join(CODES)}."
                )
            if labels.setdefault(name, dx) != dx:
                raise LabelsError(f"The CSV gives two dx for one photo (line {rows.line_num}): keep one.")
    except csv.Error:
        raise LabelsError("The CSV cannot be read: save it anew from the program it comes from.") from None
    if not labels:
        raise LabelsError("The CSV holds no dx.")
    return labels


def label_of(labels: Mapping[str, str], name: str) -> str | None:
    """The dx of a photo, by as much of the end of its path as the CSV has."""
    return next((labels[key] for key in _keys(name) if key in labels), None)


def agreement(rows: Sequence[Row], labels: Mapping[str, str]) -> Agreement:
    """How well the rows agree with the labels. Raises LabelsError where no photo that was read has one."""
    from skinapp.figures.evaluation import (  # scikit-learn takes a second to import
        confusion_counts,
        headline,
        per_class,
    )

    known = [(row, label_of(labels, row.name)) for row in rows if not row.error]
    pairs = [(row, dx) for row, dx in known if dx]
    if not pairs:
        raise LabelsError(
            "The CSV names none of the photos that were read: its names must be those of the files."
        )
    truth = np.array([CODES.index(dx) for _, dx in pairs])
    shares = np.array([row.probabilities for row, _ in pairs])
    figures = headline(truth, shares)
    used = {key for row, _ in pairs for key in _keys(row.name)}
    return Agreement(
        n=len(pairs),
        unlabelled=len(known) - len(pairs),
        unused=len(labels.keys() - used),
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
    )


def _key(name: str) -> str:
    """`a\\ISIC_01.JPG` -> `a/isic_01`. Both slashes part names: the CSV may come from another system."""
    path = PureWindowsPath(name.strip().lower())
    return (path.with_suffix("") if path.suffix in ENDINGS else path).as_posix() if path.name else ""


def _keys(name: str) -> list[str]:
    """`a/b/c.jpg` -> `a/b/c`, `b/c`, `c`."""
    parts = _key(name).split("/")
    return ["/".join(parts[i:]) for i in range(len(parts))]
