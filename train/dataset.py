"""Reads labelled photos and splits them by lesion.

Four layouts are taken: the publisher's (`HAM10000_images_part_1`, `_part_2`, 600x450), one flat `images/` folder with
`HAM10000_metadata.csv`, a researcher's own `images/` with a `metadata.csv` of `image_id`, `dx`, optional `lesion_id`, and one
folder of photos for each class, called after it. What a label file may look like is in `skinapp.labels`.
Several such folders are several sources, each named after its folder. Nothing is dropped in silence: whatever is wrong with a
data set comes as one DatasetError, each kind of fault with its count.

    python -m train.dataset --data DIR [DIR ...] --to model/split.csv     # two minutes: decodes every photo, writes the split
"""

import argparse
import csv
import hashlib
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from skinapp.labels import LabelsError, comparable, diagnosis_of, read_table
from skinapp.lesions import CODES
from skinapp.network.folders import MODELS
from skinapp.photo.files import SMALLEST_SIDE
from skinapp.photo.local_data import SUFFIXES, image_folders
from skinapp.photo.preprocess import LIMITS, PhotoError, open_photo
from train.commands import in_one_sentence

PARTS = ("train", "tune", "report")
# The year of HAM10000 and its first version; changing it makes all published figures incomparable.
SPLIT_SEED = 20181
VALIDATION_SHARE = 1 / 6  # of the lesions of each class, halved into tune and report
FIRST_SOURCE = "ham10000"  # split alone, by the generator that drew its published parts
SCC = (
    "akiec",
    "leave-out",
)  # what is done with squamous cell carcinoma, which none of the seven classes holds exactly
DUPLICATES = (
    MODELS / "duplicates.csv"
)  # near-identical photos under different ids, written by train.duplicates
SHOWN_IDS = 10  # of one kind of fault in an error; the rest goes to a file
METADATA_NAMES = (
    "HAM10000_metadata.csv",
    "HAM10000_metadata.tab",
    "HAM10000_metadata",
    "metadata.csv",
    "metadata.tab",
    "metadata.xlsx",
)

Prepare = Callable[[Image.Image], np.ndarray]  # upright RGB Pillow image -> uint8 (S, S, 3)
Faults = dict[str, list[str]]  # what is wrong: with which images or lesions


class DatasetError(ValueError):
    """A data set that cannot be used as it is; the text names every fault found."""


@dataclass(frozen=True)
class Record:
    """One labelled photo. `dx` is one of CODES; the next four are as the publisher gives them, or empty.

    source: the name of the folder that it comes from; smallest: pixels on the shorter side with which it is still read.
    """

    image_id: str
    lesion_id: str
    dx: str
    path: Path
    dx_type: str = ""
    age: str = ""
    sex: str = ""
    localization: str = ""
    source: str = ""
    smallest: int = SMALLEST_SIDE

    @property
    def side(self) -> int:
        """Pixels on the shorter side of the file; 0 where it cannot be read."""
        try:
            with Image.open(self.path) as image:
                return min(image.size)
        except (OSError, ValueError):
            return 0

    def photo(self) -> Image.Image:
        """The photo, upright, RGB. Raises DatasetError, which names it, where it cannot be read."""
        try:
            return self.opened()
        except PhotoError as error:
            raise DatasetError(f"{self.image_id} cannot be read. {error}") from None

    def opened(self) -> Image.Image:
        """The photo, upright, RGB. Raises PhotoError where it cannot be read."""
        return open_photo(self.path, limits=replace(LIMITS, smallest=self.smallest))


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


def read_sources(
    folders: Sequence[Path],
    scc: str = "leave-out",
    smallest: int = SMALLEST_SIDE,
    duplicates: Path = DUPLICATES,
) -> tuple[Record, ...]:
    """Read one or more data set folders as sources, and open none of their photos.

    A photo that lies in two folders counts once, the larger file; near-identical photos that `duplicates` lists are one lesion,
    and contradictory ones are left out. scc: one of SCC. A single folder without duplicates gives what `read_records` gives, with
    its source. Raises DatasetError, also where two folders have the same name or label a photo differently.
    """
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        raise DatasetError(
            f"Two folders have the same name ({', '.join(names)}): rename one, since a source is named after it."
        )
    by_id: dict[str, Record] = {}
    faults: Faults = defaultdict(list)
    for folder, name in zip(folders, names, strict=True):
        places, labels = _places(folder)
        found, own = _labelled(places, labels, all_labelled=True, scc=scc)
        for fault, ids in own.items():
            faults[fault].extend(ids)
        for record in found:
            record = replace(record, source=name, smallest=smallest)
            twin = by_id.get(record.image_id)
            if twin and twin.dx != record.dx:
                faults["photos that two folders label differently"].append(record.image_id)
            elif twin:
                # The lesion's id is that of the folder which knows several photos of it, so the first one's.
                larger = record if record.side > twin.side else twin
                by_id[record.image_id] = replace(larger, lesion_id=twin.lesion_id)
            else:
                by_id[record.image_id] = record
    _raise(" and ".join(str(folder) for folder in folders), faults)
    return tuple(_without_duplicates(by_id, duplicates))


def _without_duplicates(by_id: dict[str, Record], duplicates: Path) -> list[Record]:
    """The records, those joined that show one picture, without those whose labels contradict each other."""
    joined: dict[str, str] = {}

    def root(lesion: str) -> str:
        while lesion in joined:
            lesion = joined[lesion]
        return lesion

    dropped = set()
    if duplicates.exists():
        with duplicates.open(newline="", encoding="utf-8") as file:
            pairs = [
                row for row in csv.DictReader(file) if row["image_id"] in by_id and row["same_as"] in by_id
            ]
        for row in pairs:
            # A lesion of FIRST_SOURCE keeps its name, and with it its part of the split; two of them stay two.
            one, other = sorted(
                (by_id[row["image_id"]], by_id[row["same_as"]]),
                key=lambda record: record.source == FIRST_SOURCE,
            )
            if one.dx != other.dx:
                dropped |= {one.image_id, other.image_id}
            elif one.source == FIRST_SOURCE:
                continue
            elif root(one.lesion_id) != root(other.lesion_id):
                joined[root(one.lesion_id)] = root(other.lesion_id)
    kept = [replace(r, lesion_id=root(r.lesion_id)) for r in by_id.values() if r.image_id not in dropped]
    # Sources may name a lesion differently from its other class: then neither label is believed.
    classes: dict[str, set[str]] = defaultdict(set)
    for record in kept:
        classes[record.lesion_id].add(record.dx)
    return [record for record in kept if len(classes[record.lesion_id]) == 1]


def load_photos(records: Sequence[Record], prepare: Prepare) -> Dataset:
    """Read the photos of at least one record, and apply `prepare` to each. Raises DatasetError."""
    return _load(f"Images in {records[0].path.parent}", tuple(records), {}, prepare)


def load_dataset(folder: Path, prepare: Prepare) -> Dataset:
    """`read_records` and `load_photos` at once, with all faults in one error. Raises DatasetError."""
    folders, labels = _places(folder)
    records, faults = _labelled(folders, labels, all_labelled=True)
    return _load(f"{labels} and its images", records, faults, prepare)


def load_labelled(
    images: Path, labels: Path, prepare: Prepare, part: str | None = None, smallest: int = SMALLEST_SIDE
) -> Dataset:
    """Read the photos that the CSV `labels` names; others are left alone.

    images: the folder of photos, or a data set's folder in one of the three layouts.
    part: take only the rows that have it in the column `part`; smallest: pixels on a photo's shorter side, at least.
    Raises DatasetError.
    """
    if not images.is_dir():
        raise DatasetError(f"{images} is no folder: name the folder that holds the photos.")
    if not labels.is_file():
        raise DatasetError(f"{labels} is no file: name a CSV with the columns image_id and dx.")
    folders = image_folders(images) or [images]
    records, faults = _labelled(folders, labels, all_labelled=False, part=part)
    records = tuple(replace(record, smallest=smallest) for record in records)
    return _load(f"{labels} and its images", records, faults, prepare)


def split_lesions(records: Iterable[Record], seed: int = SPLIT_SEED) -> dict[str, str]:
    """Assign whole lesions to train, tune and report, class by class, across sources. Returns lesion_id -> part.

    The lesions of FIRST_SOURCE (without it, of the first source) are drawn alone, by a generator for each class, so that its parts
    stay those of all published figures. Those of the other sources follow in the order of a hash: a source more or less leaves
    most of the others' lesions where they are.
    """
    records = list(records)
    sources = dict.fromkeys(record.source for record in records)
    first = FIRST_SOURCE if FIRST_SOURCE in sources else next(iter(sources), "")
    drawn: dict[str, set[str]] = defaultdict(set)
    hashed: dict[str, set[str]] = defaultdict(set)
    for record in records:
        if record.source == first:
            drawn[record.dx].add(record.lesion_id)
    for record in records:
        if record.lesion_id not in drawn[record.dx]:
            hashed[record.dx].add(record.lesion_id)
    split: dict[str, str] = {}
    for dx in CODES:
        lesions = sorted(drawn[dx])
        np.random.default_rng([seed, CODES.index(dx)]).shuffle(lesions)
        _assign(split, lesions)
        _assign(
            split, sorted(hashed[dx], key=lambda lesion: hashlib.sha256(f"{seed} {lesion}".encode()).digest())
        )
    return split


def _assign(split: dict[str, str], lesions: list[str]) -> None:
    """Put the first of a class's lesions into tune and report by turns, the others into train."""
    if lesions:
        # In a small class at least one lesion for each half, but never the last one that could be learned from.
        held = max(round(len(lesions) * VALIDATION_SHARE), min(2, len(lesions) - 1))
        for position, lesion in enumerate(lesions):
            split[lesion] = "train" if position >= held else PARTS[1 + position % 2]


def write_split(path: Path, records: Sequence[Record], split: dict[str, str]) -> None:
    """Write the split, one row an image, sorted by image_id."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image_id", "lesion_id", "dx", "source", "part"])
        for record in sorted(records, key=lambda record: record.image_id):
            writer.writerow(
                [record.image_id, record.lesion_id, record.dx, record.source, split[record.lesion_id]]
            )


def _places(folder: Path) -> tuple[list[Path], Path]:
    """The folders of photos and the label file of a data set. Raises DatasetError where one is missing."""
    labels = next((folder / name for name in METADATA_NAMES if (folder / name).is_file()), None)
    if labels is None:
        classes = _class_folders(folder) if folder.is_dir() else []
        if classes:
            return classes, folder
        raise DatasetError(
            f"{folder} has none of {', '.join(METADATA_NAMES)}, nor folders called after classes: give --data the folder that does."
        )
    folders = image_folders(folder)
    if not folders:
        raise DatasetError(
            f"{folder} has neither HAM10000_images_part_1 and _2 nor images: no photos to read."
        )
    return folders, labels


def _labelled(
    folders: list[Path], labels: Path, all_labelled: bool, part: str | None = None, scc: str = ""
) -> tuple[tuple[Record, ...], Faults]:
    """The rows of a label file that have their image, and what is wrong with the others."""
    faults: Faults = defaultdict(list)
    files: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() not in SUFFIXES:
                continue
            image_id = comparable(path.stem)
            if image_id in files:
                faults["images that are there twice"].append(image_id)
            files[image_id] = path

    rows = [row for row in _read_rows(labels) if part is None or row.get("part") == part]
    if scc == "leave-out":
        for row in rows:
            if row["dx"].lower() == "scc":
                files.pop(row["image_id"], None)
        rows = [row for row in rows if row["dx"].lower() != "scc"]
    for image_id, times in Counter(row["image_id"] for row in rows).items():
        if times > 1:
            faults["image ids that are labelled twice"].append(image_id)
    records = []
    lesion_dx: dict[str, str] = {}
    for row in rows:
        image_id, dx = row["image_id"], row["dx"].lower()
        if dx == "scc" and scc == "akiec":
            dx = "akiec"
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
            dx_type, age, sex, site = (row.get(key, "") for key in ("dx_type", "age", "sex", "localization"))
            records.append(Record(image_id, lesion_id, dx, files[image_id], dx_type, age, sex, site))
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
            return prepare(record.opened())
        except PhotoError as error:
            return error

    pictures = np.empty(0, np.uint8)
    unreadable: Faults = defaultdict(list)
    with ThreadPoolExecutor(2) as pool:
        results = tqdm(pool.map(prepared, records), total=len(records), desc="reading photos", disable=None)
        for index, result in enumerate(results):
            if isinstance(result, PhotoError):
                kind = (
                    re.sub(r"\d+ x \d+", "too few", str(result))
                    if " pixels; " in str(result)
                    else str(result)
                )
                unreadable[f"unreadable images ({kind})"].append(records[index].image_id)
                continue
            if not pictures.size:
                pictures = np.empty((len(records), *result.shape), np.uint8)
            pictures[index] = result
    _raise(what, faults | unreadable)
    return Dataset(records, pictures)


def _read_rows(labels: Path) -> list[dict[str, str]]:
    """The rows of a label file, or of a folder whose folders are called after classes. Raises DatasetError."""
    if labels.is_dir():
        return [
            {"image_id": comparable(path.stem), "dx": diagnosis_of(folder.name)}
            for folder in _class_folders(labels)
            for path in sorted(folder.iterdir())
            if path.suffix.lower() in SUFFIXES
        ]
    try:
        table = read_table(labels)
    except LabelsError as error:
        raise DatasetError(f"{labels} cannot be used. {error}") from None
    for note in table.notes:
        print(f"warning: {labels}: {note}", file=sys.stderr)
    return [row | {"image_id": row["image_id"].rpartition("/")[2]} for row in table.rows]


def _class_folders(folder: Path) -> list[Path]:
    """The folders in it that are called after a class, by code or name: `mel`, `Basal cell carcinoma`."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and diagnosis_of(path.name))


def _raise(what: str, faults: Faults) -> None:
    lines, all_lines = [], []
    for fault, found in faults.items():
        names = list(dict.fromkeys(found))  # a lesion of three images is still one
        if names:
            left = len(names) - SHOWN_IDS
            more = f" and {left} more" if left > 0 else ""
            lines.append(f"  {len(names)} {fault}: {', '.join(names[:SHOWN_IDS])}{more}")
            all_lines.append(f"{len(names)} {fault}: {', '.join(names)}")
    if any(line.endswith(" more") for line in lines):
        with tempfile.NamedTemporaryFile(
            "w", prefix="skinapp-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write("\n".join(all_lines) + "\n")
        lines.append(f"  All of them are listed in {file.name}.")
    if lines:
        raise DatasetError(f"{what} cannot be used as they are:\n" + "\n".join(lines))


def add_sources(parser: argparse.ArgumentParser) -> None:
    """The options of every command that reads data sets: --data, --scc, --smallest."""
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, help="a data set's folder, or several, one a source"
    )
    parser.add_argument(
        "--scc",
        choices=SCC,
        default="leave-out",
        help="what is done with squamous cell carcinoma (default leave-out)",
    )
    parser.add_argument(
        "--smallest",
        type=int,
        default=SMALLEST_SIDE,
        help="pixels on the shorter side of a photo, at least (default 94)",
    )


@in_one_sentence
def main(arguments: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(description="Check a data set and write its split by lesion.")
    add_sources(parser)
    parser.add_argument("--to", type=Path, required=True, help="the split file to write")
    options = parser.parse_args(arguments)
    records = read_sources(options.data, options.scc, options.smallest)
    dataset = load_photos(records, lambda image: np.zeros((1, 1, 3), np.uint8))
    split = split_lesions(dataset.records)
    write_split(options.to, dataset.records, split)
    for part in PARTS:
        counts = Counter(record.dx for record in dataset.records if split[record.lesion_id] == part)
        lesions = sum(assigned == part for assigned in split.values())
        print(f"{part}: {lesions} lesions, {sum(counts.values())} images,", dict(sorted(counts.items())))


if __name__ == "__main__":
    sys.exit(main())
