"""From the start of a process to the page and to the first answer, and the memory that it takes.

python -m benchmarks.start      # two minutes on two cores
"""

import http.client
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import classify, connect, drawn_photos, drive, resident_megabytes
from benchmarks.table import Line, command
from tests.serving import ROOT, starting_process

ROUNDS = 3
APP = (sys.executable, "app.py")
REQUESTS = 256  # from 32 users, for the memory under load
GRADIO = "import gradio"
BARE = """
import numpy as np
from skinapp.network.classifier import load
from skinapp.network.folders import default_model
classifier = load(default_model())
size = classifier.configuration.input_size
classifier.forward(np.zeros((1, size, size, 3), np.float32))[1].numpy()
"""


@dataclass(frozen=True)
class Start:
    """Seconds from the start of the process until the page and the first answer came; whether TensorFlow's libraries were
    loaded when the page came; megabytes in use after the first answer and after many at once."""

    page: float
    answer: float
    tensorflow: bool
    rest: float
    loaded: float


def lines(
    rounds: int = ROUNDS,
    app: Sequence[str] = APP,
    photos: Sequence[bytes] = (),
    requests: int = REQUESTS,
    gradio: str = GRADIO,
    bare: str = BARE,
) -> Iterator[Line]:
    """All lines. app: a command; photos: JPEGs, by default drawn ones; gradio, bare: Python to be run in a process of its own."""
    photos = photos or drawn_photos()
    imports, networks, starts = [], [], []
    for _ in range(rounds):
        imports.append(script(gradio))
        networks.append(script(bare))
        starts.append(start(app, photos, requests))
    gradio_seconds = [seconds for seconds, _ in imports]
    bare_seconds, bare_megabytes = zip(*networks, strict=True)
    yield Line("**bare network: a process that loads it and runs it once**", bare_seconds, bare_seconds, "s")
    yield Line("`import gradio` alone", gradio_seconds, bare_seconds, "s")
    when = "while TensorFlow is loaded" if any(one.tensorflow for one in starts) else "before TensorFlow"
    yield Line(f"first paint: `/` answers, {when}", [one.page for one in starts], bare_seconds, "s")
    beyond = [one.page - alone for one, alone in zip(starts, gradio_seconds, strict=True)]
    yield Line("first paint after `import gradio` alone", beyond, bare_seconds, "s")
    yield Line("first answer", [one.answer for one in starts], bare_seconds, "s")
    yield Line("**memory of the bare network's process**", bare_megabytes, bare_megabytes, "MB")
    yield Line("memory at rest", [one.rest for one in starts], bare_megabytes, "MB")
    yield Line(
        f"memory after {requests} photos from 32 users",
        [one.loaded for one in starts],
        bare_megabytes,
        "MB",
    )


def script(code: str) -> tuple[float, float]:
    """Run Python code in a process of its own. Returns seconds from its start until the code is through, and megabytes then."""
    started = time.perf_counter()
    waiting = "\nimport sys\nprint('through', flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code + waiting], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        if b"through" not in process.stdout.readline():
            raise RuntimeError("The process ended before it was through.")
        seconds, megabytes = time.perf_counter() - started, resident_megabytes(process.pid)
        process.communicate(b"")
    return seconds, megabytes


def start(app: Sequence[str], photos: Sequence[bytes], requests: int) -> Start:
    """Start the app once, and measure. Raises RuntimeError where it ends by itself."""
    with tempfile.TemporaryDirectory() as folder:
        log, started = Path(folder, "log.txt"), time.perf_counter()
        with starting_process(list(app), log) as (address, process):
            while not _answers(address):
                if process.poll() is not None:
                    raise RuntimeError(f"The app did not start:\n{log.read_text(errors='replace')}")
                time.sleep(0.005)
            page = time.perf_counter() - started
            tensorflow = "libtensorflow" in Path(f"/proc/{process.pid}/maps").read_text()
            connection = connect(address)
            while (
                classify(connection, photos[0])[0] != 200
            ):  # 503 where loading takes longer than a request may
                pass
            answer, rest = time.perf_counter() - started, resident_megabytes(process.pid)
            connection.close()
            drive(address, photos, requests=requests)
            return Start(page, answer, tensorflow, rest, resident_megabytes(process.pid))


def _answers(address: str) -> bool:
    connection = connect(address)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(command(__doc__, lines))
