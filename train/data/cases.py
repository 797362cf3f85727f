"""Chooses the photos that travel with the program: `python -m train.data.cases --data data/ham10000`, two seconds.

They are drawn at random from the lesions that are not in `train`, one photo per lesion, those proved by histology first, and
nobody looks at what the network says of them. Photos larger than 256 pixels are reduced to their centre square.
"""

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from skinapp.lesions import CODES
from skinapp.network.folders import MODELS
from skinapp.photo.cases import FOLDER, LIST, Case
from skinapp.photo.preprocess import centre_square
from train.commands import in_one_sentence
from train.data.decoys import draw_decoy
from train.dataset import DatasetError, Record, read_records

EACH = 10  # of a class
SIDE = 256  # pixels
SEED = 17
SOURCE = "HAM10000, doi:10.7910/DVN/DBW86T"
LICENCE = "CC BY-NC 4.0"
ATTRIBUTION = "ViDIR Group, Department of Dermatology, Medical University of Vienna"


def choose(records: Sequence[Record], train: set[str], seed: int = SEED) -> list[Record]:
    """EACH photos of every class, in the order of CODES. records: of the data set; train: ids of the photos that the network
    has learned from. Raises DatasetError where a class has none left."""
    generator = np.random.default_rng(seed)
    chosen: list[Record] = []
    for code in CODES:
        own = [r for r in records if r.dx == code and r.image_id not in train]
        if not own:
            raise DatasetError(f"There is no {code} outside train to choose.")
        drawn = [own[i] for i in generator.permutation(len(own))]
        drawn.sort(key=lambda record: record.dx_type != "histo")
        one_each = {record.lesion_id: record for record in reversed(drawn)}  # the first of a lesion stays
        chosen += [record for record in drawn if one_each[record.lesion_id] is record][:EACH]
    return chosen


def write_cases(chosen: Sequence[Record], folder: Path) -> None:
    """Write the photos and their list into an empty or new folder, and a drawn scene beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.jpg"):
        old.unlink()
    listed = [
        Case(r.image_id, r.dx, r.dx_type, r.age, r.sex, r.localization, SOURCE, LICENCE, ATTRIBUTION)
        for r in chosen
    ]
    for record in chosen:
        square = centre_square(record.photo())
        target = folder / f"{record.image_id}.jpg"
        if square.width <= SIDE:
            target.write_bytes(record.path.read_bytes())
        else:
            square.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(target, quality=85)
    scene = Case("scene", "", "", "", "", "", "drawn by skinapp", "CC0 1.0", "the skinapp developers")
    draw_decoy("everyday scenes, drawn", SEED, SIDE).save(folder / "scene.jpg", quality=85)
    text = json.dumps([asdict(case) for case in (*listed, scene)], indent=1, ensure_ascii=False)
    (folder / LIST).write_text(text + "\n", encoding="utf-8")


@in_one_sentence
def main(arguments: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(description="Choose the photos that travel with the program.")
    parser.add_argument("--data", type=Path, required=True, help="HAM10000's folder")
    parser.add_argument("--to", type=Path, default=FOLDER, help=f"where to (default: {FOLDER})")
    options = parser.parse_args(arguments)
    with (MODELS / "split.csv").open(newline="", encoding="utf-8") as file:
        train = {row["image_id"] for row in csv.DictReader(file) if row["part"] == "train"}
    chosen = choose(read_records(options.data), train)
    write_cases(chosen, options.to)
    print(f"{options.to} holds {len(chosen)} photos and a drawn scene.")


if __name__ == "__main__":
    sys.exit(main())
