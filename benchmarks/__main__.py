"""Times of one photo in a warm process, each beside a bare traced forward pass in the same run.

python -m benchmarks [--model DIR]      # a minute on two cores
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from skinapp.classifier import load
from skinapp.models import ModelError, default_model
from skinapp.preprocess import to_input
from skinapp.saliency import METHODS, explain

ROUNDS = 100


def milliseconds(work: Callable[[], object]) -> list[float]:
    """Sorted times of ROUNDS calls, after ten that do not count."""
    times = []
    for turn in range(ROUNDS + 10):
        started = time.perf_counter()
        work()
        if turn >= 10:
            times.append(1000 * (time.perf_counter() - started))
    return sorted(times)


def main() -> int:
    parser = argparse.ArgumentParser(description="Time prediction and map against a bare forward pass.")
    parser.add_argument("--model", type=Path, help="a model folder (default: SKINAPP_MODEL or model/fast)")
    options = parser.parse_args()
    try:
        classifier = load(options.model or default_model())
    except ModelError as error:
        print(error, file=sys.stderr)
        return 2
    noise = np.random.default_rng(0).integers(0, 256, (450, 600, 3), dtype=np.uint8)
    photo = Image.fromarray(noise)
    configuration = classifier.configuration
    batch = tf.constant(to_input(photo, configuration.input_size, configuration.resampling))
    one_view = tf.function(lambda x: classifier.network(x, training=False), jit_compile=False)

    rows = {
        f"bare traced forward pass, {configuration.views} views": lambda: classifier.forward(batch)[
            1
        ].numpy(),
        "the same, one view": lambda: one_view(batch).numpy(),
        "prediction (600x450 picture to probabilities)": lambda: classifier(photo),
        f"prediction and {METHODS[configuration.map_method]}": lambda: explain(
            classifier, classifier(photo), "mel"
        ),
    }
    print(
        f"{classifier.title}, {ROUNDS} rounds, milliseconds\n{'':48}{'median':>8}{'5 %':>8}{'95 %':>8}{'ratio':>8}"
    )
    bare = None
    for name, work in rows.items():
        times = milliseconds(work)
        median = statistics.median(times)
        bare = bare or median
        print(f"{name:48}{median:8.1f}{times[5]:8.1f}{times[-6]:8.1f}{median / bare:8.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
