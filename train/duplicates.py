"""Finds near-identical photos under different ids, so that no picture stands on both sides of the split.

    python -m train.duplicates --data DIR DIR ... --smallest 64 --to model/duplicates.csv --sheet pairs.png   # three minutes

Candidates are neighbours by a small grey copy; a pair is one picture where the copies correlate by at least ALIKE. The sheet
shows all pairs side by side, to be checked by eye: black discs resemble each other. `train.dataset` joins the pairs of the
file into one lesion each and leaves out those whose labels differ.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from sklearn.neighbors import NearestNeighbors

from skinapp.photo.preprocess import to_pixels
from train.commands import in_one_sentence
from train.dataset import Record, add_sources, load_photos, read_sources

SIDE = 96  # pixels of the copies that are compared
ALIKE = 0.985  # correlation of two copies, reduced to a third, of one picture
# The same of the middle third, in colours: one picture in two crops or two exposures reaches .84, two lesions in a black disc .94,
# so where the corners are black it takes more (checked by eye on 139 candidates of the four sources).
MIDDLE_ALIKE, DISC_ALIKE = 0.84, 0.99
BLACK = 40  # grey level below which a corner is black


def find_pairs(pictures: np.ndarray) -> list[tuple[int, int, float]]:
    """Pairs of near-identical pictures, the more alike first. pictures: uint8 (N, SIDE, SIDE, 3) -> indices and correlation."""
    count, third = len(pictures), SIDE // 3
    small = pictures.reshape(count, third, 3, third, 3, 3).mean(axis=(2, 4), dtype=np.float32)
    whole = _standardised(small.mean(3).reshape(count, -1))
    inner = pictures[:, third:-third, third:-third].astype(np.float32)
    middle = _standardised((inner - inner.mean(axis=(1, 2), keepdims=True)).reshape(count, -1))
    corners = small[:, [0, 0, -1, -1], [0, -1, 0, -1]].mean(2)
    disc = (corners < BLACK).all(1)
    neighbours = NearestNeighbors(radius=float(np.sqrt(2 - 2 * ALIKE))).fit(whole)
    found = []
    for one, others in enumerate(neighbours.radius_neighbors(whole, return_distance=False)):
        for other in others:
            enough = DISC_ALIKE if disc[one] and disc[other] else MIDDLE_ALIKE
            if one < other and float(middle[one] @ middle[other]) >= enough:
                found.append((one, int(other), float(whole[one] @ whole[other])))
    return sorted(found, key=lambda pair: -pair[2])


def _standardised(rows: np.ndarray) -> np.ndarray:
    """Rows of mean 0 and length 1, so that a product of two is their correlation."""
    rows = rows - rows.mean(1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def draw_sheet(
    path: Path, pairs: Sequence[tuple[Record, Record, float]], side: int = 120, columns: int = 8
) -> None:
    """Draw all pairs into one picture, each with its correlation and labels."""
    rows = -(-len(pairs) // columns)
    sheet = Image.new("RGB", (columns * (2 * side + 8), max(1, rows) * (side + 14)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (one, other, alike) in enumerate(pairs):
        left, top = number % columns * (2 * side + 8), number // columns * (side + 14)
        for offset, record in ((0, one), (side, other)):
            sheet.paste(record.photo().resize((side, side)), (left + offset, top))
        draw.text(
            (left, top + side),
            f"{one.image_id[5:]} {other.image_id[5:]} {one.dx} {other.dx} {alike:.3f}",
            fill="black",
        )
    sheet.save(path)


@in_one_sentence
def main(arguments: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(description="Find near-identical photos under different lesion ids.")
    add_sources(parser)
    parser.add_argument("--to", type=Path, required=True, help="the file to write")
    parser.add_argument("--sheet", type=Path, help="a picture of all pairs, to be checked by eye")
    options = parser.parse_args(arguments)
    records = read_sources(options.data, options.scc, options.smallest, duplicates=Path("none"))
    dataset = load_photos(records, lambda image: to_pixels(image, SIDE, "box"))
    pairs = [
        (records[one], records[other], alike)
        for one, other, alike in find_pairs(dataset.pictures)
        if records[one].lesion_id != records[other].lesion_id
    ]
    with options.to.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image_id", "same_as", "dx", "dx_of_same", "correlation"])
        for one, other, alike in pairs:
            writer.writerow([one.image_id, other.image_id, one.dx, other.dx, f"{alike:.4f}"])
    if options.sheet:
        draw_sheet(options.sheet, pairs)
    contradictory = sum(one.dx != other.dx for one, other, _ in pairs)
    print(f"{len(pairs)} pairs under different lesion ids, {contradictory} of them with contradictory labels")


if __name__ == "__main__":
    sys.exit(main())
