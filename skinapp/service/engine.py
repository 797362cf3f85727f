"""Loads TensorFlow and the models in the background, once the page can be painted, and reads photos with them."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from PIL import Image

from skinapp.lesions import CODES
from skinapp.network.folders import model_folders, title
from skinapp.photo.files import PhotoError
from skinapp.photo.preprocess import ENOUGH, Frame, open_photo
from skinapp.service.batching import Batcher
from skinapp.service.metrics import PHASE_SECONDS, PHOTOS, WAITING
from skinapp.service.settings import Settings

if TYPE_CHECKING:  # importing them for real loads TensorFlow
    from skinapp.network.classifier import Classifier
    from skinapp.reading import Prepared, Reading

Shown = TypeVar("Shown")

# Seconds for whoever waits for the page: importing TensorFlow stops all else again and again.
HEAD_START = 0.5
# Single photos unpacked at once, and a batch unpacks as many beside them. One of 50 megapixels takes 0.4 GB, 0.8 with
# transparent parts, 1.2 as lossless WebP; most take a few MB.
DECODERS = os.cpu_count() or 1


class UnknownModel(ValueError):
    """A model name that is not on offer; its text names those that are."""


class Busy(PhotoError):
    """More photos wait than will be read soon; its text says when to try again, `seconds` as a number."""

    def __init__(self, seconds: int):
        super().__init__(f"The service is busy: try again in {seconds} s.")
        self.seconds = seconds


class Engine:
    """The models on offer, which `load` loads. `names`: the default first; `choices`: (title, name). Raises ModelError where there is none."""

    def __init__(self, settings: Settings | None = None) -> None:
        folders = model_folders()
        self.settings = settings or Settings()
        self._folders = folders
        self.names = list(folders)
        self.choices = [(title(folder), name) for name, folder in folders.items()]
        self._classifiers: Future[dict[str, Classifier]] = Future()
        self._batcher = Batcher()
        self._decoders = threading.Semaphore(DECODERS)
        self._guard = threading.Lock()
        self._inside = 0
        self._seconds_each = 0.1  # between two answers while photos wait; measured as they come

    def load(self) -> None:
        """Load the models in a thread, soon. To be called once, when the page can be had: importing TensorFlow while it is
        built would more than double what that takes."""
        loading = threading.Timer(HEAD_START, self._load)
        loading.daemon = True
        loading.start()

    @property
    def ready(self) -> bool:
        """Whether the models are loaded and have given their known answers."""
        return self._classifiers.done()

    def classifier(self, model: str) -> Classifier:
        """A model, as soon as it is loaded. model: one of `names`. Raises UnknownModel."""
        if model not in self.names:
            raise UnknownModel(
                f"There is no model {model!r}: the names on offer are {', '.join(self.names)}."
            )
        return self._classifiers.result()[model]

    def read(self, photo: str | bytes, model: str) -> Reading:
        """Read a photo's largest centred square. Arguments and errors as for `read_and_show`."""
        return self.read_and_show(photo, model, Frame(), lambda _: None)[0]

    def read_and_show(
        self, photo: str | bytes, model: str, frame: Frame, show: Callable[[Image.Image], Shown]
    ) -> tuple[Reading, Shown]:
        """Read a photo, as soon as the models are loaded. photo: its path or its bytes; model: one of `names`; frame: the part
        that is read; show: makes of the whole decoded photo, which is not kept, what else is wanted of it.

        Photos that wait at the same time go through the network together. Raises PhotoError (of it Busy, where too many
        wait or the settings' time is over) and UnknownModel.
        """
        with self._counted():
            classifier = self.classifier(model)
            from skinapp.reading import reading_of

            with self._decoders, _timed("decode"):
                prepared, shown = _prepared(photo, classifier, frame, show)
            try:
                prediction = self._batcher.predict(prepared.pixels, classifier, self.settings.request_seconds)
            except TimeoutError:
                raise Busy(self._wait()) from None
            return reading_of(prepared, prediction, classifier), shown

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Counts a photo while it is worked on and what became of it. Raises Busy where there are too many."""
        with self._guard:
            if self._inside >= self.settings.waiting:
                PHOTOS.labels("busy").inc()
                raise Busy(self._wait())
            self._inside += 1
            before = self._inside
        WAITING.inc()
        start, outcome = time.perf_counter(), "failed"
        try:
            yield
            outcome = "read"
            each = (time.perf_counter() - start) / before
            self._seconds_each += 0.1 * (each - self._seconds_each)
        except PhotoError as error:
            outcome = "busy" if isinstance(error, Busy) else "refused"
            raise
        finally:
            with self._guard:
                self._inside -= 1
            WAITING.dec()
            PHOTOS.labels(outcome).inc()

    def _wait(self) -> int:
        """Seconds until half of what waits is likely to be read."""
        return max(1, math.ceil(self._seconds_each * self.settings.waiting / 2))

    def _load(self) -> None:
        try:
            self._classifiers.set_result(_load(self._folders))
        except Exception as error:  # noqa: BLE001  # whatever it is, there is nothing to serve then
            print(f"skinapp cannot start: {error}", file=sys.stderr, flush=True)
            # From a thread, nothing gentler ends the server; the upload folder goes at the next start.
            os._exit(1)


def _prepared(
    photo: str | bytes, classifier: Classifier, frame: Frame, show: Callable[[Image.Image], Shown]
) -> tuple[Prepared, Shown]:
    """In a function of its own, so that the decoded photo goes before the network's turn comes."""
    from skinapp.reading import prepare

    decoded = open_photo(photo, round(ENOUGH / frame.side))  # pixels of the whole, for enough of the part
    return prepare(decoded, classifier, frame), show(decoded)


def _load(folders: dict[str, Path]) -> dict[str, Classifier]:
    """Load every model, check its known answer and warm it up, map included, so that the first photo waits for nothing."""
    from skinapp.network import known_answer
    from skinapp.network.classifier import load
    from skinapp.network.saliency import explain

    classifiers = {name: load(folder) for name, folder in folders.items()}
    for classifier in classifiers.values():
        known_answer.check(classifier)
        explain(classifier, classifier(Image.new("RGB", (256, 256), "grey")), CODES[0])
    return classifiers


@contextmanager
def _timed(phase: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
        yield
    finally:
        PHASE_SECONDS.labels(phase).observe(time.perf_counter() - start)
