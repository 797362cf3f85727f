"""Is the map about the lesion? Measures every saliency method on photos whose lesion somebody has outlined.

    python -m train.maps --data DIR [--model DIR] [--photos N] [--choose]

Written to `maps.csv` in the model folder: a row a method, layer and part. The choice is made on *tune* lesions, *report*
lesions tell how good it is (`train.margins` on more photos). Beside the methods stand two baselines that know nothing of the network: `gaussian`, a blob in
the middle, and `chance`, which points nowhere.

- Inside: the share of the map's sum that lies on the lesion; pointing: how often its peak does (Zhang 2018,
  doi:10.1007/s11263-017-1059-x, without a margin).
- Insertion and deletion: the mean probability of the class while the photo's pixels come back into its blurred copy, or give
  way to its mean colour, most salient first (Petsiuk 2018, arXiv:1806.07421). High insertion and low deletion are good.
- Sanity: rank correlation with the map of the same network whose weights are drawn anew (Adebayo 2018, arXiv:1810.03292): of
  the logits layer, of everything after the map layer, of everything. Near 0 is good: a map that outlives what was learned
  shows the photo, not the network.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image, ImageFilter
from scipy.stats import rankdata, spearmanr
from tqdm import tqdm

from skinapp.lesions import CODES
from skinapp.network.classifier import Classifier
from skinapp.network.configuration import Configuration
from skinapp.network.folders import default_model
from skinapp.network.saliency import METHODS, SaliencyMap, enlarged, explain
from skinapp.photo.preprocess import centre_square, open_photo, to_pixels
from train import validation
from train.commands import in_one_sentence
from train.dataset import Dataset, DatasetError, Record, load_labelled
from train.documents.measurements import read_rows, write_rows
from train.network.architectures import SMALLEST_MAP

FILE = "maps.csv"
PARTS = ("tune", "report")
GAUSSIAN, CHANCE = "gaussian", "chance"
GAUSSIAN_WIDTH = 0.25  # standard deviation, as a share of the side; set before anything was measured
LAYERS = 4  # at most so many are tried
STEPS = 16  # of the insertion and deletion curves
BLUR = 0.1  # of the side: the lesion's colour stays, its structures do not
CELLS = 8  # a side, of the patches that `chance` takes in turn: as coarse as a map
SANITY_PHOTOS = 20
SLOWEST = 0.4  # of a prediction's time may the default map take: both together stay within 1.5 passes of the network
SAME = 0.5  # a mean rank correlation above this fails the sanity check

Probability = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class MapRow:
    """Means over `photos` photos of a part, all in [0, 1] but the time (a median) and the correlations (-1 to 1).

    method: a key of METHODS, or a baseline, then without layer, time and correlations. SmoothGrad has no layer either.
    """

    method: str
    layer: str
    part: str
    photos: int
    inside: float
    pointing: float
    insertion: float
    deletion: float
    milliseconds: float | None = None
    sanity_logits: float | None = None
    sanity_head: float | None = None
    sanity_all: float | None = None


@dataclass(frozen=True)
class Outlined:
    """A photo as the network sees it, RGB (S, S), and its lesion: bool (M, M) over the same square, somewhere True."""

    photo: Image.Image
    mask: np.ndarray


@dataclass(frozen=True)
class Score:
    """One map of one photo, measured. curves: insertion and deletion, float (2, STEPS + 1)."""

    inside: float
    pointing: float
    curves: np.ndarray

    @property
    def measures(self) -> dict[str, float]:
        """Its figures, in [0, 1], under the names they have in MapRow."""
        insertion, deletion = np.trapezoid(self.curves, dx=1 / STEPS, axis=1).tolist()
        return {
            "inside": self.inside,
            "pointing": self.pointing,
            "insertion": insertion,
            "deletion": deletion,
        }


def inside(values: np.ndarray, mask: np.ndarray) -> float:
    """The share of a map that lies on the lesion. values: float (M, M) >= 0; mask: bool (M, M).

    A map that is zero everywhere counts as a uniform one.
    """
    total = float(values.sum())
    return float(values[mask].sum()) / total if total > 0 else float(mask.mean())


def pointing(values: np.ndarray, mask: np.ndarray) -> float:
    """1 where the map's peak lies on the lesion, else 0; of several peaks, their share on it. Arguments as for `inside`."""
    return float(mask[values == values.max()].mean())


def insertion_deletion(
    picture: np.ndarray, values: np.ndarray, ties: np.ndarray, probability: Probability
) -> np.ndarray:
    """The insertion and the deletion curve: the class's probability at STEPS + 1 shares of the pixels, float (2, STEPS + 1).

    picture: float32 (S, S, 3) in [0, 255]; values, ties: float (S, S), pixels go by the first and where that is equal by the
    second, the highest first. probability: pictures (N, S, S, 3) -> the class's probabilities, float (N,); called once.
    """
    order = np.lexsort((-ties.ravel(), -values.ravel()))
    rank = np.empty(order.size)
    rank[order] = np.arange(order.size)
    shares = np.linspace(0, 1, STEPS + 1)
    taken = rank.reshape(values.shape) < shares[:, None, None] * order.size
    blur = ImageFilter.GaussianBlur(BLUR * len(picture))
    blurred = np.asarray(Image.fromarray(picture.astype(np.uint8)).filter(blur), np.float32)
    inserted = np.where(taken[..., None], picture, blurred)
    deleted = np.where(taken[..., None], picture.mean(axis=(0, 1)), picture)
    return probability(np.concatenate([inserted, deleted])).reshape(2, -1)


def score(values: np.ndarray, outlined: Outlined, ties: np.ndarray, probability: Probability) -> Score:
    """Measure a map. values: float (h, w) in [0, 1], enlarged here as the page does it; the rest as above."""
    saliency = SaliencyMap("", values.astype(np.float32), True)
    large = enlarged(saliency, len(outlined.mask))
    picture = np.asarray(outlined.photo, np.float32)
    curves = insertion_deletion(picture, enlarged(saliency, len(picture)), ties, probability)
    return Score(inside(large, outlined.mask), pointing(large, outlined.mask), curves)


def correlation(first: SaliencyMap, second: SaliencyMap) -> float:
    """Spearman's rank correlation of two maps of one shape. A map without evidence has nothing in common with another."""
    if np.ptp(first.values) == 0 or np.ptp(second.values) == 0:
        return 0.0
    return float(spearmanr(first.values, second.values, axis=None).statistic)


def choose(rows: Sequence[MapRow], slowest: float) -> MapRow | None:
    """The method and layer to show by default: of those that take under `slowest` milliseconds a map and pass the sanity
    check, that of the best mean rank in inside, pointing, insertion and deletion on tune lesions; between equals the faster.
    None where no method qualifies.

    The check is passed where maps correlate by less than .5 both with those of a network that is random after the map
    layer, and with those of one that is random altogether. The logits alone do not count: whatever the class, the evidence
    may well lie in the same place.
    """
    tune = [row for row in rows if row.part == "tune" and row.method in METHODS]
    fit = [row for row in tune if _milliseconds(row) < slowest and _passes(row)]
    if not fit:
        return None
    columns = [[-row.inside, -row.pointing, -row.insertion, row.deletion] for row in fit]
    ranks = rankdata(columns, axis=0).mean(axis=1)
    return min(zip(ranks, fit, strict=True), key=lambda ranked: (ranked[0], _milliseconds(ranked[1])))[1]


def _milliseconds(row: MapRow) -> float:
    return float("inf") if row.milliseconds is None else row.milliseconds


def _passes(row: MapRow) -> bool:
    return all(value is not None and value < SAME for value in (row.sanity_head, row.sanity_all))


def candidate_layers(network: keras.Model, configured: str) -> list[str]:
    """Up to LAYERS layers that a map can be taken of, the configured one first.

    Those through which everything passes, so that the rest of the network is a head of its own, and that end in an
    activation or a sum; of each of the two coarsest map sizes of at least 6x6, the last two.
    """
    found = defaultdict(list)
    for layer in network.layers:
        ends = isinstance(layer, keras.layers.ReLU | keras.layers.Activation | keras.layers.Add)
        if ends and len(layer.output.shape) == 4 and min(layer.output.shape[1:3]) >= SMALLEST_MAP:
            found[layer.output.shape[1:3]].append(layer)
    names = [configured]
    for size in sorted(found)[:2]:
        names += [layer.name for layer in reversed(found[size]) if _all_passes(layer, network)][:2]
    return list(dict.fromkeys(names))[:LAYERS]


def _all_passes(layer: keras.layers.Layer, network: keras.Model) -> bool:
    try:
        keras.Model(layer.output, network.outputs)
    except ValueError:  # Keras's word for a shortcut around the layer
        return False
    return True


def with_map_layer(folder: Path, layer: str) -> Classifier:
    """The model of a folder as if its configuration named another map layer; the folder stays as it is."""
    with tempfile.TemporaryDirectory() as temporary:
        configuration = Configuration.read(folder)
        for name in configuration.sha256:  # all that belongs to the model; a layer is all that changes
            shutil.copy(folder / name, temporary)
        replace(configuration, map_layer=layer).write(Path(temporary))
        return Classifier(Path(temporary))


@contextmanager
def weights_from(other: keras.Model, variables: Sequence[keras.Variable]) -> Iterator[None]:
    """Within it, these variables have the values that those of the same path have in another network."""
    own, others = [variable.numpy() for variable in variables], {v.path: v for v in other.weights}
    for variable in variables:
        variable.assign(others[variable.path])
    try:
        yield
    finally:
        for variable, value in zip(variables, own, strict=True):
            variable.assign(value)


def sanity(
    classifiers: Mapping[str, Classifier],
    methods: Sequence[tuple[str, str]],
    photos: Sequence[Image.Image],
    redrawn: Callable[[int], keras.Model],
) -> dict[tuple[str, str], tuple[float, float, float]]:
    """How alike maps stay, for the top class, when weights are replaced: those of the logits layer, of everything after the
    map layer, of everything. classifiers: by map layer; methods: pairs of method and map layer.

    redrawn: a photo's number -> the network that the weights are taken from, built as `Classifier.folded`. Returns mean rank
    correlations by method and layer.
    """
    found = defaultdict(list)
    for number, photo in enumerate(tqdm(photos, desc="sanity check", disable=None)):
        other = redrawn(number)
        for layer, classifier in classifiers.items():
            own = [method for method, of in methods if of == layer]
            prediction = classifier(photo)
            code = prediction.top.code
            before = {method: explain(classifier, prediction, code, method) for method in own}
            stages = (classifier.folded.layers[-1], classifier.head, classifier.folded)
            after = []
            for stage in stages:
                with weights_from(other, stage.weights):
                    changed = classifier(photo)
                    after.append({method: explain(classifier, changed, code, method) for method in own})
            for method in own:
                found[method, layer].append([correlation(before[method], stage[method]) for stage in after])
    return {key: tuple(np.mean(rows, axis=0).tolist()) for key, rows in found.items()}  # type: ignore[misc]


def measure(folder: Path, outlined: Mapping[str, Sequence[Outlined]]) -> tuple[list[MapRow], float]:
    """All rows for a model folder, and the milliseconds of a prediction. outlined: photos by part."""
    configuration = Configuration.read(folder)
    layers = candidate_layers(Classifier(folder).network, configuration.map_layer)
    classifiers = {layer: with_map_layer(folder, layer) for layer in layers}
    methods = [
        (method, layer)
        for method in METHODS
        for layer in (layers[:1] if method == "smoothgrad" else layers)  # it needs some classifier, no layer
    ]
    keras.utils.set_random_seed(0)
    rows, predicting = [], []
    for part, photos in outlined.items():
        found, times, own = scores(part, photos, classifiers, methods)
        predicting += own
        alike = sanity(
            classifiers,
            methods,
            [one.photo for one in photos[:SANITY_PHOTOS]],
            lambda _: keras.models.clone_model(classifiers[layers[0]].folded),  # drawn anew for each photo
        )
        for method, layer in [*methods, (GAUSSIAN, ""), (CHANCE, "")]:
            measured = [one.measures for one in found[method, layer]]
            logits, head, everything = alike.get((method, layer), (None, None, None))
            rows.append(
                MapRow(
                    method,
                    "" if method == "smoothgrad" else layer,
                    part,
                    len(photos),
                    **{name: statistics.fmean(one[name] for one in measured) for name in measured[0]},
                    milliseconds=statistics.median(times[method, layer]) if layer else None,
                    sanity_logits=logits,
                    sanity_head=head,
                    sanity_all=everything,
                )
            )
    return rows, statistics.median(predicting)


def scores(
    part: str,
    photos: Sequence[Outlined],
    classifiers: Mapping[str, Classifier],
    methods: Sequence[tuple[str, str]],
) -> tuple[dict[tuple[str, str], list[Score]], dict[tuple[str, str], list[float]], list[float]]:
    """Scores and milliseconds of every photo's maps, by method and layer, and milliseconds of its predictions.

    The baselines' layer is empty.
    """
    predicting = []
    found: dict[tuple[str, str], list[Score]] = defaultdict(list)
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    first = next(iter(classifiers.values()))
    one_view = tf.function(lambda x: first.network(x, training=False), jit_compile=False)
    random = np.random.default_rng(0)
    for number, one in enumerate(tqdm(photos, desc=f"maps of {part} lesions", disable=None)):
        predictions = {}
        for layer, classifier in classifiers.items():
            if number == 0:  # the first call traces
                classifier(one.photo)
            started = time.perf_counter()
            predictions[layer] = classifier(one.photo)
            predicting.append(1000 * (time.perf_counter() - started))
        code = next(iter(predictions.values())).top.code
        size = one.photo.width
        patches = random.random((CELLS, CELLS)).astype(np.float32)
        ties = np.asarray(Image.fromarray(patches).resize((size, size), Image.Resampling.BICUBIC))

        def probability(pictures: np.ndarray, code: str = code) -> np.ndarray:
            logits = one_view(tf.constant(pictures, tf.float32)).numpy()
            return first.configuration.probabilities(logits)[:, CODES.index(code)]

        for method, layer in methods:
            if number == 0:
                explain(classifiers[layer], predictions[layer], code, method)
            started = time.perf_counter()
            saliency = explain(classifiers[layer], predictions[layer], code, method)
            times[method, layer].append(1000 * (time.perf_counter() - started))
            found[method, layer].append(score(saliency.values, one, ties, probability))
        found[GAUSSIAN, ""].append(score(gaussian(size), one, ties, probability))
        found[CHANCE, ""].append(score(np.zeros((CELLS, CELLS)), one, ties, probability))
    return found, times, predicting


def gaussian(size: int) -> np.ndarray:
    """A blob in the middle. Returns float32 (size, size) in [0, 1]."""
    offset = (np.arange(size) + 0.5) / size - 0.5
    bell = np.exp(-0.5 * (offset / GAUSSIAN_WIDTH) ** 2)
    return np.outer(bell, bell).astype(np.float32)


def load_outlined(data: Path, folder: Path, part: str, number: int) -> tuple[list[Outlined], int]:
    """Up to `number` photos of a part that have an outline, and how many of those drawn have an empty one and are left out.

    data: the data set's folder, with `masks/`; folder: the model's, whose validation photos they are. One photo a lesion, of
    every class in turn as long as there are some. Raises DatasetError where a photo or its outline is missing.
    """
    configuration = Configuration.read(folder)
    size, resampling = configuration.input_size, configuration.resampling
    dataset = load_labelled(
        data, folder / validation.FILE, lambda photo: to_pixels(photo, size, resampling), part
    )
    chosen = stratified(dataset, number)
    photos = [
        Outlined(Image.fromarray(dataset.pictures[index]), _mask(dataset.records[index])) for index in chosen
    ]
    seen = [one for one in photos if one.mask.any()]
    if not seen:
        raise DatasetError(f"No {part} lesion has a pixel of its outline in the centre square.")
    return seen, len(photos) - len(seen)


def stratified(dataset: Dataset, number: int) -> list[int]:
    """Rows of up to `number` photos, one a lesion, drawn from every class in turn; for like data the same ones."""
    order = np.random.default_rng(0).permutation(len(dataset.records))
    by_lesion = {dataset.records[index].lesion_id: int(index) for index in order}
    by_class = defaultdict(list)
    for index in by_lesion.values():
        by_class[dataset.records[index].dx].append(index)
    turns = sorted((turn, dx, index) for dx, rows in by_class.items() for turn, index in enumerate(rows))
    return [index for _, _, index in turns[:number]]


def _mask(record: Record) -> np.ndarray:
    path = validation.mask_file(record)
    if path is None:
        raise DatasetError(
            f"{record.image_id} has no masks/{record.image_id}.png beside its folder of images."
        )
    mask = open_photo(path).convert("L")
    if mask.size != open_photo(record.path).size:
        raise DatasetError(f"{path} is not of its photo's size: it cannot be laid on it.")
    return np.asarray(centre_square(mask)) > 127


def write_maps(folder: Path, rows: Sequence[MapRow]) -> None:
    """Write maps.csv into a model folder. What is not measured stays empty."""
    write_rows(folder / FILE, rows, MapRow)


def read_maps(folder: Path) -> tuple[MapRow, ...]:
    """A model folder's maps.csv; nothing where it was not measured. Raises ValueError where it is another table."""
    return read_rows(folder / FILE, MapRow, "train.maps")


def table(rows: Sequence[MapRow]) -> str:
    """The rows as text for a terminal."""
    names = [field.name for field in fields(MapRow)]
    cells = [names] + [[_shown(value) for value in astuple(row)] for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def _shown(value: str | float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


@in_one_sentence
def main(arguments: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(description="Measure how much saliency maps keep to the lesion.")
    parser.add_argument("--data", type=Path, required=True, help="the data set's folder, with masks/")
    parser.add_argument("--model", type=Path, help="a model folder (default: SKINAPP_MODEL or model/fast)")
    parser.add_argument("--photos", type=int, default=150, help="of each part (default: %(default)s)")
    parser.add_argument("--choose", action="store_true", help="write the winner into skinapp.json")
    options = parser.parse_args(arguments)
    # To TensorFlow, the same function traced for several networks looks like one that is traced in vain.
    tf.get_logger().setLevel("ERROR")
    folder = options.model or default_model()
    outlined = {}
    for part in PARTS:
        outlined[part], skipped = load_outlined(options.data, folder, part, options.photos)
        print(f"{part}: {len(outlined[part])} photos, {skipped} left out whose outline is empty")
    rows, predicting = measure(folder, outlined)
    write_maps(folder, rows)
    print(table(rows))
    print(f"A prediction takes {predicting:.0f} ms.")
    winner = choose(rows, SLOWEST * predicting)
    if winner is None:
        print("No method is fast enough and passes the sanity check.")
        return
    print(f"By the rule: {METHODS[winner.method]} {winner.layer}".rstrip())
    if options.choose:
        configuration = Configuration.read(folder)
        layer = winner.layer or configuration.map_layer
        replace(configuration, map_method=winner.method, map_layer=layer).write(folder)


if __name__ == "__main__":
    sys.exit(main())
