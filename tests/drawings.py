"""Drawn lesions as files, and data sets of them in the layouts that `train.dataset` reads."""

import csv
import io
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from PIL import Image

from skinapp.lesions import CODES
from skinapp.photo.drawings import draw_lesion

PLACES = ("back", "face", "trunk", "lower extremity")


@cache
def jpeg(code: str = "nv", seed: int = 0) -> bytes:
    """A small drawing of a class as a JPEG file."""
    buffer = io.BytesIO()
    draw_lesion(code, seed, (130, 110)).save(buffer, "JPEG")
    return buffer.getvalue()


def write_photos(folder: Path, names: Sequence[str]) -> Path:
    """A folder of drawings; names that say "broken" are none."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no photo" if "broken" in name else jpeg(CODES[number % 7], number % 14))
    return folder


def write_dataset(
    folder: Path,
    lesions_per_class: int | Mapping[str, int] = 4,
    layout: str = "flat",
    size: tuple[int, int] = (150, 112),
) -> list[dict[str, str]]:
    """Write a drawn data set in a layout that `train.dataset` reads. Returns the label file's rows.

    Every other lesion of a class has two images, the second mirrored.
    layout: "flat" and "publisher" are HAM10000's own columns, "own" a researcher's PNGs with metadata.csv.
    """
    numbers = (
        lesions_per_class
        if isinstance(lesions_per_class, Mapping)
        else dict.fromkeys(CODES, lesions_per_class)
    )
    folder.mkdir(parents=True, exist_ok=True)
    parts = (
        [folder / f"HAM10000_images_part_{i}" for i in (1, 2)]
        if layout == "publisher"
        else [folder / "images"]
    )
    for part in parts:
        part.mkdir()
    rows: list[dict[str, str]] = []
    for code, number in numbers.items():
        for lesion in range(number):
            drawing = draw_lesion(code, lesion, size)
            for view in range(2 - lesion % 2):
                row = {
                    "lesion_id": f"HAM_{CODES.index(code):02d}{lesion:05d}",
                    "image_id": f"ISIC_{len(rows):07d}",
                    "dx": code,
                    "dx_type": "histo",
                    "age": f"{30 + lesion % 50}.0",
                    "sex": ("female", "male")[lesion % 2],
                    "localization": PLACES[lesion % len(PLACES)],
                }
                shown = drawing.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if view else drawing
                suffix = ".png" if layout == "own" else ".jpg"
                shown.save(parts[len(rows) % len(parts)] / (row["image_id"] + suffix), quality=92)
                rows.append(row)
    if layout == "own":
        rows = [{key: row[key] for key in ("image_id", "dx", "lesion_id")} for row in rows]
    write_labels(folder / ("metadata.csv" if layout == "own" else "HAM10000_metadata.csv"), rows)
    return rows


def write_labels(path: Path, rows: list[dict[str, str]]) -> None:
    """Write a label file; the first row's keys are its columns."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def read_split(path: Path) -> dict[str, str]:
    """lesion_id -> part, of a file that `train.dataset` has written; no lesion may be in two parts."""
    with path.open(newline="") as file:
        pairs = {(row["lesion_id"], row["part"]) for row in csv.DictReader(file)}
    split = dict(pairs)
    assert len(split) == len(pairs), f"{path} has a lesion in two parts"
    return split
