"""The app under load and with what goes wrong around it. SKINAPP_STRESS=1 (make stress) runs the long forms."""

import json
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import Popen

import httpx
import pytest

from benchmarks.load import alone, classify, connect, drawn_photos, drive, metric, resident_megabytes, same
from tests.serving import running_process, wait_until_ready

STRESS = bool(os.environ.get("SKINAPP_STRESS"))
SECONDS, REQUESTS = (120, 5000) if STRESS else (10, 150)
MOST_GROWTH = 60  # megabytes, from when it has settled to the end: a leak goes on

HEADER_SECONDS = 8.0  # instead of 20, which a test would wait for
HASTY = f"""
import runpy
from skinapp.service import server
server.HEADER_SECONDS = {HEADER_SECONDS}
runpy.run_path("app.py", run_name="__main__")
"""

Server = tuple[str, Popen, Path]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("app")
    hasty = sys.executable, "-c", HASTY
    with running_process(folder / "log.txt", *hasty, TMPDIR=str(folder)) as (address, process):
        wait_until_ready(address)
        (uploads,) = folder.glob("skinapp-*")
        yield address, process, uploads


@pytest.fixture(scope="module")
def photos() -> list[bytes]:
    return drawn_photos()


def through_gradio(address: str, photo: bytes) -> dict[str, float]:
    with httpx.Client(base_url=address, timeout=120) as client:
        (path,) = client.post("/gradio_api/upload", files={"files": ("x.jpg", photo)}).json()
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        event = (
            client.post("/gradio_api/call/classify", json={"data": [file, "fast"]}).raise_for_status().json()
        )
        stream = client.get(f"/gradio_api/call/classify/{event['event_id']}").text
        return json.loads(stream.rpartition("data: ")[2])[0]["probabilities"]


def settled_megabytes(address: str, process: Popen, photos: list[bytes]) -> float:
    """Resident memory after enough requests, each way, for TensorFlow and Gradio to have what they keep."""
    through_gradio(address, photos[0])
    before, now = 0.0, resident_megabytes(process.pid)
    for _ in range(5):
        if now - before < 5:
            break
        drive(address, photos, users=32, requests=60)
        before, now = now, resident_megabytes(process.pid)
    return now


def test_many_users_at_once_get_each_their_own_answer(server: Server, photos: list[bytes]) -> None:
    address, process, _ = server
    own = alone(address, photos)
    assert len({str(answer) for answer in own}) == len(photos)
    settled = settled_megabytes(address, process, photos)
    with ThreadPoolExecutor(4) as pool:  # the page's way, at the same time
        beside = pool.map(lambda photo: through_gradio(address, photo), photos[:8])
        load = drive(address, photos, users=28, seconds=SECONDS, requests=REQUESTS)
        for answer, expected in zip(beside, own, strict=False):
            assert same(answer, expected)
    assert load.errors == ()
    assert load.wrong == 0
    assert resident_megabytes(process.pid) - settled < MOST_GROWTH
    assert metric(address, "skinapp_waiting") == 0
    together = metric(address, "skinapp_batch_photos_sum") / metric(address, "skinapp_batch_photos_count")
    assert together > 1.5, "what waits is not run together"


def test_more_than_may_wait_are_told_to_come_again(server: Server, photos: list[bytes]) -> None:
    load = drive(server[0], photos, users=100, requests=100)
    assert load.wrong == 0
    assert load.latencies
    assert all(error.startswith("503 The service is busy: try again in") for error in load.errors)
    assert load.errors, "64 may wait"


@pytest.mark.parametrize("path", ["/v1/classify", "/gradio_api/upload"])
def test_clients_that_leave_in_the_middle_leave_nothing_open(
    server: Server, photos: list[bytes], path: str
) -> None:
    address, process, _ = server
    host, port = address.removeprefix("http://").split(":")
    before = len(os.listdir(f"/proc/{process.pid}/fd"))
    for _ in range(20):
        with socket.create_connection((host, int(port))) as raw:
            raw.sendall(
                f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
                'Content-Length: 1000000\r\n\r\n--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
                .encode() + bytes(100_000)
            )  # fmt: skip
    classify(connect(address), photos[0])
    deadline = time.monotonic() + 20
    while len(os.listdir(f"/proc/{process.pid}/fd")) > before + 3:
        assert time.monotonic() < deadline, "their files or connections are still open"
        time.sleep(0.2)


def test_a_full_disk_is_told_and_got_over(server: Server, photos: list[bytes]) -> None:
    address, process, _ = server
    own = alone(address, photos[:1])[0]
    large = {"files": ("x.jpg", bytes(2_000_000))}
    normal = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1_000_000, normal[1]))
    try:
        answer = httpx.post(f"{address}/gradio_api/upload", files=large, timeout=60)
        assert answer.status_code == 507
        assert "cannot store" in answer.json()["error"]
        assert same(alone(address, photos[:1])[0], own), "the plain route needs no disk"
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, normal)
    assert httpx.post(f"{address}/gradio_api/upload", files=large, timeout=60).status_code == 200


def test_running_out_of_file_handles_is_got_over(server: Server, photos: list[bytes]) -> None:
    address, process, _ = server
    host, port = address.removeprefix("http://").split(":")
    normal = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    few = len(os.listdir(f"/proc/{process.pid}/fd")) + 4
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (few, normal[1]))
    crowd = [socket.create_connection((host, int(port))) for _ in range(6)]
    try:
        for connection in crowd[::2]:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nX-Half")
        time.sleep(2)
        with pytest.raises(httpx.HTTPError):  # no handle is left for this connection
            httpx.get(f"{address}/health", timeout=2)
        assert process.poll() is None
        # The crowd stays, but does not ask for anything: it is shown out.
        httpx.get(f"{address}/health", timeout=2 * HEADER_SECONDS).raise_for_status()
        assert crowd[0].recv(1) == crowd[1].recv(1) == b""
    finally:
        for connection in crowd:
            connection.close()
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, normal)
    own = alone(address, photos[:1])
    assert same(own[0], alone(address, photos[:1])[0])


def test_sigterm_under_load_finishes_what_runs(server: Server, photos: list[bytes]) -> None:
    """The last test of this file: it ends the app that the others use."""
    address, process, uploads = server
    own = alone(address, photos)
    through_gradio(address, photos[0])
    assert list(uploads.rglob("x.jpg")), "the upload that has to go with the app"
    lock, answered, lost = threading.Lock(), [], []
    ended = threading.Event()

    def user(number: int) -> None:
        connection = connect(address)
        while not ended.is_set():
            sent = time.monotonic()
            try:
                status, answer = classify(connection, photos[number])
            except Exception:  # noqa: BLE001  # refused or cut off: judged by when it was sent
                with lock:
                    lost.append(sent)
                return
            with lock:
                answered.append(status == 200 and same(answer["probabilities"], own[number]))

    with ThreadPoolExecutor(12) as pool:
        for number in range(12):
            pool.submit(user, number)
        with httpx.stream("GET", f"{address}/gradio_api/heartbeat/page", timeout=30):  # an open page
            time.sleep(2)
            told = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0
            took = time.monotonic() - told
            ended.set()
    assert took < 10
    assert answered and all(answered)
    assert [sent for sent in lost if sent < told - 0.2] == [], "these ran when the signal came"
    assert not uploads.exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/health")
