"""`python -m skinapp.archive`: every photo is one row, whoever dies meanwhile."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skinapp.archive import ArchiveError, workers
from skinapp.archive.__main__ import main
from skinapp.archive.photos import Opener, Photo, list_photos
from skinapp.archive.results import JOB, SCHEMA, SCORED, Job, Results
from skinapp.archive.workers import Attempts, Scorer, answer, score, share
from skinapp.batch import read_many
from skinapp.lesions import CODES
from skinapp.network.classifier import load
from skinapp.output.rows import Row
from skinapp.photo.sources import Source, gather
from skinapp.service.uploads import PrivateFolder
from tests.drawings import write_photos
from tests.serving import ROOT

PATIENCE = 300.0  # seconds; a busy machine takes long to start a worker


def wait_for(what: Callable[[], Any], meanwhile: Callable[[], bool] = lambda: True) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert meanwhile() and time.monotonic() < deadline, "it has not come about"
        time.sleep(0.02)


def parts(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.glob("part-*.parquet"))}


# The folder of results


def table(numbers: Sequence[int]) -> pa.Table:
    """Rows as workers send them; every third has an error."""
    row = Row("x", "", tuple(np.linspace(0.1, 0.2, 7).tolist()))
    return pa.Table.from_pylist([answer(n, row if n % 3 else Row("x", "No.")) for n in numbers], SCORED)


LISTED = [Photo(f"{number}.jpg", f"/{number}.jpg") for number in range(10)]
JOB_OF_TEN = Job("/source", "model", 4)


def test_parts_are_written_once_they_are_whole_and_no_row_twice(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out.parquet"
    results = Results(out, JOB_OF_TEN, LISTED)
    assert [list(part) for part in results.missing()] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert results.add(table([9, 5, 1, 1])) == 3
    assert list(parts(out)) == []
    assert results.add(table([8, 9, 0])) == 2
    assert list(parts(out)) == ["part-000002.parquet"]
    assert results.add(table([8])) == 0, "its part is written"
    results.close()  # killed: rows 0, 1 and 5 are lost
    (out / ".part-000000.parquet").write_bytes(b"half")

    again = Results(out, Job("/source", "model", 5), [])
    assert not (out / ".part-000000.parquet").exists()
    assert [list(part) for part in again.missing()] == [[0, 1, 2, 3], [4, 5, 6, 7]], (
        "in the parts that were begun"
    )
    with pytest.raises(ArchiveError, match="Another command"):
        Results(out, JOB_OF_TEN, [])
    assert again.add(table(range(8))) == 8
    assert again.missing() == []
    again.close()
    read = pq.read_table(out)
    assert read.schema.equals(SCHEMA)
    assert read["path"].to_pylist() == [photo.path for photo in LISTED]
    assert [row["error"] for row in read.to_pylist()] == ["No." if n % 3 == 0 else None for n in range(10)]
    assert read["p_mel"].null_count == read["label"].null_count == 4


def test_a_folder_of_another_job_is_refused(tmp_path: Path) -> None:
    Results(tmp_path / "out", JOB_OF_TEN, LISTED).close()
    before = sorted(tmp_path.rglob("*"))
    for job, what in ((Job("/other", "model", 4), "source"), (Job("/source", "other", 4), "model")):
        with pytest.raises(ArchiveError, match=f"another {what}"):
            Results(tmp_path / "out", job, LISTED)
    (tmp_path / "file").write_text("x")
    for place in (tmp_path, tmp_path / "file"):
        with pytest.raises(ArchiveError, match="something else"):
            Results(place, JOB_OF_TEN, LISTED)
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "file", *before]
    (tmp_path / "out" / JOB).write_text("{}\n")
    with pytest.raises(ArchiveError, match="damaged"):
        Results(tmp_path / "out", JOB_OF_TEN, LISTED)


def test_a_list_that_comes_to_nothing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="no photo in /source"):
        Results(tmp_path / "out", JOB_OF_TEN, [])
    with pytest.raises(ArchiveError, match="does not exist"):
        Results(tmp_path / "out", JOB_OF_TEN, list_photos("nowhere"))
    assert not list(tmp_path.iterdir())


# Workers


@pytest.mark.parametrize(
    ("processors", "workers", "expected"),
    [
        ([2], None, (1, 2)), ([8], None, (4, 2)), ([1, 1], None, (2, 1)), ([0, 8, 4], None, (6, 2)),
        ([8], 1, (1, 8)), ([8], 3, (3, 2)), ([8, 8], 3, (3, 4)), ([2, 4], 2, (2, 2)), ([4], 4, (4, 1)),
    ],
)  # fmt: skip
def test_processors_are_shared(processors: list[int], workers: int | None, expected: tuple[int, int]) -> None:
    assert share(processors, workers) == expected


def test_more_workers_than_processors_are_refused() -> None:
    with pytest.raises(ArchiveError, match="3 processors for 4 workers"):
        share([2, 1], 4)


class Light(Scorer):
    """A worker without a network, which starts within a second. Everybody gets the same answer."""

    def __init__(self, source: str, model: dict[str, bytes], processors: int, attempts: Any):
        self._opener, self._attempts = Opener(source), attempts

    def rows(self, sources: Sequence[Source]) -> Iterator[Row]:
        return (self.row(source) for source in sources)

    def row(self, source: Source) -> Row:
        return Row(source.name, "", (0.1,) * 4 + (0.4,) + (0.1,) * 2)


class Death(BaseException):
    """Of a worker: nothing after it runs."""


def test_a_photo_that_ends_its_worker_each_time_is_left_and_all_others_are_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaths: list[str] = []

    class Mortal(Light):
        def row(self, source: Source) -> Row:
            if "deadly" in source.name or ("unlucky" in source.name and len(deaths) == 1):
                deaths.append(Path(source.name).stem)
                raise Death
            return super().row(source)

    monkeypatch.setattr(workers.ray, "get", lambda answer: answer)
    counts = Attempts()
    attempts = SimpleNamespace(
        begin=SimpleNamespace(remote=counts.begin), end=SimpleNamespace(remote=counts.end)
    )
    source = write_photos(tmp_path, ["0.jpg", "1-unlucky.jpg", "2-deadly.jpg", "3.jpg"])
    lines = [photo.line() for photo in list_photos(str(source))]
    block = pa.table({"number": range(4), "photo": lines})
    while len(deaths) < 9:
        try:  # as Ray does it: a new worker gets the same block
            rows = Mortal(str(source), {}, 1, attempts)(block).to_pylist()
            break
        except Death:
            continue
    assert deaths == ["2-deadly", "1-unlucky", "2-deadly", "2-deadly"]
    assert [row["number"] for row in rows] == [0, 1, 2, 3]
    assert [row["label"] for row in rows] == ["mel", "mel", None, "mel"]
    assert "ended the program each time" in rows[2]["error"]
    assert Mortal(str(source), {}, 1, attempts)(block.slice(3)).to_pylist()[0]["label"] == "mel"


def test_an_interrupted_command_says_so_and_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    scored: list[int] = []

    def interrupted(lines: Sequence[str], missing: Sequence[range], *_: Any) -> Iterator[pa.Table]:
        for part in missing:
            scored.extend(part)
            yield table(part)
            if len(scored) == 4:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(60)

    monkeypatch.setattr(workers, "engine", lambda address: nullcontext([2]))
    monkeypatch.setattr(workers, "score", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # pytest-xdist's processes ignore it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    out = tmp_path / "out"
    arguments = [
        str(write_photos(tmp_path / "photos", [f"{n}.jpg" for n in range(5)])),
        "--out",
        str(out),
        "--part",
        "2",
    ]
    assert main(arguments) == 130
    written = capsys.readouterr()
    assert written.out == "" and written.err.endswith(f"\nStopped. The same command goes on with {out}.\n")
    assert list(parts(out)) == ["part-000000.parquet", "part-000001.parquet"]
    assert main(arguments) == 1
    assert scored == [0, 1, 2, 3, 4]
    assert f"{out}: 5 rows, 2 with an error." in capsys.readouterr().out
    monkeypatch.setattr(workers, "score", None)
    assert main(arguments) == 1, "all is there, and nothing starts"


def test_what_a_worker_said_is_found_in_what_ray_says() -> None:
    said = """The actor died because of an error raised in its creation task, \x1b[36mray::_MapWorker.__init__()\x1b[39m
  File "/work/skinapp/network/classifier.py", line 79, in read
    raise ModelError(f"{path} and this version of skinapp disagree about {', '.join(sorted(missing))}.")
skinapp.network.folders.ModelError: skinapp.json and this version of skinapp disagree about tau.

ray.exceptions.UserCodeException: UDF failed to process a data block.
Failed to apply UDF transform after 1/1 attempts (total backoff 0.0s).
"""
    assert workers._said(Exception(said)) == "skinapp.json and this version of skinapp disagree about tau."
    assert workers._said(Exception("One line.\nAnother.")) == "One line."


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two machines of one processor each, as far as Ray is concerned."""
    from ray._private.utils import get_ray_address_file
    from ray.cluster_utils import Cluster

    Path(get_ray_address_file(None)).parent.mkdir(exist_ok=True)  # which Cluster writes to without making it
    temporary = tempfile.mkdtemp(dir="/tmp")  # sockets' names may not be long
    node = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    soon = {"health_check_period_ms": 500}  # by default 3 s; after some of them a lost machine is missed
    head = {"temp_dir": temporary, "_system_config": soon}
    cluster = Cluster(initialize_head=True, head_node_args=node | head)
    cluster.add_node(**node)
    yield cluster
    cluster.shutdown()
    shutil.rmtree(temporary, ignore_errors=True)


def sessions() -> set[Path]:
    """Where Ray keeps things for commands that started it themselves."""
    return {path.parent for path in Path("/tmp").glob("skinapp-*/session_latest")}


def users(folder: Path) -> list[str]:
    """Processes that were started for a session."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_text())
        except OSError:
            continue
    return [line for line in lines if str(folder) in line]


def test_all_rows_are_there_once_though_command_and_machine_are_killed(
    cluster: Any, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray._raylet import GcsClient
    from ray.exceptions import AuthenticationError

    names = [f"{number:03}{'-broken' if number % 9 == 4 else ''}.jpg" for number in range(160)]
    source, out = write_photos(tmp_path / "photos", names), tmp_path / "results.parquet"
    arguments = [str(source), "--out", str(out), "--part", "4", "--model", str(model_folder)]

    # The command on this machine alone, killed in the middle.
    others, home = sessions(), tmp_path / "home"
    home.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "skinapp.archive", *arguments, "--workers", "1"],
        cwd=ROOT,
        env=os.environ | {"HOME": str(home), "RAY_AUTH_MODE": "disabled"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_for(lambda: parts(out), lambda: process.poll() is None)
    (session,) = sessions() - others
    (address,) = {
        found[1] for line in users(session) if (found := re.search(r"--gcs-address=([\d.]+:\d+)", line))
    }
    with pytest.raises(AuthenticationError):  # as this process does not know the word
        GcsClient(address=address)
    assert "tensorflow" not in Path(f"/proc/{process.pid}/maps").read_text(), "only workers need it"
    process.kill()
    printed, _ = process.communicate(timeout=60)
    assert "Traceback" not in printed and "/160 [" in printed, "progress and nothing else"
    wait_for(lambda: not users(session))
    PrivateFolder(Path("/tmp")).remove()  # as the next start does it
    assert not session.exists() and not (home / ".ray").exists()
    there = parts(out)
    assert 0 < len(there) < 40

    # The same on the cluster. Once both machines have a block in hand, one is lost.
    begun = tmp_path / "begun"
    begun.mkdir()

    class Watched(Scorer):
        def rows(self, sources: Sequence[Source]) -> Iterator[Row]:
            import ray
            import tensorflow as tf

            assert tf.config.threading.get_intra_op_parallelism_threads() == 1
            assert tf.config.threading.get_inter_op_parallelism_threads() == 1
            assert any(Path(place, "skinapp").is_dir() for place in sys.path if Path(place) != ROOT), (
                "sent along"
            )
            (begun / ray.get_runtime_context().get_node_id()).touch()
            while len(list(begun.iterdir())) < 2:
                time.sleep(0.02)
            yield from super().rows(sources)

    def lose_a_machine() -> None:
        wait_for(lambda: len(list(begun.iterdir())) == 2)
        (machine,) = cluster.worker_nodes
        cluster.remove_node(machine, allow_graceful=False)

    monkeypatch.setattr(workers, "score", partial(score, worker=Watched))
    thread = threading.Thread(target=lose_a_machine, daemon=True)
    thread.start()
    assert main([*arguments, "--address", cluster.address]) == 1
    thread.join()
    assert not cluster.worker_nodes
    assert there.items() <= parts(out).items(), "nothing is scored twice"
    rows = pq.read_table(out).to_pylist()
    assert [row["path"] for row in rows] == [str(source / name) for name in names]

    # And each row is what the command line and the page say.
    photos = list(gather([source]))
    for row, photo, result in zip(rows, photos, read_many(photos, load(model_folder)), strict=True):
        expected = Row.of(photo.name, result)
        assert row["error"] == (expected.error or None)
        assert row["label"] == (None if expected.error else expected.top.code)
        shares = [row[f"p_{code}"] for code in CODES]
        if expected.error:
            assert shares == [None] * 7
        else:
            np.testing.assert_allclose(shares, expected.probabilities, rtol=0, atol=1e-6)


# The command


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "nowhere does not exist"),
        ([".", "--model", "nowhere"], "There is no model 'nowhere'"),
        (["tests", "--address", "127.0.0.1:1"], "Nobody answers at 127.0.0.1:1"),
        (["tests", "--address", "ray://127.0.0.1:1"], "is no address"),
        (["tests", "--address", "auto"], "Nobody answers at 127.0.0.1:2"),
    ],
)
def test_what_cannot_start_says_why(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:2")
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    written = capfd.readouterr()
    assert written.out == ""
    (line,) = written.err.splitlines()
    assert sentence in line


def test_without_ray_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert (
        capsys.readouterr().err
        == "Ray is not installed: install skinapp with the extra archive, skinapp[archive].\n"
    )


@pytest.mark.parametrize("more", [["--workers", "0"], ["--part", "x"], ["--out", "s3://bucket/out"]])
def test_wrong_options_are_refused(tmp_path: Path, more: list[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--out", str(tmp_path / "out"), *more])
