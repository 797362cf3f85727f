"""A photo over HTTP, one client: the whole round trip, and what of it is neither decoding nor the network.

python -m benchmarks.service      # half a minute on two cores; many clients at once: python -m benchmarks.load
"""

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.load import classify, connect, drawn_photos, metric
from benchmarks.photo import bare_network
from benchmarks.table import Line, command
from skinapp.network.classifier import load
from skinapp.network.folders import default_model
from tests.serving import running_process, wait_until_ready

ROUNDS = 100
PHASES = ("decode", "network")


def lines(rounds: int = ROUNDS) -> Iterator[Line]:
    """Start the app and measure it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_process(Path(folder, "log.txt")) as (address, _),
    ):
        wait_until_ready(address)
        yield from round_trips(address, drawn_photos(), rounds)


def round_trips(address: str, photos: Sequence[bytes], rounds: int) -> Iterator[Line]:
    """Send JPEGs to a running app, one after the other, in turns with a run of the bare network here."""
    bare, connection = bare_network(load(default_model())), connect(address)
    bare()
    alone: list[float] = []
    whole: list[float] = []
    parts: dict[str, list[float]] = {phase: [] for phase in PHASES}
    for number in range(rounds):
        before = {phase: _seconds(address, phase) for phase in PHASES}
        started = time.perf_counter()
        bare()
        sent = time.perf_counter()
        status, answer = classify(connection, photos[number % len(photos)])
        whole.append(time.perf_counter() - sent)
        if status != 200:
            raise RuntimeError(f"A photo was refused: {answer}")
        alone.append(1000 * (sent - started))
        for phase in PHASES:
            parts[phase].append(_seconds(address, phase) - before[phase])
    connection.close()
    outside = [total - sum(part) for total, *part in zip(whole, *parts.values(), strict=True)]
    for what, seconds in (
        ("HTTP round trip (POST /v1/classify)", whole),
        ("of it decoding and photo checks", parts["decode"]),
        ("of it the network", parts["network"]),
        ("of it all else", outside),
    ):
        yield Line(what, [1000 * second for second in seconds], alone)


def _seconds(address: str, phase: str) -> float:
    return metric(address, "skinapp_phase_seconds_sum", phase=phase)


if __name__ == "__main__":
    sys.exit(command(__doc__, lines))
