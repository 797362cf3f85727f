"""A model of the Hugging Face hub, against a stand-in of the hub on this machine: same addresses, same headers."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from skinapp.network.configuration import Configuration
from tests.serving import ROOT

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Serves a folder as the model user/name at one commit."""

    folder: Path
    fetched: list[str]


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/user/name/tree/"):
            return self._json(
                [
                    {"type": "file", "path": p.name, "size": p.stat().st_size, "oid": self._tag(p)}
                    for p in self._files()
                ]
            )
        if path.startswith("/api/models/user/name"):
            siblings = [{"rfilename": p.name} for p in self._files()]
            return self._json(
                {"id": "user/name", "modelId": "user/name", "sha": COMMIT, "siblings": siblings, "tags": []}
            )
        file = self.server.folder / path.rpartition("/")[2]
        if path.startswith("/user/name/resolve/") and file.is_file():
            self.server.fetched.append(file.name)
            return self._send(file.read_bytes(), ETag=f'"{self._tag(file)}"')
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _files(self) -> list[Path]:
        return sorted(self.server.folder.iterdir())

    def _tag(self, file: Path) -> str:
        return hashlib.sha1(file.read_bytes()).hexdigest()

    def _json(self, value: object) -> None:
        self._send(json.dumps(value).encode(), **{"Content-Type": "application/json"})

    def _send(self, data: bytes, **headers: str) -> None:
        self.send_response(200)
        for name, value in ({"X-Repo-Commit": COMMIT, "Content-Length": str(len(data))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub(model_folder: Path, tmp_path: Path) -> Iterator[Hub]:
    with Hub(("127.0.0.1", 0), Handler) as server:
        server.folder = Path(shutil.copytree(model_folder, tmp_path / "served"))
        (server.folder / "large.bin").write_bytes(b"not needed")
        server.fetched = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


CODE = """
import sys
from skinapp.network.configuration import ModelError
from skinapp.network.folders import model_folder
try:
    print(model_folder(sys.argv[1]))
except ModelError as error:
    print(f"refused: {error}")
"""


def ask(named: str, endpoint: str, home: Path) -> str:
    """What `model_folder` answers in a process of its own: huggingface_hub reads its settings while it is imported."""
    settings = {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "NO_PROXY": "127.0.0.1",
        "HF_HUB_DISABLE_XET": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", CODE, named], cwd=ROOT, env=os.environ | settings, capture_output=True, text=True, timeout=120, check=False
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout.strip()


def test_a_model_of_the_hub_is_fetched_once_and_without_what_is_not_needed(hub: Hub, tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{hub.server_port}"
    folder = Path(ask("hf://user/name", endpoint, tmp_path))
    assert Configuration.read(folder) == Configuration.read(hub.folder)
    assert {"weights.npz", "network.json", "known_answer.json"} <= {path.name for path in folder.iterdir()}
    assert "large.bin" not in hub.fetched
    before = len(hub.fetched)
    assert Path(ask(f"hf://user/name@{COMMIT}", endpoint, tmp_path)) == folder
    assert len(hub.fetched) == before, "the cache has it"


def test_what_the_hub_does_not_have_is_one_sentence(hub: Hub, tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{hub.server_port}"
    for named, says in (("hf://user/other", "check its name"), ("hf://a/b/c/d", "write hf://USER/NAME")):
        answer = ask(named, endpoint, tmp_path)
        assert answer.startswith(f"refused: {named} ") and says in answer and "\n" not in answer
    nobody = ask("hf://user/name", "http://127.0.0.1:9", tmp_path / "empty")
    assert "cannot be reached" in nobody and "\n" not in nobody
