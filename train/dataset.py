"""Reads labelled photos and splits them by lesion.

Three layouts are taken: the publisher's (`HAM10000_images_part_1`, `_part_2`, 600x450), one flat `images/` folder with
`HAM10000_metadata.csv`, and a researcher's own `images/` with a `metadata.csv` of `image_id`, `dx`, optional `lesion_id`.
Nothing is dropped in silence: whatever is wrong with a data set comes as one DatasetError that names it all.

    python -m train.dataset --data DIR --to model/split.csv     # a minute: decodes every photo, writes the split
"""

import argparse
import csv
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from skinapp.lesions import CODES
from skinapp.photo.local_data import SUFFIXES, image_folders
from skinapp.photo.preprocess import PhotoError, open_photo
from train.commands import in_one_sentence

PARTS = ("train", "tune", "report")
# The year of HAM10000 and its first version; changing it makes all published figures incomparable.
SPLIT_SEED = 20181
VALIDATION_SHARE = 1 / 6  # of the lesions of each class, halved into tune and report
METADATA_NAMES = ("HAM10000_metadata.csv", "HAM10000_metadata", "metadata.csv")

Prepare = Callable[[Image.Image], np.ndarray]  # upright RGB Pillow image -> uint8 (S, S, 3)
Faults = dict[str, list[str]]  # what is wrong: with which images or lesions


class DatasetError(ValueError):
    """A data set that cannot be used as it is; the text names every fault found."""


@dataclass(frozen=True)
class Record:
    """One labelled photo. `dx` is one of CODES; the last four are as the publisher gives them, or empty."""

    image_id: str
    lesion_id: str
    dx: str
    path: Path
    dx_type: str = ""
    age: str = ""
    sex: str = ""
    localization: str = ""

    def photo(self) -> Image.Image:
        """The photo, upright, RGB. Raises DatasetError, which names it, where it cannot be read."""
        try:
            return open_photo(self.path)
        except PhotoError as error:
            raise DatasetError(f"{self.image_id} cannot be read. {error}") from None


@dataclass(frozen=True)
class Dataset:
    """records: N of them, in the order of the label file; pictures: uint8 (N, S, S, 3) RGB, prepared alike."""

    records: tuple[Record, ...]
    pictures: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """int64 (N,), indices into CODES."""
        return np.array([CODES.index(record.dx) for record in self.records], dtype=np.int64)

    def part(self, split: dict[str, str], part: str) -> "Dataset":
        """The records whose lesion `split` (lesion_id -> part) puts into `part`."""
        chosen = [i for i, record in enumerate(self.records) if split[record.lesion_id] == part]
        return Dataset(tuple(self.records[i] for i in chosen), self.pictures[chosen])


def read_records(folder: Path) -> tuple[Record, ...]:
    """Read a data set folder in one of the three layouts, and open none of its photos.

    Every image must be labelled and every label have its image. Raises DatasetError.
    """
    folders, labels = _places(folder)
    records, faults = _labelled(folders, labels, all_labelled=True)
    _raise(f"{labels} and its images", faults)
    return records


def load_photos(records: Sequence[Record], prepare: Prepare) -> Dataset:
    """Read the photos of at least one record, and apply `prepare` to each. Raises DatasetError."""
    return _load(f"Images in {records[0].path.parent}", tuple(records), {}, prepare)


def load_dataset(folder: Path, prepare: Prepare) -> Dataset:
    """`read_records` and `load_photos` at once, with all faults in one error. Raises DatasetError."""
    folders, labels = _places(folder)
    records, faults = _labelled(folders, labels, all_labelled=True)
    return _load(f"{labels} and its images", records, faults, prepare)


def load_labelled(images: Path, labels: Path, prepare: Prepare, part: str | None = None) -> Dataset:
    """Read the photos that the CSV `labels` names; others are left alone.

    images: the folder of photos, or a data set's folder in one of the three layouts.
    part: take only the rows that have it in the column `part`. Raises DatasetError.
    """
    if not images.is_dir():
        raise DatasetError(f"{images} is no folder: name the folder that holds the photos.")
    if not labels.is_file():
        raise DatasetError(f"{labels} is no file: name a CSV with the columns image_id and dx.")
    folders = image_folders(images) or [images]
    records, faults = _labelled(folders, labels, all_labelled=False, part=part)
    return _load(f"{labels} and its images", records, faults, prepare)


def split_lesions(records: Iterable[Record], seed: int = SPLIT_SEED) -> dict[str, str]:
    """Assign whole lesions to train, tune and report, class by class. Returns lesion_id -> part."""
    by_class: dict[str, set[str]] = defaultdict(set)
    for record in records:
        by_class[record.dx].add(record.lesion_id)
    split = {}
    for (
        dx
    ) in CODES:  # a generator per class: adding lesions of one class leaves the other classes' split alone
        lesions = sorted(by_class[dx])
        np.random.default_rng([seed, CODES.index(dx)]).shuffle(lesions)
        # In a small class at least one lesion for each half, but never the last one that could be learned from.
        held = max(round(len(lesions) * VALIDATION_SHARE), min(2, len(lesions) - 1))
        for position, lesion in enumerate(lesions):
            split[lesion] = "train" if position >= held else PARTS[1 + position % 2]
    return split


def write_split(path: Path, records: Sequence[Record], split: dict[str, str]) -> None:
    """Write the split, one row an image, sorted by image_id."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image_id", "lesion_id", "dx", "part"])
        for record in sorted(records, key=lambda record: record.image_id):
            writer.writerow([record.image_id, record.lesion_id, record.dx, split[record.lesion_id]])


def _places(folder: Path) -> tuple[list[Path], Path]:
    """The folders of photos and the label file of a data set. Raises DatasetError where one is missing."""
    labels = next((folder / name for name in METADATA_NAMES if (folder / name).is_file()), None)
    if labels is None:
        raise DatasetError(
            f"{folder} has none of {', '.join(METADATA_NAMES)}: give --data the folder that holds one."
        )
    folders = image_folders(folder)
    if not folders:
        raise DatasetError(
            f"{folder} has neither HAM10000_images_part_1 and _2 nor images: no photos to read."
        )
    return folders, labels


def _labelled(
    folders: list[Path], labels: Path, all_labelled: bool, part: str | None = None
) -> tuple[tuple[Record, ...], Faults]:
    """The rows of a label file that have their image, and what is wrong with the others."""
    faults: Faults = defaultdict(list)
    files: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() not in SUFFIXES:
                continue
            if path.stem in files:
                faults["images that are there twice"].append(path.stem)
            files[path.stem] = path

    rows = [row for row in _read_rows(labels) if part is None or row.get("part") == part]
    for image_id, times in Counter(row["image_id"] for row in rows).items():
        if times > 1:
            faults["image ids that are labelled twice"].append(image_id)
    records = []
    lesion_dx: dict[str, str] = {}
    for row in rows:
        image_id, dx = row["image_id"], row["dx"].lower()
        if not dx:
            faults["images without a dx"].append(image_id)
        elif dx not in CODES:
            faults[f"unknown dx (known are {', '.join(CODES)})"].append(f"{image_id} ({dx})")
        elif image_id not in files:
            faults["labels without an image"].append(image_id)
        else:
            lesion_id = row.get("lesion_id") or image_id
            if lesion_dx.setdefault(lesion_id, dx) != dx:
                faults["lesions with two different dx"].append(lesion_id)
            details = {key: row.get(key, "") for key in ("dx_type", "age", "sex", "localization")}
            records.append(Record(image_id, lesion_id, dx, files[image_id], **details))
    if all_labelled:
        faults["images without a label"].extend(sorted(set(files) - {row["image_id"] for row in rows}))
    if rows and not any(row.get("lesion_id") for row in rows):
        print(
            f"warning: {labels} has no lesion_id; every image is taken for a lesion of its own. Several images of one "
            "lesion would then leak between training and validation and flatter every figure.",
            file=sys.stderr,
        )
    if not records and not any(faults.values()):
        raise DatasetError(f"{labels} labels no image: there is nothing to read.")
    return tuple(records), faults


def _load(what: str, records: tuple[Record, ...], faults: Faults, prepare: Prepare) -> Dataset:
    """Read the photos, and raise for those that cannot be read together with the faults that are known already."""

    def prepared(record: Record) -> np.ndarray | PhotoError:
        try:
            return prepare(open_photo(record.path))
        except PhotoError as error:
            return error

    pictures = np.empty(0, np.uint8)
    unreadable: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        results = tqdm(pool.map(prepared, records), total=len(records), desc="reading photos", disable=None)
        for index, result in enumerate(results):
            if isinstance(result, PhotoError):
                unreadable.append(f"{records[index].image_id} ({result})")
                continue
            if not pictures.size:
                pictures = np.empty((len(records), *result.shape), np.uint8)
            pictures[index] = result
    _raise(what, faults | {"unreadable images": unreadable})
    return Dataset(records, pictures)


def _read_rows(labels: Path) -> list[dict[str, str]]:
    try:
        with labels.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = {"image_id", "dx"} - set(reader.fieldnames or ())
            if missing:
                raise DatasetError(f"{labels} lacks the column {' and '.join(sorted(missing))}.")
            rows = [{key: (value or "").strip() for key, value in row.items() if key} for row in reader]
    except (UnicodeDecodeError, csv.Error):
        raise DatasetError(f"{labels} is no CSV text in UTF-8.") from None
    for row in rows:  # some tables name files, not ids
        name = Path(row["image_id"])
        if name.suffix.lower() in SUFFIXES:
            row["image_id"] = name.stem
    return rows


def _raise(what: str, faults: Faults) -> None:
    lines = []
    for fault, found in faults.items():
        names = list(dict.fromkeys(found))  # a lesion of three images is still one
        if names:
            lines.append(f"  {len(names)} {fault}: {', '.join(names)}")
    if lines:
        raise DatasetError(f"{what} cannot be used as they are:\n" + "\n".join(lines))


@in_one_sentence
def main(arguments: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(description="Check a data set and write its split by lesion.")
    parser.add_argument("--data", type=Path, required=True, help="the data set's folder")
    parser.add_argument("--to", type=Path, required=True, help="the split file to write")
    options = parser.parse_args(arguments)
    dataset = load_dataset(options.data, lambda image: np.zeros((1, 1, 3), np.uint8))
    split = split_lesions(dataset.records)
    write_split(options.to, dataset.records, split)
    for part in PARTS:
        counts = Counter(record.dx for record in dataset.records if split[record.lesion_id] == part)
        lesions = sum(assigned == part for assigned in split.values())
        print(f"{part}: {lesions} lesions, {sum(counts.values())} images,", dict(sorted(counts.items())))


if __name__ == "__main__":
    sys.exit(main())
