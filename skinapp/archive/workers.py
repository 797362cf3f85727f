"""Ray Data: who scores the photos. Each worker is an actor that loads the network once.

Ray itself starts a lost worker anew, where there is room, and gives it what it had in hand again, as often as it takes. Only a
photo that ends its worker every time is found out here, and left (`Attempts`).
"""

import logging
import os
import re
import secrets
import signal
import socket
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.exceptions import RayError

import skinapp
from skinapp.archive import ArchiveError
from skinapp.archive.photos import Opener, Photo
from skinapp.archive.results import SCORED
from skinapp.lesions import CODES
from skinapp.network.configuration import ModelError
from skinapp.output.rows import Row
from skinapp.photo.sources import Source
from skinapp.service.uploads import PrivateFolder

BLOCK = 64  # photos that a worker gets at once: some seconds' work, and whole batches of the network
STORE = (
    512 * 2**20
)  # bytes of memory at most for what goes between processes of one machine: some 150 a photo
ANSWERS_WITHIN = 10.0  # seconds, a cluster's head
THREADS = 4  # a processor, to fetch and decode: most of them wait for a disk or a network


@contextmanager
def engine(address: str | None) -> Iterator[list[int]]:
    """The Ray cluster of an address, or one that is started here and ends with the command. Yields each machine's processors.

    Raises ArchiveError where there is none, or one of another version.
    """
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", address)
    with ExitStack() as stack:
        # What becomes of each lost worker Ray prints, even when it shuts down.
        stack.enter_context(redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
        if address:
            _check(address)
            options["runtime_env"] = {"py_modules": [str(Path(skinapp.__file__).parent)]}  # sent along
        else:
            # Ray listens to the network: whoever calls has to know a word, by default one that it leaves in the user's home.
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
            # Ray has read the mode when it was imported: named now it would be too late; where there is none, Ray asks.
            os.environ.pop("RAY_AUTH_MODE", None)
            # Not in TMPDIR: the names of sockets may not be long.
            folder = PrivateFolder(Path("/tmp") if os.name == "posix" else None)
            stack.callback(folder.remove)
            options |= {
                "include_dashboard": False,
                "object_store_memory": STORE,
                "_temp_dir": str(folder.path),
            }
        stack.callback(ray.shutdown)
        stack.callback(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM) or signal.SIG_DFL)
        try:
            with _silence():
                ray.init(address=address or "local", **options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            where = f"The Ray cluster {address} cannot be used" if address else "Ray does not start"
            raise ArchiveError(f"{where}: {_said(error)}") from None
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # Ray's own prints and aborts
        yield [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]


def share(processors: Sequence[int], workers: int | None) -> tuple[int, int]:
    """How many workers, and the most processors that each can have. processors: of each machine; workers: as asked for, by
    default one for every two processors. Raises ArchiveError where there are too many."""
    workers = workers or sum(max(1, number // 2) for number in processors if number)
    for each in range(max(processors, default=0), 0, -1):
        if sum(number // each for number in processors) >= workers:
            return workers, each
    raise ArchiveError(
        f"There are {sum(processors)} processors for {workers} workers: ask for fewer workers."
    )


class Attempts:
    """Counts for all workers what was begun and not ended: who dies cannot count."""

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()

    def begin(self, what: str) -> int:
        """How often it was begun before."""
        self._begun[what] += 1
        return self._begun[what] - 1

    def end(self, what: str) -> None:
        """It was survived."""
        del self._begun[what]


class Scorer:
    """A worker: the network, and a way to the photos. source: as `photos.absolute` has it; model: as `folders.files` has it;
    processors: as many threads TensorFlow gets."""

    attempts = 2  # at a photo alone, once a worker has not survived its block

    def __init__(self, source: str, model: dict[str, bytes], processors: int, attempts: Any):
        import tensorflow as tf  # here: the command itself does without

        from skinapp.batch import read_many
        from skinapp.network.classifier import Classifier

        tf.config.threading.set_intra_op_parallelism_threads(processors)
        tf.config.threading.set_inter_op_parallelism_threads(processors)
        with tempfile.TemporaryDirectory() as folder:
            for name, data in model.items():
                Path(folder, name).write_bytes(data)
            self._classifier = Classifier(Path(folder))
        self._read_many, self._threads = read_many, THREADS * processors
        self._opener, self._attempts = Opener(source), attempts

    def __call__(self, block: pa.Table) -> pa.Table:
        """number and photo (a line) -> a row of SCORED for each."""
        numbers = block["number"].to_pylist()
        photos = [Photo.of(line) for line in block["photo"].to_pylist()]
        sources = [self._opener.source(number, photo) for number, photo in zip(numbers, photos, strict=True)]
        with self._counted(f"block {numbers[0]}") as before:
            if before:
                rows = [self._alone(number, source) for number, source in zip(numbers, sources, strict=True)]
            else:
                rows = list(self.rows(sources))
        return pa.Table.from_pylist(
            [answer(number, row) for number, row in zip(numbers, rows, strict=True)], SCORED
        )

    def rows(self, sources: Sequence[Source]) -> Iterator[Row]:
        """A row for each, in order."""
        results = self._read_many(sources, self._classifier, self._threads)
        return (Row.of(source.name, result) for source, result in zip(sources, results, strict=True))

    def _alone(self, number: int, source: Source) -> Row:
        with self._counted(f"photo {number}") as before:
            if before >= self.attempts:
                return Row(
                    source.name, "Reading this file ended the program each time: save it anew as JPEG."
                )
            (row,) = self.rows([source])
            return row

    @contextmanager
    def _counted(self, what: str) -> Iterator[int]:
        before = ray.get(self._attempts.begin.remote(what))
        yield before
        ray.get(self._attempts.end.remote(what))


def answer(number: int, row: Row) -> dict[str, Any]:
    """A row of schema SCORED; what does not apply is None."""
    if row.error:
        return {"number": number, "error": row.error}
    shares = {f"p_{code}": share for code, share in zip(CODES, row.probabilities, strict=True)}
    return {"number": number, "label": row.top.code} | shares


def score(
    photos: Sequence[str],
    missing: Iterable[range],
    source: str,
    model: dict[str, bytes],
    workers: int,
    processors: int,
    worker: type[Scorer] = Scorer,
) -> Iterator[pa.Table]:
    """Score the missing rows on the engine that runs. Yields tables of schema SCORED as they come, in no order.

    photos: a line each; missing: numbers of rows; workers, processors (of each): as `share` has them. Raises ArchiveError.
    """
    blocks = [
        pa.table({"number": list(numbers), "photo": [photos[number] for number in numbers]})
        for part in missing
        for numbers in (part[start : start + BLOCK] for start in range(0, len(part), BLOCK))
    ]
    attempts = ray.remote(Attempts).options(num_cpus=0, max_restarts=-1, max_task_retries=-1).remote()
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    scored = ray.data.from_arrow(blocks).map_batches(
        worker,
        fn_constructor_args=(source, model, processors, attempts),
        batch_size=None,  # a block is what a worker gets
        batch_format="pyarrow",
        num_cpus=processors,
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(blocks))),
    )
    try:
        yield from scored.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    except (RayError, ModelError) as error:
        raise ArchiveError(f"The workers cannot go on: {_said(error)}") from None


@contextmanager
def _silence() -> Iterator[None]:
    """Nothing goes to the terminal from Ray's own core, which would say at which level it logs. What Python raises is raised."""
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def _said(error: Exception) -> str:
    """The last error in a traceback from afar that is not one of Ray's own, which only pass it on; else the first line."""
    errors = re.findall(r"^(?:\w+\.)*(\w+(?:Error|Exception)): (.+)$", str(error), re.MULTILINE)
    own = [text for name, text in errors if not hasattr(ray.exceptions, name)]
    return own[-1] if own else next(iter(str(error).strip().splitlines()), type(error).__name__)


def _check(address: str) -> None:
    """Refuse what Ray would wait for, for minutes. Raises ArchiveError."""
    host, _, port = address.rpartition(":")
    if address == "auto":
        return
    if not host or not port.isdigit() or "/" in host:
        raise ArchiveError(
            f"{address} is no address: write auto, or HOST:PORT as `ray start --head` shows it."
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWERS_WITHIN).close()
    except (OSError, OverflowError) as error:
        raise ArchiveError(
            f"Nobody answers at {address} ({error}): start the cluster with `ray start --head`."
        ) from None
