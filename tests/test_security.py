"""Attacks on the app as it is started: other people's files, the server's files, addresses to fetch, oversized bodies."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.parse import quote

import gradio as gr
import httpx
import pytest
import uvicorn
from gradio_client import Client, handle_file
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from playwright.sync_api import expect
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from uvicorn.server import ServerState

from skinapp.page import launch
from skinapp.page.fence.guard import SPARE_BYTES, Guard
from skinapp.page.fence.memory import forget_old_sessions
from skinapp.photo.drawings import draw_lesion
from skinapp.photo.preprocess import MOST_BYTES
from skinapp.service import logs, server
from skinapp.service.access import GUESSES, Access, Bucket
from skinapp.service.asgi import Refusal
from skinapp.service.engine import Engine
from skinapp.service.limits import Limits
from skinapp.service.settings import SettingError, Settings
from skinapp.service.uploads import KEPT_SECONDS, LOCK, PAUSE, Ledger, PrivateFolder
from skinapp.service.watch import route_of
from tests.serving import ROOT, browser, running_app, wait_until_ready

SECRET = "secret-name"  # of a patient's photo; must not turn up in any log
STREAMS = re.compile("/(queue/data|upload_progress)")
META = {"_type": "gradio.FileData"}


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / f"{SECRET}.jpg"
    draw_lesion("mel").save(path)
    return path


@pytest.fixture(scope="module")
def uploads(address: str, app_folder: Path) -> Path:
    (uploads,) = app_folder.glob("skinapp-*")
    return uploads


class Listener:
    """A server on loopback that counts who connects."""

    def __init__(self) -> None:
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}/photo.jpg"
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            self.connections += 1
            connection.close()


@pytest.fixture(scope="module")
def listener() -> Listener:
    listener = Listener()
    socket.create_connection(("127.0.0.1", int(listener.address.split(":")[2].split("/")[0]))).close()
    time.sleep(0.2)
    assert listener.connections == 1, "a listener that hears nothing proves nothing"
    listener.connections = 0
    return listener


def visitor(address: str) -> httpx.Client:
    """A browser's cookies, without the browser."""
    client = httpx.Client(base_url=address, timeout=60)
    client.get("/").raise_for_status()
    assert client.cookies
    return client


def upload(client: httpx.Client, photo: Path) -> str:
    answer = client.post("/gradio_api/upload", files={"files": (photo.name, photo.read_bytes())})
    (path,) = answer.raise_for_status().json()
    return path


def file_data(path: str, **more: Any) -> dict:
    return {"path": path, "meta": META} | more


def classify_id(client: httpx.Client) -> int:
    dependencies = client.get("/config").json()["dependencies"]
    return next(d["id"] for d in dependencies if d["api_name"] == "classify")


def attempts(client: httpx.Client, value: Any) -> dict[str, httpx.Response]:
    """The value as the photo of an event, by every way in which events come in."""
    fn, session = classify_id(client), os.urandom(6).hex()
    data = [value, "fast"]
    posts = {
        "/gradio_api/call/classify": {"data": data},
        "/gradio_api/call/v2/classify": {"photo": value, "model": "fast"},
        "/gradio_api/run/classify": {"data": data},
        "/gradio_api/run/classify/": {"data": data, "event_data": value},
        "/gradio_api/queue/join": {"data": data, "fn_index": fn, "session_hash": session},
    }
    return {path: client.post(path, json=body) for path, body in posts.items()}


def called(client: httpx.Client, name: str, data: list[Any]) -> Any:
    """What an endpoint returns, asked for as the README says."""
    event = client.post(f"/gradio_api/call/{name}", json={"data": data}).raise_for_status().json()["event_id"]
    *_, last = client.get(f"/gradio_api/call/{name}/{event}").text.strip().split("\n\n")
    kind, answer = last.removeprefix("event: ").split("\ndata: ")
    assert kind == "complete", answer
    return json.loads(answer)


def test_no_address_from_a_client_is_fetched(address: str, listener: Listener, photo: Path) -> None:
    client = visitor(address)
    url, own = listener.address, upload(client, photo)
    values = [
        file_data(url), {"path": url}, {"url": url}, {"url": url, "meta": META}, {"path": None, "url": url, "meta": META},
        [file_data(url)], [[{"photo": file_data(own)}, {"photo": file_data(url)}]], {"value": file_data(url)}, url,
        file_data(url.upper()), file_data(f" {url}"), file_data(url.replace("http:", "ftp:")),
        file_data(url.removeprefix("http:")), file_data("file:///etc/passwd"), "data:image/png;base64,AAAA",
        file_data(own, thumbnail=file_data(url)),
    ]  # fmt: skip
    for value in values:
        for way, answer in attempts(client, value).items():
            assert answer.status_code == 403, (way, value, answer.text)
            assert re.search("not fetched|no address", answer.json()["error"]), way
    for path in (f"file={url}", f"proxy={url}", f"file/{url}", f"file={quote(url, safe='')}"):
        assert client.get(f"/gradio_api/{path}").status_code in (403, 404), path
    twice = json.dumps({"data": [{"path": own, "#": url, "meta": META}, "fast"]}).replace("#", "path")
    assert client.post("/gradio_api/run/classify", content=twice).status_code == 403
    assert listener.connections == 0


def test_the_address_beside_an_own_upload_is_ignored(address: str, listener: Listener, photo: Path) -> None:
    client = visitor(address)
    value = file_data(upload(client, photo), url=listener.address)
    assert called(client, "classify", [value, "fast"])[0]["label"]
    assert listener.connections == 0


def test_files_of_the_server_are_neither_served_nor_read(address: str, uploads: Path, photo: Path) -> None:
    client = visitor(address)
    own = upload(client, photo)
    link = Path(own).parent / "link.jpg"
    link.symlink_to("/etc/passwd")
    paths = [
        "/etc/passwd", "/proc/self/environ", "/proc/1/cmdline", "app.py", "model/fast/weights.npz", "../../etc/passwd",
        f"{uploads}/../../../../../../etc/passwd", f"{own}/../link.jpg", str(link), str(uploads / LOCK), str(uploads),
        f"/{own}", "", "\x00",
    ]  # fmt: skip
    for path in paths:
        for quoted in (quote(path), quote(path, safe=""), quote(path).replace(".", "%2e")):
            answer = client.get(f"/gradio_api/file={quoted}")
            assert answer.status_code in (403, 404), path
        for way, answer in attempts(client, file_data(path)).items():
            assert answer.status_code == 403, (way, path)
    link.unlink()


def test_an_upload_that_has_gone_is_said_to_have(address: str, photo: Path) -> None:
    client = visitor(address)
    own = upload(client, photo)
    Path(own).unlink()
    for way, answer in attempts(client, file_data(own)).items():
        assert answer.status_code == 410, way
        assert "deleted meanwhile" in answer.json()["error"]


def test_an_uploaded_file_is_its_uploader_s_alone(address: str, photo: Path) -> None:
    one, other, nobody = visitor(address), visitor(address), httpx.Client(base_url=address)
    path = upload(one, photo)
    assert one.get(f"/gradio_api/file={path}").content == photo.read_bytes()
    for client in (other, nobody):
        assert client.get(f"/gradio_api/file={path}").status_code == 403
        assert client.head(f"/gradio_api/file={path}").status_code == 403
        for way, answer in attempts(client, file_data(path)).items():
            assert answer.status_code == 403, way
    assert nobody.get(f"/gradio_api/file={path}", headers={"cookie": "skinapp=x"}).status_code == 403


def test_an_answer_s_file_is_its_asker_s_alone(address: str, photo: Path) -> None:
    one, other = visitor(address), visitor(address)
    data = [file_data(upload(one, photo)), "mel", "fast"]
    overlay = called(one, "explain", data)[0]["path"]
    assert one.get(f"/gradio_api/file={overlay}").headers["content-type"] == "image/png"
    assert other.get(f"/gradio_api/file={overlay}").status_code == 403


def test_a_session_is_its_first_user_s_alone(address: str, photo: Path) -> None:
    one, other = visitor(address), visitor(address)
    body = {
        "data": [file_data(upload(one, photo)), "fast"],
        "fn_index": classify_id(one),
        "session_hash": "one",
    }
    event = one.post("/gradio_api/queue/join", json=body).json()["event_id"]
    assert other.get("/gradio_api/queue/data", params={"session_hash": "one"}).status_code == 403
    assert other.get("/gradio_api/heartbeat/one").status_code == 403
    assert other.get(f"/gradio_api/call/classify/{event}").status_code == 403
    cancel = {"session_hash": "one", "fn_index": 0, "event_id": event}
    assert other.post("/gradio_api/cancel", json=cancel).status_code == 403
    mine = body | {"data": [file_data(upload(other, photo)), "fast"]}
    assert other.post("/gradio_api/queue/join", json=mine).status_code == 403
    assert "process_completed" in one.get("/gradio_api/queue/data", params={"session_hash": "one"}).text
    call = one.post("/gradio_api/call/classify", json={"data": body["data"]}).json()["event_id"]
    assert other.get(f"/gradio_api/call/classify/{call}").status_code == 403
    assert "probabilities" in one.get(f"/gradio_api/call/classify/{call}").text


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({}, True),
        ({"origin": "https://skin.hospital.org"}, True),
        ({"origin": "https://skin.hospital.org", "host": "app:7860", "x-forwarded-host": "skin.hospital.org"}, True),
        ({"origin": "https://skin.hospital.org", "host": "app:7860", "sec-fetch-site": "same-origin"}, True),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "https://evil.example", "sec-fetch-site": "cross-site"}, False),
        ({"origin": "https://hospital.org", "sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"origin": "null"}, False),
        ({"origin": "https://["}, False),
    ],
)  # fmt: skip
def test_another_site_reads_and_sends_nothing_by_its_visitor_s_browser(
    address: str, headers: dict[str, str], own: bool
) -> None:
    headers = {"host": "skin.hospital.org", "content-type": "text/plain"} | headers
    client = httpx.Client(base_url=address, headers=headers, timeout=60)
    answers = [client.get("/config")]
    for path in ("/gradio_api/call/performance", "/gradio_api/upload", "/v1/classify"):
        answer = client.post(path, content=b'{"data": ["fast"]}')
        assert (answer.status_code == 403) is not own, path
        assert own or answer.json()["error"].startswith("Another site")
        answers += [answer, client.options(path, headers={"access-control-request-method": "POST"})]
    assert not [name for answer in answers for name in answer.headers if name.startswith("access-control-")]


def test_routes_that_nobody_needs_are_not_there(address: str) -> None:
    client = visitor(address)
    for path in (
        "monitoring",
        "gradio_api/runs",
        "gradio_api/deep_link",
        "gradio_api/vibe-code",
        "docs",
        "openapi.json",
    ):
        assert client.get(f"/{path}").status_code == 404, path
    for path in ("component_server", "process_recording", "stream/x", "vibe-edit"):
        assert client.post(f"/gradio_api/{path}", json={}).status_code == 404, path
    assert client.put("/v1/classify").status_code == client.delete("/").status_code == 404


def test_many_photos_do_not_go_round_the_queue(address: str, photo: Path) -> None:
    client = visitor(address)
    data = {"data": [[file_data(upload(client, photo))], "fast"]}
    dependencies = client.get("/config").json()["dependencies"]
    number = next(d["id"] for d in dependencies if d["api_name"] == "classify_many")
    for name, body in (("classify_many", data), ("stop", data | {"fn_index": number})):
        answer = client.post(f"/gradio_api/run/{name}", json=body)
        assert answer.status_code == 403
        assert answer.json()["error"].endswith("post to /gradio_api/call/classify_many instead.")
    assert client.post("/gradio_api/api/classify_many", json=data).status_code == 404
    alone = client.post("/gradio_api/run/classify", json={"data": [file_data(upload(client, photo)), "fast"]})
    assert alone.status_code == 200, "the engine counts it, whichever way it comes"


def test_a_malformed_event_is_refused_in_one_sentence(address: str, photo: Path) -> None:
    client = visitor(address)
    path = upload(client, photo)
    file = file_data(path)
    for data in (
        [], [file], [[file], "fast"], ["x", "fast"], [{"path": path}, "fast"], [file, "fast", "fast"], "x", None,
        [file | {"size": "large"}, "fast"], [5, "fast"], [{"url": "x"}, "fast"],
    ):  # fmt: skip
        fn = {"fn_index": classify_id(client), "session_hash": os.urandom(6).hex()}
        for way, more in {"call/classify": {}, "run/classify": {}, "queue/join": fn}.items():
            answer = client.post(f"/gradio_api/{way}", json={"data": data} | more)
            assert answer.status_code == 400, (way, data)
            assert re.fullmatch(
                r"The event's (data|photo) has to be .* (photo, model|\{.*\})\.", answer.json()["error"]
            )
    for named in ({}, {"photo": file, "x": 1}, {"photo": "x"}, {"photo": {"path": path}}):
        answer = client.post("/gradio_api/call/v2/classify", json=named)
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("The event")
    for data in ([[file_data(path), "x"], "fast"], [file, "fast"]):
        assert client.post("/gradio_api/call/classify_many", json={"data": data}).status_code == 400
    answer = client.post("/gradio_api/call/report", json={"data": [file, "mel", "x", "high", "fast"]})
    assert answer.json() == {"error": "The event's sensitivity has to be a number."}
    for way, more in {
        "call/nothing": {},
        "call/v2/nothing": {},
        "queue/join": {"fn_index": 999, "session_hash": "x"},
    }.items():
        answer = client.post(f"/gradio_api/{way}", json={"data": []} | more)
        assert answer.status_code == 404
        assert answer.json()["error"].startswith("There is no such function")


def test_a_label_is_no_address(address: str, photo: Path) -> None:
    client = visitor(address)
    for label in ("Data: left arm", "//2 lesion", "http://intranet/case/5"):
        data = [file_data(upload(client, photo)), "mel", label, 0.95, "fast"]
        reading = called(client, "report", data)[1]["path"]
        assert client.get(f"/gradio_api/file={reading}").json()["case"] == label


def test_an_unknown_event_is_one_sentence(address: str, app_folder: Path) -> None:
    client, log = visitor(address), app_folder / "log.txt"
    before = len(log.read_text(errors="replace"))
    for path in ("call/classify/xyz", "call/v2/classify/xyz", "queue/data?session_hash=xyz"):
        answer = client.get(f"/gradio_api/{path}")
        assert answer.status_code == 404
        assert answer.json() == {"error": "There is no such event, or it is long over: send it again."}
    assert "Exception" not in log.read_text(errors="replace")[before:]


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an app where two photos may wait, and a client may send twenty requests a minute."""
    limits = {"SKINAPP_WAITING": "2", "SKINAPP_REQUESTS_PER_MINUTE": "20"}
    with running_app(tmp_path_factory.mktemp("narrow") / "log.txt", **limits) as address:
        yield address


def test_a_full_queue_says_when_to_come_again(narrow: str, photo: Path) -> None:
    client = visitor(narrow)
    event = {"data": [file_data(upload(client, photo)), "mel", "fast"]}
    answers = [client.post("/gradio_api/call/explain", json=event) for _ in range(14)]
    full = [answer for answer in answers if answer.status_code != 200]
    assert full and len(full) < 14
    for answer in full:
        assert answer.status_code == 503
        assert answer.json() == {
            "error": f"The service is busy: try again in {answer.headers['retry-after']} s."
        }


def test_nobody_is_believed_to_be_somebody_else(narrow: str) -> None:
    """After the test of the queue, to which it leaves no requests."""
    with httpx.Client(base_url=narrow, timeout=60) as client:
        claims = [{"x-forwarded-for": f"192.0.2.{number}"} for number in range(40)]
        statuses = [client.post("/v1/classify", headers=claim).status_code for claim in claims]
    assert set(statuses) == {400, 429}, "more than twenty, of one client whatever it claims"


def test_events_that_are_none_are_refused(address: str) -> None:
    client = visitor(address)
    for body in (
        b"",
        b"[]",
        b"{",
        b"\xff",
        b'{"data": ' + b"[" * 100_000,
        b'{"data": [], "session_hash": 5}',
    ):
        assert client.post("/gradio_api/queue/join", content=body).status_code in (400, 403), body[:20]
    huge = b'{"data": ["' + b"a" * (5 * 2**20) + b'"]}'
    assert client.post("/gradio_api/call/classify", content=huge).status_code == 413


@pytest.mark.parametrize("path", ["/v1/classify", "/gradio_api/upload"])
def test_too_large_a_body_is_refused_before_it_is_read(address: str, path: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {10**12}\r\n\r\n"
        raw.sendall(head.encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 413 ")


def test_too_large_a_chunked_body_is_refused_where_the_limit_is_passed(address: str) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'
        for _ in range(MOST_BYTES // 2**20 + 4):
            yield bytes(2**20)

    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = httpx.post(f"{address}/v1/classify", content=chunks(), headers=headers, timeout=60)
    assert answer.status_code == 413
    assert "40 MB" in answer.json()["error"]


def test_the_log_holds_times_and_sizes_but_no_name(
    address: str, photo: Path, app_folder: Path, tmp_path: Path
) -> None:
    client = visitor(address)
    bad = tmp_path / f"{SECRET}.jpg"
    bad.write_text("no picture")
    for file in (photo, bad):
        path = upload(client, file)
        event = {"data": [file_data(path, orig_name=SECRET), "fast"]}
        name = client.post("/gradio_api/call/classify", json=event).raise_for_status().json()["event_id"]
        client.get(f"/gradio_api/call/classify/{name}")
        client.post("/v1/classify", files={"photo": (SECRET, file.read_bytes())})
        client.get(f"/gradio_api/file={path}")
    for nonsense in ({"data": [SECRET, "fast"]}, {"data": [{"name": SECRET}, SECRET]}, {"data": SECRET}):
        assert client.post("/gradio_api/run/classify", json=nonsense).status_code >= 400
        client.post("/gradio_api/call/classify", json=nonsense)
    client.get(f"/{SECRET}")
    time.sleep(1)
    log = (app_folder / "log.txt").read_text(errors="replace")
    assert SECRET not in log
    assert "Traceback" not in log
    assert re.search(r"POST /v1/classify 200, \d+ ms, \d+ bytes in, \d+ bytes out", log)


def test_exceptions_are_logged_by_place_alone() -> None:
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        place = logs._Formatter().formatException((ValueError, error, error.__traceback__))
    assert re.fullmatch(r"ValueError at test_security\.py:\d+", place)


def test_a_route_names_no_file() -> None:
    assert route_of(f"/gradio_api/file=/tmp/{SECRET}.jpg") == "/gradio_api/file"
    assert route_of(f"/gradio_api/heartbeat/{SECRET}") == "/gradio_api/heartbeat"
    assert route_of(f"/gradio_api/call/classify/{SECRET}") == "/gradio_api/call"
    assert route_of(f"/{SECRET}") == "other"
    assert route_of("/") == "/"


def test_old_files_go_within_ten_minutes(tmp_path: Path) -> None:
    assert KEPT_SECONDS + PAUSE < 600
    page_s = tmp_path / "page" / "example.jpg"
    page_s.parent.mkdir()
    page_s.write_bytes(b"x")
    ledger = Ledger(tmp_path)
    old, half_sent, new = tmp_path / "a" / "old.jpg", tmp_path / "tmp123", tmp_path / "b" / "new.jpg"
    for path in (old, half_sent, new):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
        ledger.tell(str(path), "one")
    ago = time.time() - KEPT_SECONDS - 1
    for path in (old, half_sent, old.parent, page_s):
        os.utime(path, (ago, ago))
    assert set(ledger.sweep()) == {str(old), str(half_sent)}
    assert new.exists() and page_s.exists()
    assert ledger.may_see(str(page_s), "anybody")
    old.write_bytes(b"another's")  # whoever was told of the old file has no right to a new one of that name
    assert not ledger.may_see(str(old), "one")


def test_an_old_upload_goes_while_the_app_runs(address: str, photo: Path, tmp_path: Path) -> None:
    client, other = visitor(address), tmp_path / "other.jpg"
    other.write_bytes(b"another photo")
    old, new = Path(upload(client, photo)), Path(upload(client, other))
    ago = time.time() - KEPT_SECONDS
    os.utime(old, (ago, ago))
    deadline = time.monotonic() + 3 * PAUSE
    while old.exists():
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert new.exists()


def test_the_launched_app_forgets_sessions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Sessions, which nobody outside sees: launched here, but served to nobody, and with shorter pauses."""
    monkeypatch.setattr(server, "serve", lambda *_: None)
    soon = {"kept": timedelta(0), "pause": 0.1}
    monkeypatch.setattr("skinapp.page.forget_old_sessions", partial(forget_old_sessions, **soon))
    with gr.Blocks() as page:
        gr.State("photo")
    launch(page, Engine(), Settings(), tmp_path)
    page.state_holder["session"]
    assert page.state_holder.session_data
    deadline = time.monotonic() + 10
    while page.state_holder.session_data:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_killed_process_s_folder_goes_at_the_next_start(tmp_path: Path) -> None:
    code = (
        "from skinapp.service.uploads import PrivateFolder as P; p = P(); print(p.path, flush=True); input()"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    killed, alive = (Path(process.stdout.readline().strip()) for process in processes)  # type: ignore[union-attr]
    assert oct(alive.stat().st_mode & 0o777) == "0o700"
    (killed / "photo.jpg").write_bytes(b"x")
    processes[0].kill()
    processes[0].wait()
    subprocess.run(
        [sys.executable, "-c", code], env=environment, input="\n", text=True, check=True, capture_output=True
    )
    assert not killed.exists()
    assert alive.exists()
    processes[1].communicate("\n")


def test_a_browser_meets_no_other_host_and_no_violation(address: str, photo: Path) -> None:
    wait_until_ready(address)
    with browser() as chromium:
        page = chromium.new_page()
        complaints: list[str] = []
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "requestfailed",  # but for streams that the page closes once it has its answer
            lambda r: None if STREAMS.search(r.url) and "ABORTED" in r.failure else complaints.append(r.url),
        )
        page.on(
            "request",
            lambda r: None if r.url.startswith((address, "data:", "blob:")) else complaints.append(r.url),
        )
        page.add_init_script(
            "document.addEventListener('securitypolicyviolation', e => console.error('CSP', e.violatedDirective, e.blockedURI))"
        )
        answer = page.goto(address)
        assert (
            answer
            and "'unsafe-inline'" not in answer.headers["content-security-policy"].split("style-src")[0]
        )
        expect(page.locator("#photo")).to_be_visible(timeout=60_000)
        page.set_input_files("#photo input[type=file]", photo)
        page.get_by_role("button", name="Show it anyway").click(timeout=60_000)  # it is a drawing
        expect(page.locator("#saliency img.heat")).to_be_visible(timeout=60_000)
        page.get_by_label("Opacity, %").last.fill("80")
        for tab in page.locator("#main-tabs > .tab-wrapper [role=tab]").all():
            tab.click()
        page.wait_for_function("document.documentElement.style.getPropertyValue('--heat-opacity') == '0.8'")
        assert not complaints
        page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.injected = 1'}))"
        )
        assert page.evaluate("window.injected") is None
        assert any("script-src-elem" in text for text in complaints), "the watcher above sees violations"


def test_user_and_password_limits_and_frames_are_as_set(tmp_path: Path) -> None:
    environment = {"SKINAPP_USER": "ward", "SKINAPP_PASSWORD": "pä55", "SKINAPP_REQUESTS_PER_MINUTE": "3"}
    with running_app(tmp_path / "log.txt", SPACE_ID="somebody/skinapp", **environment) as address:
        for path in ("/", "/metrics", "/config", "/v1/classify", "/gradio_api/info"):
            answer = httpx.get(f"{address}{path}")
            assert answer.status_code == 401, path
            assert "basic" in answer.headers["www-authenticate"].lower()
        for wrong in (("ward", "pass"), ("", ""), ("ward:pä55", "")):
            assert httpx.get(address, auth=wrong).status_code == 401
        auth = httpx.BasicAuth(b"ward", "pä55".encode())
        page = httpx.get(address, auth=auth)
        assert page.status_code == 200
        assert "frame-ancestors https://huggingface.co" in page.headers["content-security-policy"]
        assert "x-frame-options" not in page.headers
        assert page.headers["set-cookie"].startswith("__Host-skinapp=")
        assert page.headers["set-cookie"].endswith("; Path=/; HttpOnly; SameSite=None; Partitioned; Secure")
        statuses = [httpx.post(f"{address}/v1/classify", auth=auth, timeout=60).status_code for _ in range(4)]
        assert statuses == [400, 400, 400, 429]  # none holds a photo
        assert httpx.get(address, auth=auth).status_code == 200, "looking costs nothing"


def test_the_headers_of_every_answer(address: str) -> None:
    for path in ("/", "/health", "/nowhere", "/gradio_api/file=x", "/config"):
        headers = httpx.get(f"{address}{path}").headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "camera=(self)" in headers["permissions-policy"]
        assert "server" not in headers


def test_nothing_of_a_photo_is_kept_by_the_browser(address: str, photo: Path) -> None:
    client = visitor(address)
    answers = [
        client.get(path) for path in ("/", "/config", f"/gradio_api/file={upload(client, photo)}", "/nowhere")
    ]
    answers.append(client.post("/v1/classify", files={"photo": photo.read_bytes()}))
    for answer in answers:
        assert answer.headers.get_list("cache-control") == ["no-store"], answer.url
    (script, *_) = re.findall(r'"[./]*(/assets/[^"]+\.js)"', client.get("/").text)
    assert "no-store" not in client.get(script).raise_for_status().headers.get("cache-control", "")


async def echo(scope: dict, receive: Any, send: Any) -> None:
    """An app that reads its body and says how long it was."""
    length, more = 0, True
    while more:
        message = await receive()
        length, more = length + len(message.get("body", b"")), message.get("more_body", False)
    await PlainTextResponse(str(length))(scope, receive, send)


async def talk(parts: list[tuple[float, bytes]]) -> tuple[bytes, float]:
    """Send each part after its pause, until the server ends the connection; what it has answered, and when it ended."""
    protocol = partial(server.HeaderInTime, uvicorn.Config(slow, log_config=None), ServerState(), {})
    listening = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())

    async def send() -> None:
        for pause, part in parts:
            await asyncio.sleep(pause)
            writer.write(part)

    start, sending = time.monotonic(), asyncio.create_task(send())
    answer = b""
    with suppress(ConnectionResetError):  # where a byte comes after the end
        while part := await asyncio.wait_for(reader.read(1000), 10):
            answer += part
    seconds = time.monotonic() - start
    sending.cancel()
    listening.close()
    return answer, seconds


async def slow(scope: dict, receive: Any, send: Any) -> None:
    """An app that takes longer than a header may, and does not read its body."""
    await asyncio.sleep(2 * server.HEADER_SECONDS)
    await PlainTextResponse("slow")(scope, receive, send)


GET = b"GET / HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("parts", "answers"),
    [
        ([], 0),
        ([(0, GET)], 0),
        ([(0.3, bytes([byte])) for byte in GET], 0),
        ([(0, GET + b"\r\n"), (2.4, GET)], 1),
        ([(0, GET + b"Content-Length: 99\r\n\r\n"), (2.4, b"x"), *[(0.2, b"x")] * 30], 1),
    ],
    ids=["nothing", "half a header", "a byte now and then", "half a second header", "a body that nobody reads"],
)  # fmt: skip
def test_a_connection_without_a_whole_header_ends(
    monkeypatch: pytest.MonkeyPatch, parts: list[tuple[float, bytes]], answers: int
) -> None:
    monkeypatch.setattr(server, "HEADER_SECONDS", 1.0)
    answer, seconds = asyncio.run(talk(parts))
    assert answer.count(b"slow") == answers, "what is in work is finished"
    assert seconds < 6


def test_a_bucket_fills_again() -> None:
    bucket = Bucket(60, "requests")
    for _ in range(60):
        bucket.take("one", 100.0)
    with pytest.raises(Refusal, match="More than 60 requests a minute: try again in 1 s"):
        bucket.take("one", 100.0)
    bucket.take("other", 100.0)
    bucket.take("one", 101.0)
    with pytest.raises(Refusal):
        bucket.take("one", 101.0)


def test_passwords_cannot_be_guessed_for_long() -> None:
    client = TestClient(Access(echo, Settings(user="ward", password="right")))  # type: ignore[arg-type]
    for _ in range(2 * GUESSES):
        assert client.get("/").status_code == 401, "a browser's first request, which guesses nothing"
        assert client.get("/", auth=("ward", "right")).status_code == 200
    assert {client.get("/", auth=("ward", "wrong")).status_code for _ in range(GUESSES)} == {401}
    for password in ("wrong", "right"):
        answer = client.get("/", auth=("ward", password))
        assert answer.status_code == 429, "else guessing goes on"
        assert 1 <= int(answer.headers["retry-after"]) <= 60 / GUESSES
        assert answer.json()["error"].startswith("More than 10 wrong passwords a minute: try again in ")


def test_a_body_at_the_limit_passes_and_one_byte_more_does_not() -> None:
    client = TestClient(Limits(echo, Settings(body_bytes=10)))  # type: ignore[arg-type]
    assert client.post("/", content=b"0123456789").text == "10"
    assert client.post("/", content=b"0123456789x").status_code == 413
    assert client.post("/", content=iter([b"01234", b"56789", b"x"])).status_code == 413


def test_bodies_under_way_have_a_limit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skinapp.service.limits.IN_FLIGHT", 10)
    client = TestClient(Limits(echo, Settings()))  # type: ignore[arg-type]
    answer = client.post("/", content=b"0123456789x")
    assert answer.status_code == 503
    assert answer.json() == {"error": f"The service is busy: try again in {answer.headers['retry-after']} s."}
    assert client.post("/", content=b"0123456789").text == "10", "what was refused is under way no more"


def test_an_upload_without_room_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    client = TestClient(Guard(echo, Ledger(tmp_path), Mock(), on_space=False))  # type: ignore[arg-type]
    assert client.post("/gradio_api/upload", content=b"x").status_code == 200
    monkeypatch.setattr("shutil.disk_usage", lambda folder: Mock(free=SPARE_BYTES))
    answer = client.post("/gradio_api/upload", content=b"x")
    assert answer.status_code == 507
    assert answer.json()["error"].startswith("The server has no room for uploads")


def test_an_end_that_takes_too_long_comes_at_once_and_with_the_uploads(tmp_path: Path) -> None:
    code = """
import os, pathlib, signal, sys, time
from skinapp.service import server, settings, uploads
server.ENDS_WITHIN = 0.5
tell = lambda: os.kill(os.getpid(), signal.SIGTERM)
hang = lambda: time.sleep(3600)
server.serve(None, settings.Settings(port=0), uploads.Ledger(pathlib.Path(sys.argv[1])), tell, hang)
"""
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads/photo.jpg").write_bytes(b"x")
    subprocess.run([sys.executable, "-c", code, tmp_path / "uploads"], timeout=120, check=True)
    assert not (tmp_path / "uploads").exists()


@pytest.mark.parametrize("pause", [0.0, 5.0])
def test_a_body_that_does_not_arrive_is_given_up(pause: float) -> None:
    sent: list[Any] = []

    async def receive() -> dict:
        if not sent:
            await asyncio.sleep(pause)
        return {"type": "http.request", "body": b"x", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    asyncio.run(Limits(echo, Settings(request_seconds=0.2))(scope, receive, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == (408 if pause else 200)


@pytest.mark.parametrize(
    ("name", "value"),
    [("SKINAPP_USER", "only"), ("SKINAPP_WAITING", "0"), ("SKINAPP_REQUESTS_PER_MINUTE", "many"), ("GRADIO_SERVER_PORT", "x")],
)  # fmt: skip
def test_a_wrong_setting_is_told_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingError, match=name):
        Settings.from_environment()


def test_two_programs_on_one_machine_share_nothing(address: str, photo: Path) -> None:
    one, other = (Client(address, verbose=False, download_files=False) for _ in range(2))
    overlay, _ = one.predict(handle_file(photo), "mel", api_name="/explain")
    file = f"{address}/gradio_api/file={overlay['path']}"
    assert httpx.get(file, cookies=one.cookies).status_code == 200
    assert httpx.get(file, cookies=other.cookies).status_code == httpx.get(file).status_code == 403
    for client in (one, other):
        client.close()


def test_programs_without_cookies_get_their_files(address: str, photo: Path) -> None:
    client = httpx.Client(base_url=address, timeout=60)
    overlay = called(client, "explain", [file_data(upload(client, photo)), "mel", "fast"])[0]["path"]
    assert not client.cookies
    assert client.get(f"/gradio_api/file={overlay}").headers["content-type"] == "image/png"


def test_gradio_client_gets_its_files(address: str, photo: Path, tmp_path: Path) -> None:
    client = Client(address, verbose=False, download_files=str(tmp_path))
    picture, answer = client.predict(handle_file(photo), "mel", api_name="/explain")
    assert Path(picture).stat().st_size > 0
    assert answer["label"] == "mel"
    with pytest.raises(Exception, match="403|Addresses|address"):
        client.predict({"path": "http://127.0.0.1:1/x.jpg", "meta": META}, api_name="/classify")


def test_the_folder_is_made_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = PrivateFolder()
    (folder.path / "x").mkdir()
    folder.remove()
    assert not list(tmp_path.iterdir())


def test_the_lock_file_holds_every_requirement_by_hash() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", lock, re.MULTILINE):
        locked.setdefault(canonicalize_name(name), set()).add(version)
    assert len(re.findall(r"^[\w.-]+==.*\\\n    --hash=sha256:", lock, re.MULTILINE)) == sum(
        map(len, locked.values())
    )
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if text:
            requirement = Requirement(text)
            versions = locked.get(canonicalize_name(requirement.name), set())
            assert any(v in requirement.specifier for v in versions), f"{text}: run make lock"
