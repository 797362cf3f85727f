"""What a photo of a folder costs, from file to row, beside the bare network in batches: decoding and all else must not be
what limits (a ratio of 1.18 is 85 % of the bare network's rate).

python -m benchmarks.folder      # three minutes on two cores
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.photo import bare_network
from benchmarks.table import Line, command, compared
from skinapp.batch import read_many
from skinapp.network.classifier import BATCH, load
from skinapp.network.folders import default_model
from skinapp.output.rows import Row
from skinapp.photo.sources import gather

SIZE = (600, 450)  # as the photos of HAM10000
COUNTS = (1, 16, 64, 256)
ROUNDS = 5


def lines(rounds: int = ROUNDS, counts: tuple[int, ...] = COUNTS) -> Iterator[Line]:
    """A line for each number of files; for the last, also of the time that all cores together spend, which other programs
    disturb less."""
    classifier = load(default_model())
    with tempfile.TemporaryDirectory() as temporary:
        for count in counts:
            folder, together = Path(temporary, str(count)), min(count, BATCH)
            fill(folder, count)
            batch = bare_network(classifier, together)

            def scored(folder: Path = folder) -> None:
                names = (source.name for source in gather([folder]))
                for name, result in zip(names, read_many(gather([folder]), classifier), strict=True):
                    Row.of(name, result)

            def bare(passes: int = count // together, batch: Callable[[], object] = batch) -> None:
                for _ in range(passes):
                    batch()

            what = f"folder of {count}, each file, beside the network in batches of {together}"
            yield compared(what, scored, bare, rounds, count, count)
        yield compared(f"{what}: all cores' time", scored, bare, rounds, count, count, time.process_time)


def fill(folder: Path, count: int) -> None:
    """Make a folder of JPEGs of coarse noise."""
    folder.mkdir()
    for number in range(count):
        coarse = np.random.default_rng(number).integers(0, 256, (45, 60, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC)
        picture.save(folder / f"{number}.jpg", quality=95)


if __name__ == "__main__":
    sys.exit(command(__doc__, lines))
