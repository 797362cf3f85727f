"""By how much is the map that ships better than the other methods' at its layer, and than a blob in the middle?

    python -m train.margins --data DIR [--model DIR] [--photos N]

`train.maps` chooses method and layer on a few tune lesions; this measures the choice on as many report lesions as have outlines,
with intervals. Written into the model folder: `margins.csv`, a row for each other method and measure, and `map_curves.csv`, the mean
insertion and deletion curves.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from skinapp.network.classifier import Classifier
from skinapp.network.folders import default_model
from skinapp.network.saliency import METHODS
from train.commands import in_one_sentence
from train.documents.measurements import read_rows, write_rows
from train.maps import GAUSSIAN, STEPS, Outlined, Score, load_outlined, scores

FILE, CURVES = "margins.csv", "map_curves.csv"
RESAMPLES = 1000


@dataclass(frozen=True)
class Margin:
    """The map that ships beside another one, on the same photos, one a lesion.

    shown, layer: method and layer of the one that ships; method: the other's, a key of METHODS (at the same layer) or
    GAUSSIAN; measure: a key of `Score.measures`; own, other: means, in [0, 1]; low, high: 95 % interval of own - other.
    """

    shown: str
    layer: str
    method: str
    measure: str
    photos: int
    own: float
    other: float
    low: float
    high: float


@dataclass(frozen=True)
class CurvePoint:
    """The mean probability of the top class where a share of the pixels has come back ("insertion") or gone ("deletion")."""

    method: str
    curve: str
    share: float
    probability: float


def margins(
    shown: str, layer: str, own: Sequence[Score], others: Mapping[str, Sequence[Score]]
) -> list[Margin]:
    """Compare maps photo by photo. own, others: scores of the same photos in the same order.

    Intervals are percentiles of bootstrap samples of photos (Efron 1979, doi:10.1214/aos/1176344552).
    """
    mine, *theirs = (_table(scores) for scores in (own, *others.values()))
    drawn = np.random.default_rng(0).integers(0, len(mine), (RESAMPLES, len(mine)))
    rows = []
    for method, table in zip(others, theirs, strict=True):
        low, high = np.percentile((mine - table)[drawn].mean(axis=1), [2.5, 97.5], axis=0)
        figures = zip(mine.mean(axis=0), table.mean(axis=0), low, high, strict=True)
        for name, row in zip(own[0].measures, figures, strict=True):
            rows.append(Margin(shown, layer, method, name, len(mine), *map(float, row)))
    return rows


def _table(scored: Sequence[Score]) -> np.ndarray:
    """float (photos, measures)"""
    return np.array([list(score.measures.values()) for score in scored])


def curve_points(scored: Mapping[str, Sequence[Score]]) -> list[CurvePoint]:
    """The mean curves of each method."""
    points = []
    for method, of in scored.items():
        for name, mean in zip(
            ("insertion", "deletion"), np.mean([s.curves for s in of], axis=0), strict=True
        ):
            points += [CurvePoint(method, name, step / STEPS, float(p)) for step, p in enumerate(mean)]
    return points


def measure(folder: Path, photos: Sequence[Outlined]) -> tuple[list[Margin], list[CurvePoint]]:
    """The margins of a model folder's own method and layer, and the curves of all methods there."""
    classifier = Classifier(folder)
    layer, own = classifier.configuration.map_layer, classifier.configuration.map_method
    found, _, _ = scores("report", photos, {layer: classifier}, [(method, layer) for method in METHODS])
    scored = {method: found[method, layer] for method in METHODS} | {GAUSSIAN: found[GAUSSIAN, ""]}
    others = {method: of for method, of in scored.items() if method != own}
    return margins(own, layer, scored[own], others), curve_points(scored)


def read_margins(folder: Path) -> tuple[Margin, ...]:
    """A model folder's margins.csv; nothing where it was not measured. Raises ValueError where it is another table."""
    return read_rows(folder / FILE, Margin, "train.margins")


def read_curves(folder: Path) -> tuple[CurvePoint, ...]:
    """A model folder's map_curves.csv, likewise."""
    return read_rows(folder / CURVES, CurvePoint, "train.margins")


@in_one_sentence
def main(arguments: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(
        description="Measure by how much the map that ships is better than others."
    )
    parser.add_argument("--data", type=Path, required=True, help="the data set's folder, with masks/")
    parser.add_argument("--model", type=Path, help="a model folder (default: SKINAPP_MODEL or model/fast)")
    parser.add_argument("--photos", type=int, default=200, help="at most so many (default: %(default)s)")
    options = parser.parse_args(arguments)
    # To TensorFlow, the same function traced for several networks looks like one that is traced in vain.
    tf.get_logger().setLevel("ERROR")
    folder = options.model or default_model()
    photos, skipped = load_outlined(options.data, folder, "report", options.photos)
    print(f"{len(photos)} photos, {skipped} left out whose outline is empty")
    rows, points = measure(folder, photos)
    write_rows(folder / FILE, rows, Margin)
    write_rows(folder / CURVES, points, CurvePoint)
    for row in rows:
        gain = f"{row.own - row.other:+.3f} [{row.low:+.3f}, {row.high:+.3f}]"
        print(f"{row.method:10} {row.measure:10} {row.own:.3f} against {row.other:.3f}: {gain}")


if __name__ == "__main__":
    sys.exit(main())
