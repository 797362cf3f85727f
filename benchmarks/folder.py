"""What a photo of a folder costs, from file to row, beside the bare batched network in the same run: decoding and all
else must not be what limits.

python -m benchmarks.folder [--photos 128] [--model DIR]      # half a minute on two cores
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


def draw_folder(folder: Path, count: int) -> None:
    """Write JPEGs of coloured noise there, of about the bytes that a photo of this size has."""
    for number in range(count):
        coarse = np.random.default_rng(number).integers(0, 256, (45, 60, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC).save(
            folder / f"{number}.jpg", quality=95
        )


def main() -> int:
    parser = argparse.ArgumentParser(description="Time a folder against the bare batched network.")
    parser.add_argument("--photos", type=int, default=128, help="in the folder, a multiple of 16")
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
        draw_folder(Path(folder), count)

        def scored() -> None:
            names = (source.name for source in gather([Path(folder)]))
            for name, result in zip(names, read_many(gather([Path(folder)]), classifier), strict=True):
                Row.of(name, result)

        def cost(work: Callable[[], None]) -> tuple[float, float]:
            """Seconds a photo: of the clock, and of all cores together, which other programs disturb less."""
            started, worked = time.perf_counter(), time.process_time()
            work()
            return (time.perf_counter() - started) / count, (time.process_time() - worked) / count

        scored()  # warms up
        rounds = [(cost(scored), cost(bare)) for _ in range(ROUNDS)]
    print(f"{classifier.title}, {ROUNDS} rounds of {count} photos, milliseconds a photo")
    for name, which in (("clock", 0), ("all cores", 1)):
        ours, theirs = (sorted(side[which] for side in sides) for sides in zip(*rounds, strict=True))
        ratios = sorted(network[which] / folder[which] for folder, network in rounds)
        print(
            f"{name:10} folder {1000 * ours[ROUNDS // 2]:6.1f}, bare network in batches of {BATCH} "
            f"{1000 * theirs[ROUNDS // 2]:6.1f}: {ratios[ROUNDS // 2]:.0%} [{ratios[0]:.0%}, {ratios[-1]:.0%}]"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
