"""Many photos through the network: decoded in threads, classified in batches, answered in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import numpy as np

from skinapp.network.classifier import BATCH, Classifier
from skinapp.photo.preprocess import PhotoError, open_photo
from skinapp.photo.sources import Source
from skinapp.reading import Prepared, Reading, prepare, reading_of

AHEAD = 2 * BATCH  # photos decoded or being decoded: one batch waits while another is in the network
THREADS = min(8, os.cpu_count() or 1)  # a large photo takes 150 MB while it is decoded


def read_many(
    sources: Iterable[Source], classifier: Classifier, threads: int = THREADS
) -> Iterator[Reading | str]:
    """Read photos one after the other. Yields, in order, a Reading for each source, or the sentence of its error.

    The numbers are those of `read`. No more than AHEAD photos are held at a time, however many there are, and `sources` is
    drawn from no faster. threads: that fetch and decode photos. Closing the iterator stops the work after the photos in hand.
    """
    waiting: deque[Future[Prepared | str]] = deque()
    remaining = iter(sources)
    with ThreadPoolExecutor(threads) as pool:
        try:
            while True:
                for source in islice(remaining, AHEAD - len(waiting)):
                    waiting.append(pool.submit(_prepared, source, classifier))
                if not waiting:
                    return
                yield from _batch(
                    [waiting.popleft().result() for _ in range(min(BATCH, len(waiting)))], classifier
                )
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _prepared(source: Source, classifier: Classifier) -> Prepared | str:
    try:
        return prepare(open_photo(source.content()), classifier)
    except PhotoError as error:
        return str(error)
    except MemoryError:
        return "This photo needs more memory than there is: save it as a smaller JPEG."


def _batch(results: list[Prepared | str], classifier: Classifier) -> Iterator[Reading | str]:
    photos = [result for result in results if isinstance(result, Prepared)]
    predictions = iter(
        classifier.many(np.stack([photo.pixels for photo in photos]).astype(np.float32)) if photos else ()
    )
    for result in results:
        yield result if isinstance(result, str) else reading_of(result, next(predictions), classifier)
