"""What an archive costs with one worker and with several, beside the bare batched network on the same machine.

    python -m benchmarks.archive                    # needs requirements-archive.txt; two minutes on two cores
    python -m benchmarks.archive --workers 1 2 4 --photos 4096 --price 0.05

A worker's start is told apart from the rate. The cost of a million photos is on paper: processors x hours x the price of one
processor for an hour, in whatever currency that is given, as if every processor were paid for the rate measured here.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.folder import draw_folder
from skinapp.archive.photos import list_photos
from skinapp.archive.workers import BLOCK, engine, score, share
from skinapp.classifier import BATCH, load
from skinapp.models import ModelError, default_model, files

PRICE = 0.05  # dollars an hour: what clouds ask for one virtual x86 processor on demand, roughly
BARE_SECONDS = 10.0


def bare_rate(model: Path) -> float:
    """Photos a second through the network alone, in batches, with all processors."""
    classifier = load(model)
    size = classifier.configuration.input_size
    batch = np.random.default_rng(0).uniform(0, 255, (BATCH, size, size, 3)).astype(np.float32)
    classifier.forward(batch)[1].numpy()
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < BARE_SECONDS:
        classifier.forward(batch)[1].numpy()
        count += BATCH
    return count / (time.perf_counter() - start)


def archive_rate(folder: Path, model: Path, workers: int, processors: int) -> tuple[float, float]:
    """Seconds until the first photos are scored, and photos a second from when all workers are at it."""
    photos = [photo.line() for photo in list_photos(str(folder))]
    start, arrived = time.perf_counter(), []
    for rows in score(photos, [range(len(photos))], str(folder), files(model), workers, processors):
        arrived.append((time.perf_counter(), rows.num_rows))
    begun = min(2 * workers, len(arrived) - 1)
    photos_since = sum(number for _, number in arrived[begun:])
    return arrived[0][0] - start, photos_since / (arrived[-1][0] - arrived[begun - 1][0])


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.archive", description=__doc__)
    parser.add_argument("--photos", type=int, default=16 * BLOCK)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--price", type=float, default=PRICE, help="of a processor for an hour")
    parser.add_argument("--model", type=Path, help="a model folder (default: SKINAPP_MODEL or model/fast)")
    options = parser.parse_args(arguments)
    try:
        model = options.model or default_model()
        before = bare_rate(model)
    except ModelError as error:
        print(error, file=sys.stderr)
        return 2
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    measured = []
    with tempfile.TemporaryDirectory() as folder, engine(None) as machines:
        draw_folder(Path(folder), options.photos)
        for asked in options.workers:
            workers, processors = share(machines, asked)
            measured.append((workers, processors, *archive_rate(Path(folder), model, workers, processors)))
    bare = (before + bare_rate(model)) / 2
    print(f"bare network in batches of {BATCH}, all {sum(machines)} processors: {bare:.1f} photos/s\n")
    print(
        "| workers | processors each | start | photos/s | of the bare network | processor hours a million | cost |"
    )
    print("|---|---|---|---|---|---|---|")
    for workers, processors, wait, rate in measured:
        hours = 1e6 / rate * workers * processors / 3600
        print(
            f"| {workers} | {processors} | {wait:.0f} s | {rate:.1f} | {rate / bare:.0%} | {hours:.0f} "
            f"| {hours * options.price:.2f} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
