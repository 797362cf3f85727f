"""What an archive costs with one worker and with more, beside the bare network in batches on the same machine.

    python -m benchmarks.archive      # three minutes on two cores; needs requirements-archive.txt
    python -m benchmarks.archive --workers 1 2 4 8 --photos 8192 --price 0.05

The rate counts from when all workers are at it; their start is told apart. The cost of a million photos is on paper: the hours
that the rate makes of them, times all processors that the workers have, times the price of one processor for an hour. It holds
for as many machines as are wanted, where fetching the photos is not what limits.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.folder import fill
from benchmarks.photo import bare_network
from skinapp.archive.photos import list_photos
from skinapp.archive.workers import BLOCK, engine, score, share
from skinapp.network.classifier import BATCH, load
from skinapp.network.configuration import ModelError
from skinapp.network.folders import default_model, files, title

PRICE = 0.05  # an assumption, in dollars: about what clouds ask for a virtual x86 processor and its memory on demand
ROUNDS = 40


def bare_rate(model: Path) -> float:
    """Photos a second through the network alone, on all processors."""
    batch = bare_network(load(model), BATCH)
    batch()
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        batch()
        times.append(time.perf_counter() - started)
    return BATCH / statistics.median(times)


def archive_rate(folder: Path, model: Path, workers: int, processors: int) -> tuple[float, float]:
    """Seconds until the first photos are scored, and photos a second from when all workers are at it."""
    lines = [photo.line() for photo in list_photos(str(folder))]
    started, arrived = time.perf_counter(), []
    for rows in score(lines, [range(len(lines))], str(folder), files(model), workers, processors):
        arrived.append((time.perf_counter(), rows.num_rows))
    first = 2 * workers
    seconds = arrived[-1][0] - arrived[first - 1][0]
    return arrived[0][0] - started, sum(number for _, number in arrived[first:]) / seconds


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=24 * BLOCK)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--price", type=float, default=PRICE, help="of a processor for an hour (%(default)s)")
    options = parser.parse_args(arguments)
    if options.photos < 3 * BLOCK * max(options.workers):
        parser.error(f"for so many workers, {3 * BLOCK * max(options.workers)} photos are the fewest")
    measured = []
    try:
        model = default_model()
        before = bare_rate(model)
        with tempfile.TemporaryDirectory() as temporary, engine(None) as machines:
            fill(Path(temporary, "photos"), options.photos)
            for asked in options.workers:
                workers, processors = share(machines, asked)
                rates = archive_rate(Path(temporary, "photos"), model, workers, processors)
                measured.append((workers, processors, *rates))
    except ModelError as error:
        print(error, file=sys.stderr)
        return 2
    bare = (before + bare_rate(model)) / 2
    print(f"{title(model)}, {sum(machines)} processors, {time.strftime('%Y-%m-%d')}")
    print(f"bare network in batches of {BATCH}, all processors: {bare:.1f} photos/s\n")
    print(
        "| workers | processors each | start | photos/s | of the bare network | processor hours a million | cost |"
    )
    print("|---|---|---|---|---|---|---|")
    for workers, processors, wait, rate in measured:
        hours = 1e6 / rate / 3600 * workers * processors
        shares = f"{wait:.0f} s | {rate:.1f} | {rate / bare:.0%} | {hours:.0f} | {hours * options.price:.2f}"
        print(f"| {workers} | {processors} | {shares} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
