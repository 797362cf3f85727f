"""How good a model is on labelled photos: `skinapp evaluate` and `python -m train.evaluate`."""

import argparse
import csv
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from skinapp import NOTICE
from skinapp.labels import Labels, LabelsError, read_table
from skinapp.lesions import CODES
from skinapp.network.configuration import ModelError
from skinapp.network.folders import default_model, model_folder
from skinapp.photo.local_data import image_folders
from skinapp.photo.sources import Source, gather

SHOWN = 10  # of the photos that have one fault; a sentence names no more


@dataclass(frozen=True)
class Labelled:
    """A photo whose dx is known. dx: one of CODES; lesion_id: the photo's own name where the table has none."""

    image_id: str
    lesion_id: str
    dx: str
    source: Source


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure a model. Returns 0, or 1 with what is wrong on stderr."""
    parser = argparse.ArgumentParser(
        prog="skinapp evaluate",
        description=f"Measure a model on labelled photos: figures with 95 % intervals. {NOTICE}",
        epilog="example: skinapp evaluate --images photos/ --labels labels.csv --json figures.json",
    )
    parser.add_argument("--images", type=Path, required=True, help="a folder or ZIP archive of photos")
    parser.add_argument(
        "--labels",
        type=Path,
        required=True,
        help="a CSV with image_id, dx and, where a lesion has several photos, lesion_id",
    )
    parser.add_argument("--part", help="only the rows whose column `part` says so")
    parser.add_argument(
        "--model",
        help="a name such as fast, a model folder, or hf://USER/NAME (default: SKINAPP_MODEL, else fast)",
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--predictions", type=Path, help="write each photo's probabilities to this CSV")
    options = parser.parse_args(arguments)
    try:
        _run(options)
    except (LabelsError, ModelError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def labelled_photos(images: Path, labels: Path, part: str | None = None) -> list[Labelled]:
    """The photos that a table names, in its order; other photos are left alone.

    images: a folder or a ZIP archive; part: take only the rows that have it in the column `part`. Raises LabelsError, which
    counts the rows of each fault: without dx, with another dx than CODES, without a photo, twice.
    """
    if not images.exists():
        raise LabelsError(f"{images} does not exist: name the folder that holds the photos.")
    rows = [row for row in read_table(labels).rows if part is None or row.get("part") == part]
    if not rows:
        raise LabelsError(f"{labels} labels no photo: there is nothing to read.")
    faults: dict[str, list[str]] = defaultdict(list)
    seen: set[str] = set()
    sources = _matched(images, Labels({row["image_id"]: row["dx"] for row in rows}), faults)
    found = []
    for row in rows:
        name, dx = row["image_id"], row["dx"]
        if name in seen:
            faults["photos that are labelled twice"].append(name)
        elif not dx:
            faults["photos without a dx"].append(name)
        elif dx not in CODES:
            faults[f"photos with another dx (known are {', '.join(CODES)})"].append(f"{name} ({dx})")
        elif name not in sources:
            faults["labels without a photo"].append(name)
        else:
            found.append(Labelled(name, row["lesion_id"] or name, dx, sources[name]))
        seen.add(name)
    _refuse(f"{labels} and its photos", faults)
    if not any(row["lesion_id"] for row in rows):
        print(
            f"warning: {labels} has no lesion_id; every photo is taken for a lesion of its own. Several photos of one lesion "
            "make the intervals too narrow.",
            file=sys.stderr,
        )
    return found


def read_all(photos: Sequence[Labelled], model: Path) -> np.ndarray:
    """The probabilities that the app shows. Returns float64 (N, 7). Raises LabelsError, which names the photos that cannot be read."""
    from skinapp.batch import read_many
    from skinapp.network.classifier import load

    probabilities = np.empty((len(photos), len(CODES)))
    faults: dict[str, list[str]] = defaultdict(list)
    readings = read_many((photo.source for photo in photos), load(model))
    for index, reading in enumerate(tqdm(readings, total=len(photos), desc="reading photos", disable=None)):
        if isinstance(reading, str):
            faults[f"photos cannot be read ({reading})"].append(photos[index].image_id)
        else:
            probabilities[index] = reading.prediction.probabilities
    _refuse("The photos", faults)
    return probabilities


def write_predictions(path: Path, photos: Sequence[Labelled], probabilities: np.ndarray) -> None:
    """One row per photo: image_id, lesion_id, dx, predicted, and the probability of each class. probabilities: float (N, 7)."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image_id", "lesion_id", "dx", "predicted", *CODES])
        for photo, row in zip(photos, probabilities, strict=True):
            predicted = CODES[int(row.argmax())]
            writer.writerow(
                [photo.image_id, photo.lesion_id, photo.dx, predicted, *(f"{share:.6f}" for share in row)]
            )


def _run(options: argparse.Namespace) -> None:
    from skinapp.figures.evaluation import evaluate, table
    from skinapp.network.classifier import load

    folder = model_folder(options.model) if options.model else default_model()
    for path in filter(None, (options.json, options.predictions)):
        if not path.parent.is_dir():
            raise LabelsError(f"{path.parent} is no folder: name a file in a folder that exists.")
    photos = labelled_photos(options.images, options.labels, options.part)
    classifier = load(folder)
    probabilities = read_all(photos, folder)
    truth = np.array([CODES.index(photo.dx) for photo in photos])
    evaluation = evaluate(truth, probabilities, [photo.lesion_id for photo in photos])
    print(f"model {classifier.title}, sha256 {classifier.sha256}")
    print(table(evaluation))
    if options.json:
        figures = asdict(evaluation) | {"model": {"name": classifier.name, "sha256": classifier.sha256}}
        options.json.write_text(json.dumps(figures, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    if options.predictions:
        write_predictions(options.predictions, photos, probabilities)


def _matched(images: Path, labels: Labels, faults: dict[str, list[str]]) -> dict[str, Source]:
    """The photos by the name that the table has for them. images: also a data set's folder, as `image_folders` has it."""
    sources: dict[str, Source] = {}
    for source in gather(image_folders(images) or [images]):
        name = labels.key_of(source.name)
        if name is None:
            continue
        if name in sources:
            faults["photos that are there twice"].append(name)
        sources[name] = source
    return sources


def _refuse(what: str, faults: Mapping[str, Sequence[str]]) -> None:
    """Raises LabelsError where there are faults: a line for each kind."""
    if faults:
        raise LabelsError(f"{what} cannot be used as they are:\n" + "\n".join(_lines(faults)))


def _lines(faults: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for fault, names in faults.items():
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        yield f"  {len(names)} {fault}: {', '.join(names[:SHOWN])}{more}"
