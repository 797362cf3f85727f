"""What a photo costs the network among others, from pixels to logits, as `Classifier.logits` cuts them into batches.

python -m benchmarks.batches      # a minute on two cores
"""

import sys
from collections.abc import Iterator

import numpy as np

from benchmarks.photo import bare_network
from benchmarks.table import Line, command, compared
from skinapp.network.classifier import load
from skinapp.network.folders import default_model

COUNTS = (1, 4, 16, 64, 256)
PHOTOS = 128  # in all rounds together, but three rounds at least


def lines(photos: int = PHOTOS, counts: tuple[int, ...] = COUNTS) -> Iterator[Line]:
    """A line for each number of photos."""
    classifier = load(default_model())
    bare, size = bare_network(classifier), classifier.configuration.input_size
    for count in counts:
        pictures = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
        alone = min(count, 16)
        yield compared(
            f"network, {count} photos at once, each",
            lambda pictures=pictures: classifier.logits(pictures),
            lambda alone=alone: [bare() for _ in range(alone)],
            max(3, photos // count),
            count,
            alone,
        )


if __name__ == "__main__":
    sys.exit(command(__doc__, lines))
