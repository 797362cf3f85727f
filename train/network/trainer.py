"""One training run: settings, state, an epoch, a checkpoint.

Everything drawn at random comes from (seed, epoch, step), and the worker where there are several, so that a resumed run
sees the same pictures in the same order.
"""

import hashlib
import io
import math
import time
from dataclasses import astuple, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss
from tqdm import tqdm

from skinapp.figures.evaluation import macro_auc
from skinapp.lesions import CODES
from skinapp.network.classifier import Classifier, load
from skinapp.network.configuration import probabilities
from skinapp.photo.preprocess import open_photo, to_pixels
from train.dataset import Dataset, DatasetError
from train.network.architectures import CnnSettings, EfficientNetLiteSettings, build
from train.network.augment import Augmentation, augment, degraded
from train.network.workers import Workers
from train.probabilities.calibrate import fit_temperature


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
    resampling: str = "bicubic"  # the filter whose sharpness is nearest to that of the augmented pictures
    intermediate: int = 160  # pixels a side of what augmentation cuts from: then about as sharp as the input
    epochs: int = 20
    batch: int = 64
    rate: float = 5e-4  # peak of AdamW's learning rate
    weight_decay: float = 0.02
    warmup: float = 1.0  # epochs of linear growth before the cosine
    sampling: float = 0.5  # classes are drawn in proportion to count ** sampling: 1 as they are, 0 all alike
    averaging: float = 0.998  # decay per step of the weights' exponential moving average
    patience: int = 10  # epochs without a lower log loss on tune lesions before the run stops early
    views: int = 8  # mirrored and turned copies averaged at prediction
    seed: int = 1


@dataclass(frozen=True)
class Epoch:
    """One line of history.csv; the validation figures are the averaged weights' on tune lesions, one view, and presume
    the class mix in which training draws its pictures."""

    epoch: int
    loss: float
    tune_accuracy: float
    tune_balanced_accuracy: float
    tune_macro_auc: float
    tune_log_loss: float  # at the training photos' class mix, temperature fitted
    images_per_second: float
    seconds: float


@dataclass(frozen=True)
class Teacher:
    """A finished network. `size`: pixels a side of what it sees; `shift`: float (7,), what its logits lack to presume the
    class mix that training draws."""

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
        counts = np.bincount(self.labels, minlength=len(CODES))
        if not counts.all():
            missing = [code for code, count in zip(CODES, counts, strict=True) if not count]
            raise DatasetError(
                f"No training lesion is labelled {', '.join(missing)}: all seven classes are needed."
            )
        self.prior = counts / counts.sum()
        self.drawn = self.prior**settings.sampling / (self.prior**settings.sampling).sum()
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
        for images, labels in bar:
            losses.append(self.step(images, labels))
        seconds = time.monotonic() - started
        self._average_statistics()
        scores = self.logits(self.tune)
        drawn_probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(scores))
        natural = scores + np.log(self.prior / self.drawn)
        temperature = fit_temperature(self.tune.labels, natural, 0.0, self.prior)
        shown = probabilities(natural, temperature, 0.0, self.prior)
        epoch = Epoch(
            epoch=number + 1,
            loss=float(np.mean(losses)),
            tune_accuracy=float(accuracy_score(self.tune.labels, scores.argmax(1))),
            tune_balanced_accuracy=float(balanced_accuracy_score(self.tune.labels, scores.argmax(1))),
            tune_macro_auc=macro_auc(self.tune.labels, drawn_probabilities) or 0.0,
            tune_log_loss=float(log_loss(self.tune.labels, shown, labels=range(len(CODES)))),
            images_per_second=self.steps * self.settings.batch / seconds,
            seconds=time.monotonic() - started,
        )
        # Machines may round differently, but must agree on which epoch is the best, and when to stop.
        _, *figures = astuple(epoch)
        [figures] = self.workers.mean([tf.constant(figures, tf.float64)])
        epoch = Epoch(epoch.epoch, *map(float, figures))
        if epoch.tune_log_loss < self.score:
            self.best = self.averaged.get_weights()
        self.history.append(epoch)
        return epoch

    def batches(self, epoch: int) -> tf.data.Dataset:
        """This worker's share of the epoch's augmented batches: float32 (share, size, size, 3), as large as anyone sees
        them, a teacher or the one that learns, and float32 (share, 7)."""
        order = np.split(self._order(epoch), self.workers.count, axis=1)[self.workers.index]
        pictures, labels = self.pictures, tf.one_hot(self.labels, len(CODES))

        def batch(chosen: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            seed = tf.stack(
                [tf.constant(self.settings.seed * 10_000 + epoch, tf.int32), tf.cast(step, tf.int32)]
            )
            chosen_pictures = tf.ensure_shape(tf.gather(pictures, chosen), [None, *pictures.shape[1:]])
            return augment(
                chosen_pictures,
                tf.gather(labels, chosen),
                self.drawn_size,
                self.settings.augmentation,
                seed,
            )

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
        """The best epoch's averaged network, its outputs shifted to the class mix of the training lesions.

        Training draws rare classes more often than they occur; shifting the head's bias by log(prior / drawn) undoes that
        (Saerens 2002, doi:10.1162/089976602753284446), so that softmax of the logits presumes `prior`.
        """
        self.averaged.set_weights(self.best)
        bias = self.averaged.get_layer("logits").bias
        bias.assign(bias + np.log(self.prior / self.drawn))
        return self.averaged

    def _check_workers_do_the_same(self) -> None:
        photos = [(record.image_id, record.dx) for record in (*self.train.records, *self.tune.records)]
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
        """Take over another model's weights, its head shifted back to the class mix that training draws.

        Raises ValueError where it is another network.
        """
        theirs, ours = ([(v.path, v.shape) for v in n.weights] for n in (model.network, self.network))
        if theirs != ours:
            raise ValueError(f"{model.folder} holds another network than the one to be trained.")
        self.network.set_weights(model.network.get_weights())
        bias = self.network.get_layer("logits").bias
        bias.assign(bias - np.log(np.asarray(model.configuration.prior) / self.drawn))

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
        """int64 (steps, batch): which training images an epoch shows, each class going through all its images in turn."""
        generator = np.random.default_rng([self.settings.seed, epoch])
        total = self.steps * self.settings.batch
        classes = generator.permutation(_rounded_shares(self.drawn, total))
        order = np.empty(total, np.int64)
        for index in range(len(CODES)):
            places = np.flatnonzero(classes == index)
            members = np.flatnonzero(self.labels == index)
            rounds = [generator.permutation(members) for _ in range(math.ceil(len(places) / len(members)))]
            if rounds:
                order[places] = np.concatenate(rounds)[: len(places)]
        return order.reshape(self.steps, self.settings.batch)

    def _teacher(self, model: Classifier) -> Teacher:
        # Larger than the one that learns, or smaller, in the same proportion as at prediction.
        in_proportion = round(model.configuration.input_size * self.training_size / self.settings.size)
        size = min(in_proportion, max(self.settings.teachers_size, self.training_size))
        folded = keras.Model(model.folded.inputs[0], model.folded.outputs[1])
        network = keras.models.clone_model(folded, input_tensors=keras.Input((size, size, 3)))
        network.set_weights(folded.get_weights())
        return Teacher(network, size, np.log(self.drawn / np.asarray(model.configuration.prior)))

    def _taught(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Labels mixed with what the teachers say of these very pictures, mixed ones included ("patient and consistent":
        Beyer 2022, arXiv:2106.05237)."""
        told = tf.add_n(
            [
                tf.nn.softmax(teacher.network(_reduced(images, teacher.size), training=False) + teacher.shift)
                for teacher in self.teachers
            ]
        ) / len(self.teachers)
        return (1 - self.settings.taught) * labels + self.settings.taught * told

    def _step(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        if self.teachers:
            labels = self._taught(images, labels)
        # After the teachers, whose word on a picture that is unharmed is worth more; and before it is reduced, as in run 7:
        # the same noise is far stronger on 78 pixels a side than on 176 that are reduced to them.
        number = tf.cast(self.optimizer.iterations, tf.int32) * self.workers.count + self.workers.index
        images = degraded(images, self.settings.augmentation, tf.stack([self.settings.seed, number]))
        images = _reduced(images, self.training_size)
        own = self.workers.strategy.run(self._loss_and_gradients, (images, labels))
        loss, *gradients = self.workers.mean(own)
        self.optimizer.apply(gradients, self.network.trainable_variables)
        done = tf.cast(self.optimizer.iterations, tf.float32)
        # Young averages forget the start quickly.
        decay = tf.minimum(self.settings.averaging, (1 + done) / (10 + done))
        for average, variable in zip(self.averaged.weights, self.network.weights, strict=True):
            average.assign(average + (1 - decay) * (variable - average))
        return loss

    def _loss_and_gradients(self, images: tf.Tensor, labels: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            logits = self.network(images, training=True)
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


def _rounded_shares(shares: np.ndarray, total: int) -> np.ndarray:
    """int64 (total,) of indices, each in its share."""
    edges = np.round(np.cumsum(shares) * total).astype(int)
    return np.repeat(np.arange(len(shares)), np.diff(edges, prepend=0))


def at_size(dataset: Dataset, settings: Settings) -> Dataset:
    """The same records as the app would see them: read again from their files through `to_pixels`."""
    if not dataset.records:
        raise DatasetError("No lesion is left for validation: at least one class must have three lesions.")
    pictures = [to_pixels(open_photo(r.path), settings.size, settings.resampling) for r in dataset.records]
    return Dataset(dataset.records, np.stack(pictures))
