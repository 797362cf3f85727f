"""Photos per second of a folder, from files to rows, beside the bare batched network in the same run: decoding and all else
must not be what limits.

python -m benchmarks.folder [--photos 256] [--model DIR]      # half a minute on two cores
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from skinapp.batch import read_many
from skinapp.classifier import BATCH, load
from skinapp.models import ModelError, default_model
from skinapp.rows import Row
from skinapp.sources import gather

SIZE = (600, 450)  # as the photos of HAM10000
ROUNDS = 5  # in turns, because the machine's speed drifts


def main() -> int:
    parser = argparse.ArgumentParser(description="Time a folder against the bare batched network.")
    parser.add_argument("--photos", type=int, default=256, help="in the folder, a multiple of 16")
    parser.add_argument("--model", type=Path, help="a model folder (default: SKINAPP_MODEL or model/fast)")
    options = parser.parse_args()
    try:
        classifier = load(options.model or default_model())
    except ModelError as error:
        print(error, file=sys.stderr)
        return 2
    count, size = options.photos, classifier.configuration.input_size
    batch = np.random.default_rng(0).uniform(0, 255, (BATCH, size, size, 3)).astype(np.float32)

    def bare() -> None:
        for _ in range(count // BATCH):
            classifier.forward(batch)[1].numpy()

    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            coarse = np.random.default_rng(number).integers(0, 256, (45, 60, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC).save(
                Path(folder, f"{number}.jpg"), quality=95
            )

        def scored() -> None:
            names = (source.name for source in gather([Path(folder)]))
            for name, result in zip(names, read_many(gather([Path(folder)]), classifier), strict=True):
                Row.of(name, result)

        def speed(work: Callable[[], None]) -> float:
            started = time.perf_counter()
            work()
            return count / (time.perf_counter() - started)

        scored()  # warms up
        rounds = [(speed(scored), speed(bare)) for _ in range(ROUNDS)]
    ratios = sorted(folder / network for folder, network in rounds)
    ours, theirs = (sorted(column)[ROUNDS // 2] for column in zip(*rounds, strict=True))
    print(
        f"{classifier.title}: {ours:.1f} photos/s from a folder, {theirs:.1f} through the bare network in batches of {BATCH}: "
        f"{ratios[ROUNDS // 2]:.0%} [{ratios[0]:.0%}, {ratios[-1]:.0%}]"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
