"""Tables of what was measured, beside the weights: a CSV whose lines are frozen dataclasses."""

import csv
from collections.abc import Iterable
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

Row = TypeVar("Row")


def write_rows(path: Path, rows: Iterable[Any], kind: type) -> None:
    """One line a row, floats with four digits; what is None stays empty. kind: the rows' dataclass."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(kind)])
        for row in rows:
            writer.writerow([f"{x:.4f}" if isinstance(x, float) else x for x in astuple(row)])


def read_rows(path: Path, kind: type[Row], command: str) -> tuple[Row, ...]:
    """The rows of a table that `write_rows` wrote, in its order; nothing where there is none.

    Raises ValueError where the file is another table, naming the `command` that writes it.
    """
    if not path.exists():
        return ()
    types = get_type_hints(kind)
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != list(types):
            raise ValueError(f"{path} has other columns: write it anew by {command}.")
        return tuple(kind(**{name: _read(cell, types[name]) for name, cell in row.items()}) for row in reader)


def _read(cell: str, of: Any) -> Any:
    if of in (str, int, float):
        return of(cell)
    return float(cell) if cell else None  # float | None
