"""Builds the index that similar cases are found by, and measures how similar they are.

    python -m train.similar --data DIR [--model DIR]

Writes similar.npz (`skinapp.network.case_index.Index`), its sha256 in skinapp.json, and similar.csv into the model folder. The index
holds the photos of *train* lesions alone. How embeddings are projected and compared is chosen on *tune* lesions by the
macro precision at 8: of the eight training photos nearest to a photo, how many have its dx. *report* lesions tell how good
that is. No lesion is on two sides of the split, so none finds itself.
"""

import argparse
import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import PCA

from skinapp.figures.evaluation import resampled
from skinapp.lesions import CODES
from skinapp.network.case_index import CASES, FILE, Index
from skinapp.network.classifier import Classifier
from skinapp.network.configuration import Configuration
from skinapp.network.folders import default_model
from skinapp.photo.preprocess import to_pixels
from train.commands import in_one_sentence
from train.dataset import Dataset, DatasetError, Record, load_dataset, split_lesions
from train.documents.measurements import read_rows, write_rows

FIGURES = "similar.csv"  # in the model folder
LARGEST = 3_000_000  # bytes of the index: it is shipped with the app
DIMENSIONS = (16, 32, 64, 128)  # that are tried; more would not fit into LARGEST
LEAST_VARIANCE = 1e-5  # of the first component's: whitening would blow up what varies less


@dataclass(frozen=True)
class Recipe:
    """How embeddings are made comparable: principal components, whitened or not, compared by angle (unit) or distance."""

    dimensions: int
    whiten: bool
    unit: bool

    def __str__(self) -> str:
        metric = "cosine" if self.unit else "Euclidean"
        return f"{self.dimensions} components, {'whitened' if self.whiten else 'not whitened'}, {metric}"


@dataclass(frozen=True)
class Embedded:
    """values: float32 (N, d), one row a record."""

    records: tuple[Record, ...]
    values: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """int64 (N,), indices into CODES."""
        return np.array([CODES.index(record.dx) for record in self.records], dtype=np.int64)

    @property
    def lesion_ids(self) -> list[str]:
        """N of them."""
        return [record.lesion_id for record in self.records]


@dataclass(frozen=True)
class Retrieval:
    """How many of the eight nearest training photos have the photo's dx, one line of similar.csv.

    what: a dx, `all` (mean over photos) or `macro` (mean over classes). low, high: 95 %, bootstrap over lesions.
    prior: what photos drawn by chance from the index would give.
    """

    part: str
    what: str
    photos: int
    lesions: int
    precision: float
    low: float
    high: float
    prior: float


def build_similar(folder: Path, train: Dataset, tune: Dataset, report: Dataset) -> dict[Recipe, float]:
    """Embed the photos of all parts by the model in `folder`; the rest as `write_similar`.

    train, tune, report: pictures at the network's size, as the app sees them. Raises also DatasetError for an empty part,
    ModelError for a network without embedding.
    """
    parts = {"train": train, "tune": tune, "report": report}
    if not all(part.records for part in parts.values()):
        raise DatasetError("Train, tune and report lesions are needed: three of one class at least.")
    classifier = Classifier(folder)
    embedded = {
        name: Embedded(part.records, classifier.embeddings(part.pictures)) for name, part in parts.items()
    }
    return write_similar(folder, embedded)


def write_similar(folder: Path, embedded: Mapping[str, Embedded]) -> dict[Recipe, float]:
    """Choose a recipe, write the index of the model in `folder` there, and measure it.

    embedded: by part (`train`, `tune`, `report`). Returns what each recipe reached on tune. Raises DatasetError where a
    lesion is in two parts, or the index would be too large to ship.
    """
    train, tune = embedded["train"], embedded["tune"]
    lesions = [set(part.lesion_ids) for part in embedded.values()]
    if len(set.union(*lesions)) < sum(map(len, lesions)):
        raise DatasetError(
            "A lesion is in two parts: its photos would find each other and flatter the figures."
        )
    configuration = Configuration.read(folder)
    weights = configuration.sha256["weights.npz"]
    tried = try_recipes(train, tune, weights)
    index = make_index(train, choose(tried), weights)
    index = replace(index, scale=float(np.median(index.nearest(tune.values, 1)[0])) or 1.0)
    index.write(folder)
    if (folder / FILE).stat().st_size > LARGEST:
        raise DatasetError(f"{folder / FILE} takes more than {LARGEST // 10**6} MB: too many train photos.")
    sha256 = configuration.sha256 | {FILE: hashlib.sha256((folder / FILE).read_bytes()).hexdigest()}
    replace(configuration, sha256=sha256).write(folder)
    rows = [row for part in ("tune", "report") for row in measure(index, part, embedded[part])]
    write_rows(folder / FIGURES, rows, Retrieval)
    return tried


def make_index(train: Embedded, recipe: Recipe, weights: str) -> Index:
    """The index of `train` by `recipe`, its scale 1. weights: sha256 of the file that the embeddings come from."""
    return _index(train, _components(train), recipe, weights)


def try_recipes(train: Embedded, tune: Embedded, weights: str) -> dict[Recipe, float]:
    """The macro precision on tune of every recipe that the number of photos and features allows."""
    components = _components(train)
    most = len(components.components_)
    dimensions = sorted({min(number, most) for number in DIMENSIONS})
    recipes = [Recipe(*options) for options in product(dimensions, (False, True), (False, True))]
    return {
        recipe: _macro(precisions(_index(train, components, recipe, weights), tune), tune.labels)
        for recipe in recipes
    }


def choose(tried: dict[Recipe, float]) -> Recipe:
    """The recipe of the highest macro precision; between equals that of fewer dimensions."""
    return min(tried, key=lambda recipe: (-round(tried[recipe], 4), recipe.dimensions))


def precisions(index: Index, queries: Embedded) -> np.ndarray:
    """Of the eight nearest photos of the index, the share with the query's dx. float64 (N,)."""
    _, numbers = index.nearest(queries.values)
    return (index.dx[numbers] == queries.labels[:, None]).mean(axis=1)


def measure(index: Index, part: str, queries: Embedded) -> Iterator[Retrieval]:
    """The rows of similar.csv for one part: all, macro, and each class that occurs in it."""
    shares, labels = precisions(index, queries), queries.labels
    prior = np.bincount(index.dx, minlength=len(CODES)) / len(index.dx)
    lesions = np.array(queries.lesion_ids)
    occurring = np.unique(labels)
    drawn = list(resampled(queries.lesion_ids))

    def row(what: str, of: np.ndarray, value: Any, by_chance: float) -> Retrieval:
        values = [value(rows) for rows in drawn]
        low, high = np.nanpercentile([v for v in values if v is not None], [2.5, 97.5]).tolist()
        everything = value(np.arange(len(labels)))
        return Retrieval(part, what, int(of.sum()), len(set(lesions[of])), everything, low, high, by_chance)

    whole = np.ones(len(labels), bool)
    yield row("all", whole, lambda rows: float(shares[rows].mean()), float(prior[labels].mean()))
    yield row("macro", whole, lambda rows: _macro(shares[rows], labels[rows]), float(prior[occurring].mean()))
    for index_of_class in occurring:

        def of_class(rows: np.ndarray, which: int = int(index_of_class)) -> float | None:
            own = shares[rows][labels[rows] == which]
            return float(own.mean()) if len(own) else None

        yield row(CODES[index_of_class], labels == index_of_class, of_class, float(prior[index_of_class]))


def read_similar(folder: Path) -> tuple[Retrieval, ...]:
    """A model folder's similar.csv; nothing where it was not measured. Raises ValueError where it is another table."""
    return read_rows(folder / FIGURES, Retrieval, "train.similar")


def _components(train: Embedded) -> PCA:
    """All principal components that may be of use, at most the largest of DIMENSIONS."""
    most = min(max(DIMENSIONS), *train.values.shape)
    components = PCA(most, svd_solver="full").fit(train.values)
    variance = components.explained_variance_
    kept = max(1, int(np.sum(variance > LEAST_VARIANCE * variance[0])))
    components.components_ = components.components_[:kept]
    components.explained_variance_ = variance[:kept]
    return components


def _index(train: Embedded, components: PCA, recipe: Recipe, weights: str) -> Index:
    projection = components.components_[: recipe.dimensions].T
    if recipe.whiten:
        projection = projection / np.sqrt(components.explained_variance_[: recipe.dimensions])
    empty = Index(
        mean=components.mean_.astype(np.float32),
        projection=projection.astype(np.float16),
        unit=recipe.unit,
        scale=1.0,
        rows=np.empty((0, projection.shape[1]), np.float16),
        image_ids=np.array([record.image_id for record in train.records]),
        dx=train.labels.astype(np.int8),
        dx_types=np.array([record.dx_type for record in train.records]),
        weights=weights,
    )
    return replace(empty, rows=empty.project(train.values).astype(np.float16))


def _macro(shares: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean([shares[labels == code].mean() for code in np.unique(labels)]))


@in_one_sentence
def main(arguments: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(
        description="Build the index that similar cases are found by, and measure it."
    )
    parser.add_argument("--data", type=Path, required=True, help="the data set's folder")
    parser.add_argument("--model", type=Path, help="a model folder (default: SKINAPP_MODEL or model/fast)")
    options = parser.parse_args(arguments)
    folder = options.model or default_model()
    configuration = Configuration.read(folder)
    size, resampling = configuration.input_size, configuration.resampling
    dataset = load_dataset(options.data, lambda image: to_pixels(image, size, resampling))
    split = split_lesions(dataset.records)
    tried = build_similar(folder, *(dataset.part(split, part) for part in ("train", "tune", "report")))
    print(f"macro precision at {CASES} on tune lesions:")
    for recipe, value in tried.items():
        print(f"  {recipe!s:44}{value:6.3f}{'  chosen' if recipe == choose(tried) else ''}")
    for row in read_similar(folder):
        between = f"{row.precision:.3f} [{row.low:.3f}, {row.high:.3f}]"
        print(f"{row.part:8}{row.what:8}{row.photos:6} photos  {between}  by chance {row.prior:.3f}")


if __name__ == "__main__":
    sys.exit(main())
