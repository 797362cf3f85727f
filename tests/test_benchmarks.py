"""The benchmarks run, and the table says what was measured. Their figures are nobody's concern here."""

import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from benchmarks import archive, batches, folder, photo, start
from benchmarks.table import Line, command, compared
from skinapp.archive.workers import BLOCK
from skinapp.network.saliency_methods import METHODS

# Answers as the app does: not at once, and busy at first.
APP = """
import json, os, time
from skinapp.lesions import CODES
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
time.sleep(0.3)
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked = 0
    def do_GET(self):
        self.answer(200, b"page")
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        Handler.asked += 1
        self.answer(503 if Handler.asked == 1 else 200, json.dumps({"probabilities": dict.fromkeys(CODES, 0)}).encode())
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
ThreadingHTTPServer(("127.0.0.1", int(os.environ["GRADIO_SERVER_PORT"])), Handler).serve_forever()
"""


@pytest.fixture(autouse=True)
def tiny(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKINAPP_MODEL", str(model_folder))


def check(lines: list[Line], rounds: int) -> None:
    for line in lines:
        assert len(line.values) == len(line.beside) == rounds
        assert min(*line.values, *line.beside) > 0
    assert len({line.what for line in lines}) == len(lines)


def test_a_line_says_how_often_the_reference_fits_in() -> None:
    line = Line("twice", (2.0, 40.0, 600.0), (1.0, 20.0, 300.0))
    assert line.ratios == [2, 2, 2]
    assert line.markdown == "| twice | ms | 40 | 5.8 | 544 | 2.00 | 2.00 | 2.00 |"


def test_times_are_taken_in_turns_and_divided_by_the_photos() -> None:
    ticks, calls = iter(range(100)), []
    line = compared("x", lambda: calls.append("w"), lambda: calls.append("b"), 3, 4, 2, lambda: next(ticks))
    assert calls == ["w", "b"] * 5
    assert line.values == (250, 250, 250) and line.beside == (500, 500, 500)


def test_one_photo() -> None:
    lines = list(photo.lines(rounds=1, sizes=((640, 480),)))
    check(lines, 1)
    assert len(lines) == 4 + len(METHODS) + 2


def test_batches() -> None:
    lines = list(batches.lines(photos=2, counts=(1, 2)))
    check(lines, 3)
    assert len(lines) == 2


def test_a_folder() -> None:
    lines = list(folder.lines(rounds=1, counts=(1, 17)))
    check(lines, 1)
    assert len(lines) == 3


def test_starting() -> None:
    app = (sys.executable, "-c", APP)
    lines = {
        line.what: line for line in start.lines(1, app, [b"photo"], 3, "import time\ntime.sleep(0.1)", "pass")
    }
    (paint,) = (line for what, line in lines.items() if what.startswith("first paint: `/`"))
    assert "before TensorFlow" in paint.what
    assert 0.3 < paint.values[0] < lines["first answer"].values[0]
    assert lines["`import gradio` alone"].values[0] > 0.1
    assert lines["memory at rest"].values[0] > 5
    assert all(len(line.values) == 1 for line in lines.values())


def test_what_does_not_start_is_told() -> None:
    with pytest.raises(RuntimeError, match="no app here"):
        start.start((sys.executable, "-c", "raise SystemExit('no app here')"), [b"photo"], 1)
    with pytest.raises(RuntimeError, match="before it was through"):
        start.script("raise SystemExit")


def test_the_command_prints_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks"])
    assert command("doc", lambda: [Line("one", (1.0,), (1.0,))], lambda: [Line("two", (1.0,), (0.5,))]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [row.count("|") for row in shown[-4:]] == [9] * 4
    assert shown[-1].startswith("| two | ms | 1 |")
    monkeypatch.setenv("SKINAPP_MODEL", "/nowhere")
    assert command("doc") == 2
    assert "SKINAPP_MODEL" in capsys.readouterr().err


def test_an_archive_s_cost_follows_from_its_rate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(1000))

    def score(lines: list[str], missing: list[range], *_: object) -> Iterator[pa.Table]:
        for _block in range(0, len(lines), BLOCK):
            yield pa.table({"number": range(BLOCK)})

    monkeypatch.setattr(archive, "engine", lambda address: nullcontext([8]))
    monkeypatch.setattr(archive, "score", score)
    monkeypatch.setattr(archive, "bare_rate", lambda model: 128.0)
    # Not time.perf_counter itself: other threads of this process may ask for it.
    own = SimpleNamespace(perf_counter=lambda: next(clock), strftime=time.strftime)
    monkeypatch.setattr(archive, "time", own)
    assert archive.main(["--photos", str(6 * BLOCK), "--workers", "2", "--price", "0.1"]) == 0
    written = capsys.readouterr().out
    assert "all processors: 128.0 photos/s" in written
    # A block of 64 a second: 15,625 seconds for a million, on eight processors.
    assert "| 2 | 4 | 1 s | 64.0 | 50% | 35 | 3.47 |" in written
