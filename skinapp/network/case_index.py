"""Similar cases: the training photos that lie nearest to a photo in the network's feature space.

The space is that of `Prediction.embedding`, projected (`Index`). What resembles to the network need not resemble to a
person: how often the nearest cases are of the photo's own class stands in the model folder's similar.csv. Index and
figures are made by `train/similar.py`.
"""

import re
import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from skinapp.lesions import CODES
from skinapp.network.configuration import ModelError
from skinapp.photo.local_data import find_photo
from skinapp.photo.preprocess import PhotoError, centre_square, open_photo

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

    from skinapp.reading import Reading

FILE = "similar.npz"  # in the model folder
CASES = 8
THUMBNAIL_SIDE = 160  # pixels
ISIC_ID = re.compile(r"ISIC_\d{7}", re.ASCII)
ISIC_PAGE = "https://api.isic-archive.com/images/{}/"


@dataclass(frozen=True)
class Case:
    """A training photo. `dx`: one of CODES; `dx_type`: the publisher's word for how that is known, or empty.

    `distance`: in the projected feature space; 1 is how far the middle one of the tune photos is from its nearest case,
    0 is the same photo. `link`: its page in the ISIC archive, empty where the id is none of the archive's.
    """

    image_id: str
    dx: str
    dx_type: str
    distance: float
    link: str


@dataclass(frozen=True)
class Index:
    """N training photos in a projected feature space.

    mean: float32 (d,); projection: float16 (d, p); unit: whether projected embeddings are set to length 1, so that only
    their direction counts; scale: what distances are divided by; rows: float16 (N, p); image_ids: str (N,); dx: int8 (N,),
    indices into CODES; dx_types: str (N,); weights: sha256 of the weights file whose embeddings these are.
    """

    mean: np.ndarray
    projection: np.ndarray
    unit: bool
    scale: float
    rows: np.ndarray
    image_ids: np.ndarray
    dx: np.ndarray
    dx_types: np.ndarray
    weights: str

    def project(self, embeddings: np.ndarray) -> np.ndarray:
        """float (N, d) embeddings -> float32 (N, p) points, to be compared with `rows`."""
        away = np.asarray(embeddings, np.float32) - self.mean
        points = away @ self.projection.astype(np.float32)
        if self.unit:
            points /= np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
        return points

    def nearest(self, embeddings: np.ndarray, k: int = CASES) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest rows, the nearest first. embeddings: float (N, d) -> distances float64 (N, k), row numbers int
        (N, k); all rows where there are fewer than k."""
        k = min(k, len(self.rows))
        distances, numbers = self._tree.query(self.project(embeddings), k=list(range(1, k + 1)))
        return distances / self.scale, numbers

    @cached_property
    def _tree(self) -> "cKDTree":
        from scipy.spatial import cKDTree  # a fifth of a second that only those pay who ask for cases

        return cKDTree(self.rows.astype(np.float32))

    @classmethod
    def read(cls, folder: Path) -> "Index":
        """Read a model folder's. Raises ModelError where the file is none."""
        try:
            with np.load(folder / FILE, allow_pickle=False) as arrays:
                parts = {name: arrays[name] for name in cls.__dataclass_fields__}
            plain = {name: parts[name].item() for name in ("unit", "scale", "weights")}
            index = cls(**parts | plain)
        except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile, zlib.error):
            raise ModelError(f"{folder / FILE} is no index of cases: run train.similar anew.") from None
        index._check(folder)
        return index

    def write(self, folder: Path) -> None:
        """Write `folder`/similar.npz. Texts are arrays of fixed width: nothing is pickled."""
        arrays = {name: np.asarray(getattr(self, name)) for name in self.__dataclass_fields__}
        np.savez_compressed(folder / FILE, allow_pickle=False, **arrays)

    def _check(self, folder: Path) -> None:
        """Raises ModelError where the arrays do not fit together."""
        number, dimensions = self.rows.shape if self.rows.ndim == 2 else (0, 0)
        expected = {"projection": (*self.mean.shape, dimensions), "image_ids": (number,)}
        expected |= {"dx": (number,), "dx_types": (number,)}
        fits = all(getattr(self, name).shape == shape for name, shape in expected.items())
        if (
            not fits
            or not number
            or not self.scale > 0
            or not np.all((self.dx >= 0) & (self.dx < len(CODES)))
        ):
            raise ModelError(f"{folder / FILE} does not fit together: run train.similar anew.")


def nearest(reading: "Reading", k: int = CASES) -> tuple[Case, ...]:
    """The k training photos nearest to the photo, the nearest first; none where the model has no index."""
    index, embedding = reading.classifier.similar, reading.prediction.embedding
    if index is None or embedding is None:
        return ()
    distances, numbers = index.nearest(embedding[np.newaxis], k)
    return tuple(
        Case(
            image_id=str(index.image_ids[number]),
            dx=CODES[int(index.dx[number])],
            dx_type=str(index.dx_types[number]),
            distance=float(distance),
            link=link(str(index.image_ids[number])),
        )
        for distance, number in zip(distances[0], numbers[0], strict=True)
    )


def link(image_id: str) -> str:
    """The page of a photo in the ISIC archive; empty for an id that is none of the archive's."""
    return ISIC_PAGE.format(image_id) if ISIC_ID.fullmatch(image_id) else ""


def thumbnail(image_id: str) -> Image.Image | None:
    """A small RGB picture of a case, at most THUMBNAIL_SIDE a side, its centre square as the network saw it.

    None where SKINAPP_DATA names no local copy of the data set, or that has no such photo or only a damaged one.
    """
    path = find_photo(image_id)
    if path is None:
        return None
    try:
        square = centre_square(open_photo(path))
    except PhotoError:
        return None
    square.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    return square
