"""The service under load, beside the bare network on the same machine in the same run.

    python -m benchmarks.load                       # 32 users, 30 seconds, drawn lesions: about a minute in all
    python -m benchmarks.load --seconds 120 --photos DIR      # the JPEGs of a folder instead

Starts `python app.py` on a free port and sends photos to POST /v1/classify. Every answer is compared with what the same photo
gave alone. The clients run on the same processors: what they use is part of what is missing to the bare network's rate.
"""

import argparse
import http.client
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from skinapp.lesions import CODES
from tests.drawings import draw_lesion
from tests.serving import running_process, wait_until_ready

USERS = 32
BARE_SECONDS = 5.0
TOLERANCE = 1e-4  # of a probability: photos in one batch are rounded otherwise than alone
BOUNDARY = b"0123456789abcdef"


@dataclass(frozen=True)
class Load:
    """What came of it. latencies: seconds of the requests that were answered; wrong: answers that were another photo's or
    none; errors: requests that ended otherwise than with 200."""

    seconds: float
    latencies: tuple[float, ...]
    wrong: int
    errors: tuple[str, ...]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, percent: int) -> float:
        """Seconds within which that share was answered."""
        return float(np.percentile(self.latencies, percent))


def classify(connection: http.client.HTTPConnection, photo: bytes) -> tuple[int, dict]:
    """POST /v1/classify with as little of the client's own time as possible. Returns status and JSON."""
    head = b'--%s\r\nContent-Disposition: form-data; name="photo"; filename="x.jpg"\r\n\r\n' % BOUNDARY
    body = head + photo + b"\r\n--%s--\r\n" % BOUNDARY
    kind = f"multipart/form-data; boundary={BOUNDARY.decode()}"
    connection.request("POST", "/v1/classify", body, {"Content-Type": kind})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def connect(address: str) -> http.client.HTTPConnection:
    """A connection that is kept between requests."""
    return http.client.HTTPConnection(address.removeprefix("http://"), timeout=120)


def alone(address: str, photos: Sequence[bytes]) -> list[dict[str, float]]:
    """Each photo's own probabilities, sent one after another."""
    connection, answers = connect(address), []
    for photo in photos:
        status, answer = classify(connection, photo)
        if status != 200:
            raise RuntimeError(f"A photo alone is refused: {answer}")
        answers.append(answer["probabilities"])
    connection.close()
    return answers


def same(one: dict[str, float], other: dict[str, float]) -> bool:
    """Whether two answers are of the same photo."""
    return all(abs(one[code] - other[code]) <= TOLERANCE for code in CODES)


def drive(
    address: str, photos: Sequence[bytes], users: int = USERS, seconds: float = 0, requests: int = 0
) -> Load:
    """Send photos from `users` threads for at least that many seconds and requests; each waits for its answer."""
    own = alone(address, photos)
    latencies: list[float] = []
    errors: list[str] = []
    wrong = 0
    guard, start = threading.Lock(), time.perf_counter()

    def user(number: int) -> None:
        nonlocal wrong
        connection, turn = connect(address), number
        while time.perf_counter() - start < seconds or len(latencies) + len(errors) < requests:
            index, turn = turn % len(photos), turn + 1
            sent = time.perf_counter()
            try:
                status, answer = classify(connection, photos[index])
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                with guard:
                    errors.append(type(error).__name__)
                continue
            with guard:
                if status != 200:
                    errors.append(f"{status} {answer.get('error')}")
                else:
                    latencies.append(time.perf_counter() - sent)
                    wrong += not same(answer["probabilities"], own[index])
        connection.close()

    threads = [threading.Thread(target=user, args=(number,)) for number in range(users)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Load(time.perf_counter() - start, tuple(latencies), wrong, tuple(errors))


def resident_megabytes(pid: int) -> float:
    """Memory of a process that is in use now."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def drawn_photos() -> list[bytes]:
    """28 drawn lesions as JPEG, 600 x 450 as HAM10000's."""
    photos = []
    with tempfile.TemporaryDirectory() as folder:
        for code in CODES:
            for seed in range(4):
                path = Path(folder) / "drawn.jpg"
                draw_lesion(code, seed=seed, size=(600, 450)).save(path, quality=90)
                photos.append(path.read_bytes())
    return photos


def bare_rate(seconds: float = BARE_SECONDS) -> float:
    """Photos a second through the bare network of the default model, one at a time, from pixels to logits."""
    from benchmarks.photo import bare_network
    from skinapp.network.classifier import load
    from skinapp.network.folders import default_model

    bare = bare_network(load(default_model()))
    for _ in range(5):
        bare()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 20:
        start = time.perf_counter()
        bare()
        times.append(time.perf_counter() - start)
    return 1 / statistics.median(times)


def metric(address: str, name: str, **labels: str) -> float:
    """A figure of GET /metrics, summed over the labels that are not named."""
    connection = connect(address)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples if s.name == name]
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns 1 where an answer was missing or another photo's."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--users", type=int, default=USERS)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--photos", type=Path, help="a folder of JPEGs; by default 28 drawn lesions")
    given = parser.parse_args(arguments)
    photos = [path.read_bytes() for path in sorted(given.photos.glob("*.jpg"))[:200]] if given.photos else []
    photos = photos or drawn_photos()

    before = bare_rate()
    with (
        tempfile.TemporaryDirectory() as folder,
        running_process(Path(folder) / "log.txt") as (address, process),
    ):
        wait_until_ready(address)
        single = drive(address, photos, users=1, seconds=min(10, given.seconds))
        rest = resident_megabytes(process.pid)
        phases = ("decode", "queue", "network")
        spent = {phase: -metric(address, "skinapp_phase_seconds_sum", phase=phase) for phase in phases}
        runs = -metric(address, "skinapp_batch_photos_count")
        start = time.perf_counter()
        load = drive(address, photos, users=given.users, seconds=given.seconds)
        wall = time.perf_counter() - start  # with the photos' own answers, one after another, before it
        spent = {
            phase: spent[phase] + metric(address, "skinapp_phase_seconds_sum", phase=phase)
            for phase in phases
        }
        runs += metric(address, "skinapp_batch_photos_count")
        loaded = resident_megabytes(process.pid)
    after = bare_rate()
    bare = (before + after) / 2
    print(
        f"bare network, one photo at a time: {bare:.1f} photos/s (before {before:.1f}, after {after:.1f})\n\n"
        f"{'users':>6}{'requests':>10}{'per s':>8}{'ratio':>8}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'errors':>8}{'wrong':>7}"
    )
    for users, result in ((1, single), (given.users, load)):
        shares = "".join(f"{1000 * result.percentile(percent):9.0f}" for percent in (50, 95, 99))
        print(
            f"{users:6}{len(result.latencies):10}{result.rate:8.1f}{result.rate / bare:8.2f}{shares}"
            f"{len(result.errors):8}{result.wrong:7}"
        )
    photos_run = len(load.latencies) + len(photos)
    print(
        f"\nunder load: {photos_run / max(runs, 1):.1f} photos in one run of the network, which runs "
        f"{spent['network'] / wall:.0%} of the time; decoding takes {1000 * spent['decode'] / photos_run:.1f} ms a photo, "
        f"waiting for the network {1000 * spent['queue'] / photos_run:.0f} ms; memory {rest:.0f} MB at rest, {loaded:.0f} MB after"
    )
    return int(bool(single.errors or load.errors or single.wrong or load.wrong))


if __name__ == "__main__":
    sys.exit(main())
