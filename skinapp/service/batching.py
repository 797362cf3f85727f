"""One thread runs the networks over all photos that wait: many requests at once cost little more than a few."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from skinapp.service.metrics import BATCH_PHOTOS, PHASE_SECONDS

if TYPE_CHECKING:  # importing it for real loads TensorFlow
    from skinapp.network.classifier import Classifier, Prediction

MOST_TOGETHER = 16  # photos in one run: times eight views, what two cores digest best


@dataclass
class _Waiting:
    classifier: Classifier
    pixels: np.ndarray  # uint8 (S, S, 3)
    answer: Future[Prediction] = field(default_factory=Future)
    since: float = field(default_factory=time.perf_counter)


class Batcher:
    """Runs what waits. A photo that comes while nothing runs is run at once, alone; those that come meanwhile, together."""

    def __init__(self) -> None:
        self._queue: deque[_Waiting] = deque()
        self._filled = threading.Condition()
        threading.Thread(target=self._run, name="network", daemon=True).start()

    def predict(self, pixels: np.ndarray, classifier: Classifier, seconds: float) -> Prediction:
        """What the classifier says of a photo. pixels: uint8 (S, S, 3) from `to_pixels`. Raises TimeoutError after `seconds`."""
        waiting = _Waiting(classifier, pixels)
        with self._filled:
            self._queue.append(waiting)
            self._filled.notify()
        try:
            return waiting.answer.result(seconds)
        except TimeoutError:
            waiting.answer.cancel()  # nobody waits for it: the network need not see it
            raise

    def _run(self) -> None:
        while True:
            together = self._next()
            start = time.perf_counter()
            for waiting in together:
                PHASE_SECONDS.labels("queue").observe(start - waiting.since)
            _answer(together)
            PHASE_SECONDS.labels("network").observe(time.perf_counter() - start)
            BATCH_PHOTOS.observe(len(together))

    def _next(self) -> list[_Waiting]:
        """The photos that have waited longest, all for the same network; waits where there are none."""
        with self._filled:
            while True:
                while not self._queue:
                    self._filled.wait()
                first = self._queue[0].classifier
                together: list[_Waiting] = []
                others: list[_Waiting] = []
                while self._queue and len(together) < MOST_TOGETHER:
                    waiting = self._queue.popleft()
                    if waiting.classifier is not first:
                        others.append(waiting)
                    elif waiting.answer.set_running_or_notify_cancel():
                        together.append(waiting)
                self._queue.extendleft(reversed(others))
                if together:
                    return together


def _answer(together: list[_Waiting]) -> None:
    """Run the network once; where that fails, once a photo, so that one cannot spoil the others' answers."""
    try:
        pixels = np.stack([waiting.pixels for waiting in together])
        predictions = together[0].classifier.many(pixels.astype(np.float32))
    except Exception as error:  # noqa: BLE001  # whatever it is, somebody waits for an answer
        if len(together) == 1:
            together[0].answer.set_exception(error)
            return
        for waiting in together:
            _answer([waiting])
        return
    for waiting, prediction in zip(together, predictions, strict=True):
        waiting.answer.set_result(prediction)
