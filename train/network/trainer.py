"""One training run: settings, state, an epoch, a checkpoint.

Everything drawn at random comes from (seed, epoch, step), and the worker where there are several, so that a resumed run
sees the same pictures in the same order.
"""

import hashlib
import io
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from skinapp.lesions import CODES
from skinapp.network.classifier import Classifier, load
from skinapp.photo.preprocess import to_pixels
from train.dataset import Dataset, DatasetError, Record
from train.network.architectures import CnnSettings, EfficientNetLiteSettings, build
from train.network.augment import Augmentation, augment, degraded
from train.network.workers import Workers
from train.probabilities.by_source import figures_by_source

MOST_OF_A_LESION = 2  # photos in one turn: a lesion with thirty photos weighs like one with two
SMALL = (
    84  # pixels a side of the photos of the smallest source, BCN20000 as it is distributed for training here
)


@dataclass(frozen=True)
class Settings:
    """How one network is trained. The defaults are run 1's (EXPERIMENTS.md); the Makefile has the commands of the shipped weights."""

    network: CnnSettings | EfficientNetLiteSettings = field(default_factory=EfficientNetLiteSettings)
    augmentation: Augmentation = field(default_factory=Augmentation)
    size: int = 94
    # Pixels a side while training, if not `size`: cut-outs show a lesion larger than the whole picture does, so
    # fewer pixels show it alike, and cost less (Touvron 2019, arXiv:1906.06423).
    training_size: int = 0
    # Model folder whose weights the run starts from; empty: ImageNet's, or random ones for the CNN.
    start: str = ""
    # Model folder whose weights the network's `frozen` blocks take; empty: those they have.
    frozen_from: str = ""
    teachers: tuple[str, ...] = ()  # model folders whose averaged probabilities are part of what is learned
    taught: float = 0.7  # share of the teachers' word in the labels, where there are teachers
    teachers_size: int = 176  # pixels a side that a teacher sees at most
    taught_sources: tuple[str, ...] = ()  # of which sources' photos the teachers speak; empty: of all
    reduced: float = 0.5  # share of the sharp photos that are shown as reduced and compressed ones, where there are several sources
    floor: float = (
        1e-3  # share in the loss's class mix of a class that a source lacks; 0 leaves it out of the softmax
    )
    resampling: str = "bicubic"  # the filter whose sharpness is nearest to that of the augmented pictures
    intermediate: int = 160  # pixels a side of what augmentation cuts from: then about as sharp as the input
    epochs: int = 20
    batch: int = 64
    rate: float = 5e-4  # peak of AdamW's learning rate
    weight_decay: float = 0.02
    warmup: float = 1.0  # epochs of linear growth before the cosine
    sampling: float = 0.5  # sources, and a source's classes, are drawn in proportion to count ** sampling: 1 as they are, 0 all alike
    averaging: float = 0.998  # decay per step of the weights' exponential moving average
    patience: int = 10  # epochs without a lower log loss on tune lesions before the run stops early
    views: int = 8  # mirrored and turned copies averaged at prediction
    seed: int = 1


@dataclass(frozen=True)
class Epoch:
    """One line of history.csv; the validation figures are the averaged weights' on tune lesions, one view, means over the
    sources, and presume equally frequent classes."""

    epoch: int
    loss: float
    tune_accuracy: float
    tune_balanced_accuracy: float
    tune_macro_auc: float
    tune_log_loss: float  # each source at the class mix of its training photos, one temperature fitted to all
    images_per_second: float
    seconds: float


@dataclass(frozen=True)
class Teacher:
    """A finished network. `size`: pixels a side of what it sees; `shift`: float (7,), what its logits lack to presume
    equally frequent classes."""

    network: keras.Model
    size: int
    shift: np.ndarray


class Trainer:
    """A network, its averaged twin, the optimiser, and how far they are: the same on all workers at the end of an epoch."""

    def __init__(self, settings: Settings, train: Dataset, tune: Dataset, workers: Workers | None = None):
        keras.utils.set_random_seed(settings.seed)
        self.settings, self.train, self.tune, self.workers = settings, train, tune, workers or Workers()
        self.training_size = settings.training_size or settings.size
        self.labels = train.labels
        if settings.batch < 1:
            raise ValueError("A batch needs at least one picture.")
        if settings.batch % self.workers.count:
            raise ValueError(
                f"{self.workers.count} workers cannot have equal shares of a batch of {settings.batch}."
            )
        self._check_workers_do_the_same()
        self.steps = max(1, len(self.labels) // settings.batch)
        with self.workers.strategy.scope():  # all workers' variables begin as the chief's
            self.averaged, self.map_layer = build(settings.network, settings.size)
            self.network, _ = build(_scaled(settings, self.training_size), self.training_size)
            self.optimizer = keras.optimizers.AdamW(
                self._schedule(), weight_decay=settings.weight_decay, clipnorm=5.0
            )
            self.optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
            self.optimizer.build(self.network.trainable_variables)
        self._draw_own_dropout()
        self.history: list[Epoch] = []
        self.pictures = tf.constant(train.pictures)
        self.sources = tuple(dict.fromkeys(record.source for record in train.records))
        self.source = np.array([self.sources.index(record.source) for record in train.records])
        several = len(self.sources) > 1 and settings.reduced > 0
        self.reducible, self.reduced = (
            reduced(train) if several else (np.zeros(len(self.labels), bool), self.pictures[:1])
        )
        counts = np.bincount(self.labels, minlength=len(CODES))
        if not counts.all():
            missing = [code for code, count in zip(CODES, counts, strict=True) if not count]
            raise DatasetError(
                f"No training lesion is labelled {', '.join(missing)}: all seven classes are needed."
            )
        # What the finished network's logits presume: the mix of the first source that shows all classes, else of all photos.
        self.mixes = np.stack(
            [
                np.bincount(self.labels[self.source == s], minlength=len(CODES))
                for s in range(len(self.sources))
            ]
        ).astype(float)
        self.prior = next((mix for mix in self.mixes if mix.all()), counts)
        self.prior = self.prior / self.prior.sum()
        self.slots = {
            (s, c): _by_lesion(train.records, np.flatnonzero((self.source == s) & (self.labels == c)))
            for s, c in zip(*np.nonzero(self.mixes), strict=True)
        }
        weights = np.zeros_like(self.mixes)
        for place, lesions in self.slots.items():
            weights[place] = sum(min(len(lesion), MOST_OF_A_LESION) for lesion in lesions)
        shares = weights.sum(1) ** settings.sampling
        self.shares = shares / shares.sum()
        within = np.where(weights > 0, weights**settings.sampling, 0)
        self.drawn = within / within.sum(1, keepdims=True)  # (sources, 7), each row sums to 1
        lacking = np.log(settings.floor) if settings.floor else -1e9
        self.log_drawn = np.where(self.drawn > 0, np.log(np.maximum(self.drawn, 1e-9)), lacking).astype(
            np.float32
        )
        self.speaks = np.array(
            [not settings.taught_sources or name in settings.taught_sources for name in self.sources],
            np.float32,
        )
        if settings.start:
            self._start_from(load(Path(settings.start)))
        if settings.frozen_from:
            self._freeze_as(load(Path(settings.frozen_from)))
        self.teachers = [self._teacher(load(Path(folder))) for folder in settings.teachers]
        self.drawn_size = max([self.training_size, *(teacher.size for teacher in self.teachers)])
        self.averaged.set_weights(self.network.get_weights())
        self.best = self.averaged.get_weights()
        self.step = tf.function(self._step, jit_compile=False)
        self.predict = tf.function(lambda images: self.averaged(images, training=False), jit_compile=False)

    @property
    def score(self) -> float:
        """What the best epoch is chosen by; less is better. The log loss hears every photo, where balanced accuracy and macro
        AUC hang on the ten or twenty of the rarest classes."""
        return min((epoch.tune_log_loss for epoch in self.history), default=math.inf)

    def run_epoch(self) -> Epoch:
        """Train for one epoch, measure on tune lesions, and keep the weights where they are the best so far."""
        number = len(self.history)
        started = time.monotonic()
        losses = []
        bar = tqdm(
            self.batches(number), total=self.steps, desc=f"epoch {number + 1}", disable=None, leave=False
        )
        for batch in bar:
            losses.append(self.step(*batch))
        seconds = time.monotonic() - started
        self._average_statistics()
        figures = self._on_tune()
        for source, own in figures.items():
            print(
                f"  {source or 'tune'}: " + "  ".join(f"{name} {value:.4f}" for name, value in own.items()),
                flush=True,
            )
        mean = {
            name: float(np.mean([own[name] for own in figures.values()]))
            for name in next(iter(figures.values()))
        }
        epoch = Epoch(
            epoch=number + 1,
            loss=float(np.mean(losses)),
            tune_accuracy=mean["accuracy"],
            tune_balanced_accuracy=mean["balanced accuracy"],
            tune_macro_auc=mean["macro AUC"],
            tune_log_loss=mean["log loss"],
            images_per_second=self.steps * self.settings.batch / seconds,
            seconds=time.monotonic() - started,
        )
        # Machines may round differently, but must agree on which epoch is the best, and when to stop.
        _, *values = astuple(epoch)
        [values] = self.workers.mean([tf.constant(values, tf.float64)])
        epoch = Epoch(epoch.epoch, *map(float, values))
        if epoch.tune_log_loss < self.score:
            self.best = self.averaged.get_weights()
        self.history.append(epoch)
        return epoch

    def _on_tune(self) -> dict[str, dict[str, float]]:
        """The figures of the averaged weights on tune lesions, by source: accuracy, balanced accuracy and macro AUC with all classes
        equally frequent, and the log loss at the class mix of the source's training photos, where one temperature, the same
        for all sources, makes the mean of their log losses least."""
        return figures_by_source(
            self.tune, self.logits(self.tune), dict(zip(self.sources, self.mixes, strict=True))
        )

    def batches(self, epoch: int) -> tf.data.Dataset:
        """This worker's share of the epoch's augmented batches: float32 (share, size, size, 3), as large as anyone sees
        them, a teacher or the one that learns, float32 (share, 7), and int32 (share,), the number of each picture's source."""
        order = np.split(self._order(epoch), self.workers.count, axis=1)[self.workers.index]
        pictures, labels = self.pictures, tf.one_hot(self.labels, len(CODES))
        reduced, reducible = self.reduced, tf.constant(self.reducible)
        where_reduced = tf.constant(np.maximum(np.cumsum(self.reducible) - 1, 0), tf.int32)
        sources, shown = tf.constant(self.source, tf.int32), tf.constant(self.drawn > 0, tf.float32)

        def batch(chosen: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            seed = tf.stack(
                [tf.constant(self.settings.seed * 10_000 + epoch, tf.int32), tf.cast(step, tf.int32)]
            )
            chosen_pictures = tf.ensure_shape(tf.gather(pictures, chosen), [None, *pictures.shape[1:]])
            if self.reducible.any():
                coarse = (
                    tf.random.stateless_uniform([tf.shape(chosen)[0]], seed + tf.constant([7, 0]))
                    < self.settings.reduced
                )
                coarse = tf.logical_and(coarse, tf.gather(reducible, chosen))[:, None, None, None]
                instead = tf.gather(reduced, tf.gather(where_reduced, chosen))
                chosen_pictures = tf.where(coarse, instead, chosen_pictures)
            source = tf.gather(sources, chosen)
            images, mixed = augment(
                chosen_pictures,
                tf.gather(labels, chosen),
                self.drawn_size,
                self.settings.augmentation,
                seed,
                tf.gather(shown, source),
                source,
            )
            return images, mixed, source

        numbers = (
            np.arange(self.steps) + self.workers.index * self.steps
        )  # shares are augmented unlike each other
        steps = tf.data.Dataset.from_tensor_slices((order, numbers))
        return steps.map(batch, num_parallel_calls=1, deterministic=True).prefetch(2)

    def logits(self, dataset: Dataset) -> np.ndarray:
        """The averaged network's raw outputs for pictures at the network's size, one view each: float32 (N, 7)."""
        batches = [
            self.predict(tf.constant(dataset.pictures[i : i + 64], tf.float32))
            for i in range(0, len(dataset.labels), 64)
        ]
        return np.concatenate(batches)

    def save(self, path: Path) -> None:
        """Write a checkpoint; a run that dies while writing keeps the one before."""
        arrays = {f"state/{i:04d}": variable.numpy() for i, variable in enumerate(self._state())}
        arrays |= {f"best/{i:04d}": array for i, array in enumerate(self.best)}
        arrays["settings"] = np.array(repr(self.settings))
        arrays["history"] = np.array(
            [[getattr(e, f.name) for f in fields(Epoch)] for e in self.history], np.float64
        )
        unfinished = path.with_suffix(".part.npz")
        np.savez(unfinished, **arrays)
        unfinished.replace(path)

    def restore(self, path: Path) -> bool:
        """Continue from the chief's checkpoint of a run with the same settings; False where it has none. Raises ValueError
        where it does not fit."""
        content = self.workers.from_chief(path.read_bytes() if self.workers.chief and path.exists() else b"")
        if not content:
            return False
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            if str(arrays["settings"]) != repr(self.settings):
                raise ValueError(
                    f"{path} was written with other settings: use the same ones, or another --out.\n  then: "
                    f"{arrays['settings']}\n  now: {self.settings!r}"
                )
            for i, variable in enumerate(self._state()):
                variable.assign(arrays[f"state/{i:04d}"])
            self.best = [arrays[f"best/{i:04d}"] for i in range(len(self.best))]
            self.history = [Epoch(int(row[0]), *map(float, row[1:])) for row in arrays["history"]]
        self._draw_own_dropout()
        return True

    def finished_network(self) -> keras.Model:
        """The best epoch's averaged network, its outputs shifted to the class mix of the first source's training lesions.

        The loss adds the log of the mix that was drawn from a photo's source (balanced softmax), so what is learned presumes
        equally frequent classes; the head's bias gets log(prior) (Saerens 2002, doi:10.1162/089976602753284446), so that
        softmax of the logits presumes `prior`.
        """
        self.averaged.set_weights(self.best)
        bias = self.averaged.get_layer("logits").bias
        bias.assign(bias + np.log(self.prior))
        return self.averaged

    def _check_workers_do_the_same(self) -> None:
        photos = [
            (record.source, record.image_id, record.dx)
            for record in (*self.train.records, *self.tune.records)
        ]
        own = hashlib.sha256(repr((self.settings, photos)).encode()).digest()
        if self.workers.from_chief(own) != own:
            raise ValueError(f"Worker {self.workers.index} has other settings or photos than worker 0.")

    def _draw_own_dropout(self) -> None:
        """Drop other units than the other workers: the chief's random states, which all begin with, are changed."""
        for layer in self.network.layers:
            if isinstance(layer, keras.layers.Dropout) and layer.rate:
                layer.seed_generator.state.assign_add([self.workers.index, 0])

    def _average_statistics(self) -> None:
        """Let all workers have the mean of their BatchNorm statistics, each of which has heard of its own pictures alone."""
        statistics = [
            variable
            for network in (self.network, self.averaged)
            for layer in network.layers
            if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
            for variable in (layer.moving_mean, layer.moving_variance)
        ]
        means = self.workers.mean([tf.convert_to_tensor(variable) for variable in statistics])
        for variable, mean in zip(statistics, means, strict=True):
            variable.assign(mean)

    def _start_from(self, model: Classifier) -> None:
        """Take over another model's weights, its head shifted back to equally frequent classes.

        Raises ValueError where it is another network.
        """
        theirs, ours = ([(v.path, v.shape) for v in n.weights] for n in (model.network, self.network))
        if theirs != ours:
            raise ValueError(f"{model.folder} holds another network than the one to be trained.")
        self.network.set_weights(model.network.get_weights())
        bias = self.network.get_layer("logits").bias
        bias.assign(bias - np.log(np.asarray(model.configuration.prior)))

    def _freeze_as(self, model: Classifier) -> None:
        """Take over the layers that are not trained from another model. Raises ValueError where it lacks them."""
        for layer in (layer for layer in self.network.layers if not layer.trainable):
            try:
                layer.set_weights(model.network.get_layer(layer.name).get_weights())
            except ValueError:
                raise ValueError(f"{model.folder} has no layer {layer.name} of that shape.") from None

    def _schedule(self) -> keras.optimizers.schedules.LearningRateSchedule:
        warmup = round(self.settings.warmup * self.steps)
        return keras.optimizers.schedules.CosineDecay(
            self.settings.rate / 100,
            max(1, self.settings.epochs * self.steps - warmup),
            alpha=0.01,  # of the peak: the cosine ends where the warm-up began
            warmup_target=self.settings.rate,
            warmup_steps=warmup,
        )

    def _order(self, epoch: int) -> np.ndarray:
        """int64 (steps, batch): which training images an epoch shows. Each class of a source goes through all its lesions in turn,
        and shows at most MOST_OF_A_LESION photos of each in one turn."""
        generator = np.random.default_rng([self.settings.seed, epoch])
        total = self.steps * self.settings.batch
        kinds = generator.permutation(_rounded_shares((self.shares[:, None] * self.drawn).ravel(), total))
        order = np.empty(total, np.int64)
        for (source, label), lesions in self.slots.items():
            places = np.flatnonzero(kinds == source * len(CODES) + label)
            members: list[int] = []
            while len(members) < len(places):
                turn = [i for lesion in lesions for i in generator.permutation(lesion)[:MOST_OF_A_LESION]]
                members += generator.permutation(turn).tolist()
            order[places] = members[: len(places)]
        return order.reshape(self.steps, self.settings.batch)

    def _teacher(self, model: Classifier) -> Teacher:
        # Larger than the one that learns, or smaller, in the same proportion as at prediction.
        in_proportion = round(model.configuration.input_size * self.training_size / self.settings.size)
        size = min(in_proportion, max(self.settings.teachers_size, self.training_size))
        folded = keras.Model(model.folded.inputs[0], model.folded.outputs[1])
        network = keras.models.clone_model(folded, input_tensors=keras.Input((size, size, 3)))
        network.set_weights(folded.get_weights())
        return Teacher(network, size, -np.log(np.asarray(model.configuration.prior)))

    def _taught(self, images: tf.Tensor, labels: tf.Tensor, sources: tf.Tensor) -> tf.Tensor:
        """Labels mixed with what the teachers say of these very pictures, mixed ones included ("patient and consistent":
        Beyer 2022, arXiv:2106.05237), at the class mix that was drawn from the picture's source, and none of it on classes
        that the source lacks."""
        mix = tf.gather(tf.constant(np.log(np.maximum(self.drawn, 1e-30)), tf.float32), sources)
        told = tf.add_n(
            [
                tf.nn.softmax(
                    teacher.network(_reduced(images, teacher.size), training=False) + teacher.shift + mix
                )
                for teacher in self.teachers
            ]
        ) / len(self.teachers)
        share = self.settings.taught * tf.gather(tf.constant(self.speaks), sources)[:, None]
        return (1 - share) * labels + share * told

    def _step(self, images: tf.Tensor, labels: tf.Tensor, sources: tf.Tensor) -> tf.Tensor:
        if self.teachers:
            labels = self._taught(images, labels, sources)
        # After the teachers, whose word on a picture that is unharmed is worth more; and before it is reduced, as in run 7:
        # the same noise is far stronger on 78 pixels a side than on 176 that are reduced to them.
        number = tf.cast(self.optimizer.iterations, tf.int32) * self.workers.count + self.workers.index
        images = degraded(images, self.settings.augmentation, tf.stack([self.settings.seed, number]))
        images = _reduced(images, self.training_size)
        own = self.workers.strategy.run(self._loss_and_gradients, (images, labels, sources))
        loss, *gradients = self.workers.mean(own)
        self.optimizer.apply(gradients, self.network.trainable_variables)
        done = tf.cast(self.optimizer.iterations, tf.float32)
        # Young averages forget the start quickly.
        decay = tf.minimum(self.settings.averaging, (1 + done) / (10 + done))
        for average, variable in zip(self.averaged.weights, self.network.weights, strict=True):
            average.assign(average + (1 - decay) * (variable - average))
        return loss

    def _loss_and_gradients(
        self, images: tf.Tensor, labels: tf.Tensor, sources: tf.Tensor
    ) -> list[tf.Tensor]:
        """Cross-entropy after the log of the class mix drawn from each picture's source is added to the logits (balanced softmax:
        Ren 2020, arXiv:2007.10740; Menon 2021, arXiv:2007.07314): a network that knows the source gains nothing by it."""
        with tf.GradientTape() as tape:
            logits = self.network(images, training=True) + tf.gather(tf.constant(self.log_drawn), sources)
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels, logits))
        return [loss, *tape.gradient(loss, self.network.trainable_variables)]

    def _state(self) -> list[Any]:
        """Everything that the next step depends on, random states of the dropout layers included."""
        return [*self.network.variables, *self.averaged.weights, *self.optimizer.variables]


def _scaled(settings: Settings, size: int) -> CnnSettings | EfficientNetLiteSettings:
    """The same network for pictures of another size: what it enlarges to grows with them."""
    if isinstance(settings.network, CnnSettings):
        return settings.network
    network = settings.network
    enlarged = network.training_enlarge_to or round(network.enlarge_to * size / settings.size)
    return replace(network, enlarge_to=enlarged)


def _reduced(images: tf.Tensor, size: int) -> tf.Tensor:
    """float32 (N, S, S, 3) in [0, 255] -> float32 (N, size, size, 3) in [0, 255]."""
    if images.shape[1] == size:
        return images
    return tf.clip_by_value(tf.image.resize(images, [size, size], method="bicubic", antialias=True), 0, 255)


def _by_lesion(records: Sequence[Record], chosen: np.ndarray) -> list[list[int]]:
    """The chosen records' indices, a list for each lesion."""
    lesions: dict[str, list[int]] = {}
    for index in chosen:
        lesions.setdefault(records[index].lesion_id, []).append(int(index))
    return list(lesions.values())


def reduced(dataset: Dataset) -> tuple[np.ndarray, tf.Tensor]:
    """The photos of more than SMALL pixels a side once more, as a source of thumbnails would show them: reduced to SMALL pixels,
    compressed by JPEG, enlarged again, so that sharpness does not tell where a photo comes from.

    Returns bool (N,), which photos these are, and uint8 (M, S, S, 3), the M of them.
    """
    reducible = np.array([record.side > SMALL * 1.2 for record in dataset.records])

    def one(index: int) -> np.ndarray:
        picture = Image.fromarray(dataset.pictures[index])
        file = io.BytesIO()
        picture.resize((SMALL, SMALL), Image.Resampling.BOX).save(file, "JPEG", quality=75)
        return np.asarray(Image.open(file).resize(picture.size, Image.Resampling.BICUBIC))

    with ThreadPoolExecutor(2) as pool:
        pictures = list(pool.map(one, np.flatnonzero(reducible)))
    return reducible, tf.constant(np.stack(pictures) if pictures else dataset.pictures[:1])


def _rounded_shares(shares: np.ndarray, total: int) -> np.ndarray:
    """int64 (total,) of indices, each in its share."""
    edges = np.round(np.cumsum(shares) * total).astype(int)
    return np.repeat(np.arange(len(shares)), np.diff(edges, prepend=0))


def at_size(dataset: Dataset, settings: Settings) -> Dataset:
    """The same records as the app would see them: read again from their files through `to_pixels`."""
    if not dataset.records:
        raise DatasetError("No lesion is left for validation: at least one class must have three lesions.")
    pictures = [to_pixels(r.photo(), settings.size, settings.resampling) for r in dataset.records]
    return Dataset(dataset.records, np.stack(pictures))
