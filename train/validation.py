"""The network's raw outputs for validation photos: `validation.csv` in the model folder, which all figures come from.

python -m train.validation --data DIR [DIR ...] [--model DIR]      # writes it again: a few minutes; then run train.report
"""

import argparse
import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from skinapp.lesions import CODES
from skinapp.network.classifier import Classifier
from skinapp.network.folders import default_model
from skinapp.photo.preprocess import open_photo, to_pixels
from train.commands import in_one_sentence
from train.dataset import Dataset, DatasetError, Record, add_sources, load_photos, read_sources, split_lesions

FILE = "validation.csv"


@dataclass(frozen=True)
class Photo:
    """One validation photo. `area`: the lesion's share of the square that the network sees, by its mask; empty without one.
    The other texts are the publisher's, or empty."""

    image_id: str
    lesion_id: str
    dx: str
    part: str
    dx_type: str
    age: str
    sex: str
    localization: str
    area: str
    source: str = ""


@dataclass(frozen=True)
class Validation:
    """photos: N of them; logits: float (N, 7), averaged over the model's views."""

    photos: tuple[Photo, ...]
    logits: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """int (N,), indices into CODES."""
        return np.array([CODES.index(photo.dx) for photo in self.photos])

    @property
    def lesion_ids(self) -> list[str]:
        """N of them."""
        return [photo.lesion_id for photo in self.photos]

    @property
    def parts(self) -> np.ndarray:
        """`tune` or `report`, N of them."""
        return np.array([photo.part for photo in self.photos])

    @property
    def sources(self) -> np.ndarray:
        """The source of each photo, N of them."""
        return np.array([photo.source for photo in self.photos])

    def part(self, part: str) -> "Validation":
        """Only the photos of one part."""
        return self.rows(np.flatnonzero(self.parts == part))

    def source(self, source: str) -> "Validation":
        """Only the photos of one source."""
        return self.rows(np.flatnonzero(self.sources == source))

    def rows(self, rows: np.ndarray) -> "Validation":
        """Only some photos. rows: int (M,) of indices."""
        return Validation(tuple(self.photos[i] for i in rows), self.logits[rows])


def mask_file(record: Record) -> Path | None:
    """The lesion's outline, where the data set has one: `masks/ID.png` beside the folder of images."""
    path = record.path.parent.parent / "masks" / f"{record.image_id}.png"
    return path if path.is_file() else None


def write_validation(folder: Path, seen: Mapping[str, Dataset]) -> None:
    """Run the model in `folder` on the validation photos and write what it says of them there.

    seen: pictures at the network's size, by part (`tune`, `report`).
    """
    classifier = Classifier(folder)
    with (folder / FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*(f.name for f in fields(Photo)), *CODES])
        for part, dataset in seen.items():
            for record, row in zip(dataset.records, classifier.logits(dataset.pictures), strict=True):
                known = [record.image_id, record.lesion_id, record.dx, part]
                told = [
                    record.dx_type,
                    record.age,
                    record.sex,
                    record.localization,
                    _area(record),
                    record.source,
                ]
                writer.writerow([*known, *told, *(f"{x:.4f}" for x in row)])


def read_validation(folder: Path) -> Validation:
    """The validation photos of a model folder. Raises OSError where there are none."""
    with (folder / FILE).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return Validation(
        tuple(Photo(**{f.name: row[f.name] for f in fields(Photo)}) for row in rows),
        np.array([[float(row[code]) for code in CODES] for row in rows]),
    )


def _area(record: Record) -> str:
    mask = mask_file(record)
    return "" if mask is None else f"{(to_pixels(open_photo(mask), 94, 'box') > 127).mean():.3f}"


@in_one_sentence
def main(arguments: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(description="Run a model on the validation photos anew.")
    add_sources(parser)
    parser.add_argument("--model", type=Path, help="a model folder (default: SKINAPP_MODEL or model/fast)")
    options = parser.parse_args(arguments)
    folder = options.model or default_model()
    configuration = Classifier(folder).configuration
    size, resampling = configuration.input_size, configuration.resampling
    records = read_sources(options.data, options.scc, options.smallest)
    split = split_lesions(records)
    held = [record for record in records if split[record.lesion_id] != "train"]
    if not held:
        raise DatasetError("There are too few lesions: none of them is left for tune or report.")
    dataset = load_photos(held, lambda photo: to_pixels(photo, size, resampling))
    write_validation(folder, {part: dataset.part(split, part) for part in ("tune", "report")})


if __name__ == "__main__":
    sys.exit(main())
