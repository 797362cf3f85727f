"""Fits the score that tells dermatoscopic photos from others, and measures what passes.

    python -m train.dermatoscopic --data DIR [DIR ...] [--model DIR] [--layer NAME]     # five minutes at 94 px

Writes dermatoscopic.npz, its threshold in skinapp.json, and dermatoscopic.csv into the model folder. The
Gaussian (`skinapp.network.dermatoscopic`) is fitted on train lesions, the threshold on tune lesions, of which it lets
98 % pass. The table says how much of what passes. It ends with each class left out of the fit: where its
photos still pass, so will lesions of an eighth kind.
"""

import argparse
import hashlib
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from matplotlib import cbook
from PIL import Image, ImageEnhance
from sklearn.covariance import LedoitWolf
from sklearn.datasets import load_sample_images
from sklearn.preprocessing import StandardScaler

from skinapp.lesions import CODES
from skinapp.network.classifier import Classifier
from skinapp.network.configuration import Configuration
from skinapp.network.dermatoscopic import FILE, Gaussian
from skinapp.network.folders import default_model
from skinapp.photo.preprocess import centre_square, open_photo, to_pixels
from train.commands import in_one_sentence
from train.data.decoys import DECOYS, draw_decoy, in_room_light
from train.dataset import Dataset, DatasetError, add_sources, load_photos, read_sources, split_lesions
from train.documents.measurements import read_rows, write_rows
from train.probabilities.calibrate import alike

KEPT = 0.98  # of the tune photos of each source
NOT_WITHHELD = 0.995  # of the tune photos of all sources, each weighing alike
RIMMED = 10  # every tenth train photo is shown a second time, with a dark rim
MOST_CHANNELS = 256  # of the layer: a Gaussian over more would take more than 300 KB
DRAWN = 100  # pictures of each kind of decoy
CROPS = 100  # from each photograph
BATCH = 64
SEED = 1807
FIGURES = "dermatoscopic.csv"  # in the model folder

Pooler = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Features:
    """values: float32 (N, c), one row a photo; labels: int (N,), indices into CODES; sources: str (N,), their names."""

    values: np.ndarray
    labels: np.ndarray
    sources: np.ndarray

    def rows(self, chosen: np.ndarray) -> "Features":
        """Only some photos. chosen: bool (N,)."""
        return Features(self.values[chosen], self.labels[chosen], self.sources[chosen])


@dataclass(frozen=True)
class Passing:
    """How much of something passes, one line of dermatoscopic.csv. kept: its share; withheld: the share whose result is withheld;
    median: of the scores."""

    what: str
    photos: int
    kept: float
    withheld: float
    median: float


def fit_dermatoscopic(folder: Path, train: Dataset, tune: Dataset, report: Dataset, layer: str = "") -> None:
    """Fit the score of the model in `folder`, write it there, and measure what passes.

    train, tune, report: pictures at the network's size, as the app sees them. layer: whose pooled output is
    used, by default `middle_layer`. Raises ValueError for a layer that does not suit, DatasetError for an
    empty part.
    """
    if not all(len(part.records) for part in (train, tune, report)):
        raise DatasetError("Train, tune and report lesions are needed: three of one class at least.")
    network = Classifier(folder).network
    layer = layer or middle_layer(network)
    pool = pooler(network, layer)
    random = np.random.default_rng(SEED)
    chosen = random.permutation(len(train.records))[::RIMMED]
    fitting = Features(
        np.concatenate([pool(train.pictures), pool(_rimmed(train.pictures[chosen], random))]),
        np.concatenate([train.labels, train.labels[chosen]]),
        np.concatenate([_sources(train), _sources(train)[chosen]]),
    )
    tuning = Features(pool(tune.pictures), tune.labels, _sources(tune))
    reporting = Features(pool(report.pictures), report.labels, _sources(report))
    gaussian, threshold, far = fit_gaussians(fitting, tuning)
    gaussian.write(folder)
    configuration = Configuration.read(folder)
    sha256 = configuration.sha256 | {FILE: hashlib.sha256((folder / FILE).read_bytes()).hexdigest()}
    configuration = replace(
        configuration, dermatoscopic_layer=layer, dermatoscopic_threshold=threshold, withheld_threshold=far
    )
    replace(configuration, sha256=sha256).write(folder)

    def prepare(image: Image.Image) -> np.ndarray:
        return to_pixels(image, configuration.input_size, configuration.resampling)

    rows = [passing("tune lesions", gaussian.scores(tuning.values), threshold, far)]
    for name in np.unique(reporting.sources):
        own = reporting.rows(reporting.sources == name)
        rows.append(
            passing(
                f"report lesions of {name or 'the data set'}", gaussian.scores(own.values), threshold, far
            )
        )
    for what, pictures in everything(report, prepare):
        rows.append(passing(what, gaussian.scores(pool(pictures)), threshold, far))
    rows += unknown_sources(fitting, tuning, reporting)
    rows += unknown_kinds(fitting, tuning, reporting)
    write_rows(folder / FIGURES, rows, Passing)


def middle_layer(network: keras.Model) -> str:
    """The first layer past the middle of the network that everything passes and that has few enough channels, else the
    last one before.

    In EfficientNet-Lite that is the end of a block. The last layers know little but what tells the classes apart, the
    first ones colours and edges, and what a shortcut goes around knows half of it: EXPERIMENTS.md.
    """
    layers = network.layers
    position = {id(layer): index for index, layer in enumerate(layers)}
    made_by = {id(x): position[id(layer)] for layer in layers for x in keras.tree.flatten(layer.output)}
    passed, sources = (
        set(range(len(layers))),
        [
            (made_by[id(x)], index)
            for index, layer in enumerate(layers)
            for x in keras.tree.flatten(layer.input)
            if made_by[id(x)] != index
        ],
    )
    for source, index in sources:
        passed -= set(range(source + 1, index))
    middle = len(layers) // 2
    order = [*range(middle, len(layers)), *range(middle)[::-1]]
    return next(str(layers[i].name) for i in order if i in passed and _suits(layers[i].output))


def pooler(network: keras.Model, layer: str) -> Pooler:
    """What gives the features of upright photos, a layer's output averaged over the picture.

    It takes uint8 (N, S, S, 3) and returns float32 (N, c).
    Raises ValueError where the network lacks the layer or the layer does not suit.
    """
    middle = network.get_layer(layer).output
    if not _suits(middle):
        raise ValueError(f"{layer} gives no map of at most {MOST_CHANNELS} channels: choose another layer.")
    part = keras.Model(network.inputs, middle)
    forward = tf.function(
        lambda batch: tf.reduce_mean(part(batch, training=False), axis=(1, 2)),
        input_signature=[tf.TensorSpec(network.inputs[0].shape, tf.float32)],
        jit_compile=False,
    )

    def pool(pictures: np.ndarray) -> np.ndarray:
        starts = range(0, len(pictures), BATCH)
        return np.concatenate([forward(tf.constant(pictures[i : i + BATCH], tf.float32)) for i in starts])

    return pool


def fit_gaussian(features: np.ndarray) -> Gaussian:
    """features: float (N, c), of one source -> Gaussian.

    The covariance of the standardised features is shrunk (Ledoit 2004, doi:10.1016/S0047-259X(03)00096-4), so
    that it can be inverted where photos are few.
    """
    scaler = StandardScaler().fit(np.asarray(features, np.float64))
    precision = LedoitWolf(assume_centered=True).fit(scaler.transform(features)).precision_
    return Gaussian(scaler.mean_[None], (np.linalg.cholesky(precision) / scaler.scale_[:, None])[None])


def fit_gaussians(fitting: Features, tuning: Features) -> tuple[Gaussian, float, float]:
    """A Gaussian for each source, the threshold that KEPT of each source's tune photos pass, and the one beyond which a result is
    withheld."""
    means, whitenings = [], []
    for name in np.unique(fitting.sources):
        own = fit_gaussian(fitting.values[fitting.sources == name])
        tuned = tuning.values[tuning.sources == name]
        # In units of what its own photos keep within, so that a narrow source and a wide one have the same threshold.
        scale = (
            keeping(own.scores(tuned))
            if len(tuned)
            else keeping(own.scores(fitting.values[fitting.sources == name]))
        )
        means.append(own.mean[0])
        whitenings.append(own.whitening[0] / scale)
    gaussian = Gaussian(np.stack(means), np.stack(whitenings))
    scores = gaussian.scores(tuning.values)
    threshold = max(keeping(scores[tuning.sources == name]) for name in np.unique(tuning.sources))
    order = np.argsort(scores)
    within = np.cumsum(alike(tuning.sources)[order]) >= NOT_WITHHELD * len(scores) - 1e-9
    far = math.ceil(float(scores[order][within.argmax()]) * 1e4) / 1e4
    return gaussian, threshold, max(threshold, far)


def keeping(scores: np.ndarray) -> float:
    """The smallest threshold, to four digits, that lets a share of KEPT pass."""
    return math.ceil(float(np.quantile(scores, KEPT, method="inverted_cdf")) * 1e4) / 1e4


def passing(what: str, scores: np.ndarray, threshold: float, far: float) -> Passing:
    """How much of something stays within the threshold, and how much lies beyond `far`."""
    kept, withheld = float(np.mean(scores <= threshold)), float(np.mean(scores > far))
    return Passing(what, len(scores), kept, withheld, float(np.median(scores)))


def with_rim(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """With a dermatoscope's dark rim: few of HAM10000's photos have it, and a Gaussian fitted without would
    let no photo with a whole rim pass. uint8 (S, S, 3) -> uint8 (S, S, 3)."""
    axis = (np.arange(len(picture)) + 0.5) * 2 / len(picture) - 1
    radius, edge = random.uniform(0.85, 1.4), random.uniform(0.02, 0.15)
    seen = np.clip((radius - np.hypot(axis, axis[:, None])) / edge + 0.5, 0, 1)
    return np.round(picture * seen[..., None]).astype(np.uint8)


def everything(
    report: Dataset, prepare: Callable[[Image.Image], np.ndarray]
) -> Iterator[tuple[str, np.ndarray]]:
    """What is measured, and its pictures at the network's size: uint8 (N, S, S, 3).

    prepare: RGB Pillow image -> uint8 (S, S, 3).
    """
    random = np.random.default_rng(SEED + 1)
    yield "report lesions", report.pictures
    for index, code in enumerate(CODES):
        if np.any(report.labels == index):
            yield f"report lesions, {code}", report.pictures[report.labels == index]
    yield "report lesions, a dark rim added", _rimmed(report.pictures, random)
    squares = [centre_square(record.photo()) for record in report.records]
    yield "report lesions, the inner quarter", np.stack([prepare(_part(s, 0.25, 0.25)) for s in squares])
    yield (
        "report lesions, an outer quarter: mostly skin",
        np.stack([prepare(_part(s, 0.5 * (i % 2), 0.5 * (i // 2 % 2))) for i, s in enumerate(squares)]),
    )
    yield (
        "report lesions, lit as without a dermatoscope",
        np.stack([in_room_light(picture, random) for picture in report.pictures]),
    )
    yield (
        "photographs of scikit-learn and matplotlib, and crops",
        np.stack([prepare(image) for image in photographs(random)]),
    )
    for kind in DECOYS:
        yield kind, np.stack([prepare(draw_decoy(kind, seed)) for seed in range(DRAWN)])


def photographs(random: np.random.Generator) -> Iterator[Image.Image]:
    """A temple, a flower and an officer, the photographs that come with the libraries: whole, and cut, turned
    and lit anew at random."""
    scenes = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    scenes.append(open_photo(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))
    for scene in scenes:
        yield scene
        for _ in range(CROPS):
            side = round(min(scene.size) * random.uniform(0.2, 1))
            left, top = (int(random.integers(length - side + 1)) for length in scene.size)
            crop = scene.crop((left, top, left + side, top + side)).rotate(90 * int(random.integers(4)))
            crop = ImageEnhance.Brightness(crop).enhance(random.uniform(0.6, 1.4))
            yield ImageEnhance.Color(crop).enhance(random.uniform(0.4, 1.5))


def unknown_kinds(fitting: Features, tuning: Features, report: Features) -> Iterator[Passing]:
    """How much of each class passes, in tune and report, if neither Gaussian nor threshold has seen it: a
    hint at an eighth kind, though one on which the network itself was trained."""
    for index, code in enumerate(CODES):
        known, others = fitting.labels != index, tuning.labels != index
        left_out = np.concatenate([part.values[part.labels == index] for part in (tuning, report)])
        if known.any() and others.any() and len(left_out):
            gaussian, threshold, far = fit_gaussians(fitting.rows(known), tuning.rows(others))
            yield passing(f"{code}, left out of the fit", gaussian.scores(left_out), threshold, far)


def unknown_sources(fitting: Features, tuning: Features, report: Features) -> Iterator[Passing]:
    """How much of each source passes, in all parts, if neither Gaussians nor thresholds have seen it: what the photos of a new
    clinic may expect."""
    names = np.unique(fitting.sources)
    for name in names if len(names) > 1 else ():
        known, others = fitting.rows(fitting.sources != name), tuning.rows(tuning.sources != name)
        gaussian, threshold, far = fit_gaussians(known, others)
        left_out = np.concatenate([part.values[part.sources == name] for part in (fitting, tuning, report)])
        yield passing(f"{name}, left out of the fit", gaussian.scores(left_out), threshold, far)


def read_dermatoscopic(folder: Path) -> tuple[Passing, ...]:
    """A model folder's dermatoscopic.csv; nothing where it was not measured. Raises ValueError where it is another table."""
    return read_rows(folder / FIGURES, Passing, "train.dermatoscopic")


def _sources(dataset: Dataset) -> np.ndarray:
    return np.array([record.source for record in dataset.records])


def _suits(output: keras.KerasTensor) -> bool:
    return len(output.shape) == 4 and output.shape[-1] <= MOST_CHANNELS


def _rimmed(pictures: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.stack([with_rim(picture, random) for picture in pictures])


def _part(square: Image.Image, left: float, top: float) -> Image.Image:
    """A square of half the side. left, top: shares of the side."""
    side = square.width
    box = (round(left * side), round(top * side), round((left + 0.5) * side), round((top + 0.5) * side))
    return square.crop(box)


@in_one_sentence
def main(arguments: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(
        description="Fit the score that tells dermatoscopic photos from others, and measure what passes."
    )
    add_sources(parser)
    parser.add_argument("--model", type=Path, help="a model folder (default: SKINAPP_MODEL or model/fast)")
    parser.add_argument("--layer", default="", help="the layer to use, if not the middle one")
    options = parser.parse_args(arguments)
    folder = options.model or default_model()
    configuration = Configuration.read(folder)
    size, resampling = configuration.input_size, configuration.resampling
    records = read_sources(options.data, options.scc, options.smallest)
    dataset = load_photos(records, lambda image: to_pixels(image, size, resampling))
    split = split_lesions(dataset.records)
    train, tune, report = (dataset.part(split, part) for part in ("train", "tune", "report"))
    fit_dermatoscopic(folder, train, tune, report, options.layer)
    for row in read_dermatoscopic(folder):
        print(
            f"{row.what:56}{row.photos:6}{row.kept:8.1%} withheld {row.withheld:6.1%}  median score {row.median:.2f}"
        )


if __name__ == "__main__":
    sys.exit(main())
