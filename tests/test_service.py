"""The plain routes, batching, starting and ending: on the app as it is started, with the shipped weights."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from benchmarks import service
from skinapp.decision import OperatingPoint
from skinapp.lesions import CODES
from skinapp.network import known_answer
from skinapp.network.classifier import Classifier, load
from skinapp.network.configuration import Configuration, ModelError
from skinapp.network.folders import MODELS, default_model
from skinapp.page.fence.streams import HEARD_WITHIN, Streams
from skinapp.photo.drawings import draw_lesion
from skinapp.photo.preprocess import to_input, to_pixels
from skinapp.reading import read
from skinapp.service.batching import Batcher
from skinapp.service.engine import Busy, Engine
from skinapp.service.settings import Settings
from tests.serving import ROOT, free_port, running_process, wait_until_ready
from tests.test_dicom import READ as DICOM
from tests.test_heic import PHOTO as HEIC
from train import known_answer as store

ANSWERS = [path.parent for path in sorted(MODELS.glob("*/skinapp.json"))]


@pytest.fixture(scope="module")
def address(address: str) -> str:
    wait_until_ready(address)
    return address


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    for code in CODES:
        draw_lesion(code, seed=3).save(folder / f"{code}.jpg")
    return sorted(folder.iterdir())


def classify(address: str, photo: bytes, **fields: str) -> httpx.Response:
    return httpx.post(f"{address}/v1/classify", files={"photo": ("x.jpg", photo)}, data=fields, timeout=120)


def test_the_plain_route_gives_what_reading_gives(address: str, photos: list[Path]) -> None:
    for photo in photos[:2]:
        answer = classify(address, photo.read_bytes(), model="fast")
        assert answer.status_code == 200
        here = read(photo, load(default_model())).as_json()
        assert answer.json()["probabilities"] == pytest.approx(here["probabilities"], abs=1e-5)
        assert answer.json().keys() == json.loads(json.dumps(here)).keys()
        assert answer.json()["set"] == here["set"]


@pytest.mark.parametrize("called", ["", "application/octet-stream", "image/jpeg", "text/plain"])
def test_a_photo_is_known_by_its_bytes_whatever_a_browser_calls_it(address: str, called: str) -> None:
    """Browsers have no type for HEIC and DICOM, and drop them without one."""
    for name, data in (("photo.heic", HEIC), ("photo.dcm", DICOM["rgb"][0]), ("photo", HEIC)):
        answer = httpx.post(f"{address}/v1/classify", files={"photo": (name, data, called)}, timeout=120)
        assert answer.status_code == 200 and answer.json()["label"] in CODES


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"files": {"photo": b"no picture"}}, 422, "not a picture"),
        ({"files": {"photo": b""}}, 422, "empty"),
        ({"files": {"other": b"x"}}, 422, "no photo"),
        ({"data": {"photo": "text"}}, 400, "multipart"),
        ({"files": [("photo", b"x"), ("photo", b"y")]}, 400, "one photo per request"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "boundary"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=y"}}, 400, "form"),
        ({"content": b""}, 400, "multipart"),
    ],
)
def test_a_bad_request_is_one_sentence(address: str, body: dict, status: int, says: str) -> None:
    answer = httpx.post(f"{address}/v1/classify", **body)
    assert answer.status_code == status
    (sentence,) = answer.json().values()
    assert re.search(says, sentence)
    assert "\n" not in sentence


def test_a_form_s_type_may_be_in_capitals(address: str, photos: list[Path]) -> None:
    with httpx.Client(base_url=address, timeout=120) as client:
        request = client.build_request("POST", "/v1/classify", files={"photo": photos[0].read_bytes()})
        kind, _, boundary = request.headers["content-type"].partition(";")
        request.headers["content-type"] = f"{kind.title()};{boundary}"
        assert request.headers["content-type"].startswith("Multipart/Form-Data; ")
        assert client.send(request).json()["label"] in CODES


def test_a_photo_is_not_asked_for_and_monitors_may_ask_for_the_head(address: str) -> None:
    answer = httpx.get(f"{address}/v1/classify")
    assert answer.status_code == 405 and answer.headers["allow"] == "POST"
    assert answer.json() == {"error": "Send the photo by POST, as the form field photo."}
    for path in ("health", "ready", "metrics"):
        answer = httpx.head(f"{address}/{path}")
        assert answer.status_code == 200 and answer.content == b""


def test_a_kept_connection_is_answered_at_once(address: str) -> None:
    """Not after the 40 ms that the kernel waits with the acknowledgement of an answer's first part."""
    with httpx.Client() as client:
        times = [client.get(f"{address}/health").elapsed.total_seconds() for _ in range(30)]
    assert min(times[1:]) < 0.03


def test_the_benchmark_parts_a_round_trip_into_decoding_network_and_the_rest(
    address: str, photos: list[Path]
) -> None:
    whole, *parts = service.round_trips(address, [photo.read_bytes() for photo in photos], rounds=2)
    assert min(*whole.values, *whole.beside) > 0
    assert len(parts) == 3 and all(min(part.values) > 0 for part in parts)
    np.testing.assert_allclose(np.sum([part.values for part in parts], axis=0), whole.values)


def test_an_unknown_model_is_refused(address: str, photos: list[Path]) -> None:
    answer = classify(address, photos[0].read_bytes(), model="none")
    assert answer.status_code == 422
    assert "on offer are fast" in answer.json()["error"]


def test_health_ready_and_metrics(address: str, photos: list[Path]) -> None:
    assert httpx.get(f"{address}/health").json() == {"alive": True}
    assert httpx.get(f"{address}/ready").json()["ready"] is True

    def sample(name: str, **labels: str) -> float:
        text = httpx.get(f"{address}/metrics").text
        families = text_string_to_metric_families(text)
        samples = [s for family in families for s in family.samples if s.name == name]
        return sum(s.value for s in samples if labels.items() <= s.labels.items())

    read_before = sample("skinapp_photos_total", outcome="read")
    refused_before = sample("skinapp_photos_total", outcome="refused")
    classify(address, photos[0].read_bytes())
    classify(address, b"nothing")
    assert sample("skinapp_photos_total", outcome="read") == read_before + 1
    assert sample("skinapp_photos_total", outcome="refused") == refused_before + 1
    assert sample("skinapp_waiting") == 0
    assert sample("skinapp_batch_photos_count") >= 1
    assert sample("skinapp_request_seconds_count", route="/v1/classify") >= 2
    assert sample("process_resident_memory_bytes") > 10**8


@pytest.mark.parametrize("folder", ANSWERS, ids=lambda folder: folder.name)
def test_every_shipped_model_gives_its_known_answer(folder: Path) -> None:
    known_answer.check(load(folder))


def test_another_answer_than_the_known_one_is_refused(model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(model_folder, folder)
    path, classifier = folder / known_answer.FILE, Classifier(folder)
    path.unlink()
    with pytest.raises(ModelError, match="is missing"):
        known_answer.check(classifier)
    assert store.main(["--model", str(folder)]) == 0
    known_answer.check(classifier)
    known = json.loads(path.read_text())
    for spoilt, says in [
        (known | {"logits": [x + 0.1 for x in known["logits"]]}, "otherwise"),
        (known | {"probabilities": known["probabilities"][::-1]}, "otherwise"),
        (known | {"weights_sha256": "0"}, "other weights"),
        ([], "cannot be read"),
    ]:
        path.write_text(json.dumps(spoilt))
        with pytest.raises(ModelError, match=says):
            known_answer.check(classifier)


def test_a_known_answer_of_no_model_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert store.main(["--model", str(tmp_path / "nowhere")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "nowhere" in line


@pytest.mark.parametrize(
    "changed",
    [
        {"temperature": 1.4},
        {"tau": 0.3},
        {"prior": (0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1)},
        {"set_thresholds": (0.6, *[0.5] * 6)},
        {"operating_points": (OperatingPoint("malignant", 0.9, 0.3), OperatingPoint("melanoma", 0.9, 0.1))},
        {"dermatoscopic_threshold": 9.0},
        {"classes": CODES[::-1]},
        {"views": 1},
        {"resampling": "box"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_another_calibration_than_the_known_answer_s_is_refused(
    model_folder: Path, changed: dict[str, Any]
) -> None:
    classifier = Classifier(model_folder)
    known_answer.check(classifier)
    classifier.configuration = replace(classifier.configuration, **changed)
    with pytest.raises(ModelError, match=f"has another {next(iter(changed))} than") as caught:
        known_answer.check(classifier)
    assert "\n" not in str(caught.value)


@contextmanager
def starting(**environment: str) -> Iterator[subprocess.Popen[str]]:
    """`python app.py` that is expected to end by itself."""
    settings = {"GRADIO_SERVER_PORT": str(free_port())} | environment
    with subprocess.Popen(
        [sys.executable, "app.py"], cwd=ROOT, env=os.environ | settings, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def test_a_start_that_cannot_be_ends_with_one_sentence(model_folder: Path, tmp_path: Path) -> None:
    """What may be wrong with a model's files, tests/test_classifier.py has."""
    configuration = Configuration.read(model_folder)
    changes = {"other": {"temperature": 9.0}, "later": {"format": configuration.format + 1}}
    for name, changed in changes.items():
        spoilt = Path(shutil.copytree(model_folder, tmp_path / name))
        replace(configuration, **changed).write(spoilt)  # type: ignore[arg-type]
    edited = Path(shutil.copytree(model_folder, tmp_path / "edited")) / "skinapp.json"
    edited.write_text(edited.read_text().replace('"tau": 0.2', '"tau": 0.3'))
    with ExitStack() as stack:
        taken = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        wrong = {
            "skinapp.json has another temperature": {"SKINAPP_MODEL": str(tmp_path / "other")},
            "its checksum differs": {"SKINAPP_MODEL": str(edited.parent)},
            "another version of skinapp": {"SKINAPP_MODEL": str(tmp_path / "later")},
            "SKINAPP_MODEL names": {"SKINAPP_MODEL": str(tmp_path / "nowhere")},
            "set GRADIO_SERVER_PORT to a free port": {"GRADIO_SERVER_PORT": str(taken.getsockname()[1])},
            "SKINAPP_USER and SKINAPP_PASSWORD go together": {"SKINAPP_USER": "ward"},
        }
        started = {says: stack.enter_context(starting(**settings)) for says, settings in wrong.items()}
        for says, process in started.items():  # all at once: a start is mostly imports
            _, errors = process.communicate(timeout=180)
            assert process.returncode == 1, says
            (line,) = [line for line in errors.splitlines() if line.startswith("skinapp cannot start: ")]
            assert says in line
            assert "Traceback" not in errors


def test_a_batch_gives_what_single_photos_give(model_folder: Path) -> None:
    classifier = load(model_folder)
    photos = [draw_lesion(code, seed=1, size=(150, 112)) for code in CODES]
    batch = np.concatenate([to_input(photo, 94, "bicubic") for photo in photos])
    for photo, together in zip(photos, classifier.many(batch), strict=True):
        alone = classifier(photo)
        assert together.probabilities == pytest.approx(alone.probabilities, abs=1e-5)
        np.testing.assert_allclose(together.features, alone.features, atol=1e-4)
        assert together.picture.shape == alone.picture.shape
        assert together.top == alone.top
        # A view of the batch would keep other people's photos for as long as this one is looked at.
        assert together.embedding is not None
        kept = (together.picture, together.features, together.embedding)
        assert all(array.base is None for array in kept)


def test_what_waits_goes_through_the_network_together(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier, sizes, gate = load(model_folder), [], threading.Event()

    many = classifier.many

    def slow(batch: np.ndarray) -> list:
        sizes.append(len(batch))
        gate.wait(10)
        return many(batch)

    monkeypatch.setattr(classifier, "many", slow)
    batcher = Batcher()
    photos = [to_pixels(draw_lesion(code, seed=1, size=(150, 112)), 94, "bicubic") for code in CODES]
    with ThreadPoolExecutor(7) as pool:
        first = pool.submit(batcher.predict, photos[0], classifier, 30)
        while not sizes:
            time.sleep(0.01)
        others = [pool.submit(batcher.predict, photo, classifier, 30) for photo in photos[1:]]
        while len(batcher._queue) < 6:
            time.sleep(0.01)
        gate.set()
        answers = [future.result() for future in [first, *others]]
    assert sizes == [1, 6]
    for photo, answer in zip(photos, answers, strict=True):
        (alone,) = many(photo[np.newaxis].astype(np.float32))
        assert answer.probabilities == pytest.approx(alone.probabilities, abs=1e-5)


def test_one_photo_that_fails_spoils_no_other_s_answer(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier, gate = load(model_folder), threading.Event()

    many = classifier.many

    def failing(batch: np.ndarray) -> list:
        gate.wait(10)
        if batch.max() == 0:
            raise MemoryError
        if len(batch) > 1:
            raise MemoryError  # as one too large for what is left
        return many(batch)

    monkeypatch.setattr(classifier, "many", failing)
    batcher, good = Batcher(), to_pixels(draw_lesion("nv", size=(150, 112)), 94, "bicubic")

    with ThreadPoolExecutor(3) as pool:
        black = pool.submit(batcher.predict, np.zeros((94, 94, 3), np.uint8), classifier, 30)
        others = [pool.submit(batcher.predict, good, classifier, 30) for _ in range(2)]
        time.sleep(0.1)
        gate.set()
        with pytest.raises(MemoryError):
            black.result()
        (alone,) = many(good[np.newaxis].astype(np.float32))
        for other in others:
            assert other.result().probabilities == pytest.approx(alone.probabilities, abs=1e-5)


def test_a_full_queue_says_when_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skinapp.service.engine._load", lambda folders: time.sleep(3600))
    engine = Engine(Settings(waiting=2))
    for _ in range(2):
        threading.Thread(target=engine.read, args=(b"x", "fast"), daemon=True).start()
    while engine._inside < 2:
        time.sleep(0.01)
    with pytest.raises(Busy, match=r"busy: try again in \d+ s") as busy:
        engine.read(b"x", "fast")
    assert busy.value.seconds >= 1


def test_sigterm_ends_the_app_while_tensorflow_loads(tmp_path: Path) -> None:
    with running_process(tmp_path / "log.txt", TMPDIR=str(tmp_path)) as (_, process):
        (folder,) = tmp_path.glob("skinapp-*")
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert time.monotonic() - start < 10
        assert not folder.exists()


def test_an_event_right_after_a_stream_s_end_is_told_of_when_the_page_has_noticed(address: str) -> None:
    """Else the page takes the old stream for the new event's, and waits for ever."""
    with httpx.Client(base_url=address, timeout=60) as client:
        config = client.get("/config").json()
        fn = next(d["id"] for d in config["dependencies"] if d["api_name"] == "performance")
        event = {"data": ["fast"], "fn_index": fn, "session_hash": "quick"}
        client.post("/gradio_api/queue/join", json=event).raise_for_status()
        with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": "quick"}) as stream:
            next(line for line in stream.iter_lines() if "close_stream" in line)
            ended = time.monotonic()
            with httpx.Client(base_url=address, timeout=60, cookies=client.cookies) as other:
                other.post("/gradio_api/queue/join", json=event).raise_for_status()
        # Less than HEARD_WITHIN where a busy machine lets this client hear of the end late; without the wait a few ms.
        assert time.monotonic() - ended >= HEARD_WITHIN / 4
        answer = client.get("/gradio_api/queue/data", params={"session_hash": "quick"}).text
        assert "process_completed" in answer


def test_only_the_session_whose_stream_has_just_ended_waits() -> None:
    async def times() -> list[float]:
        streams, sent = Streams(), []

        async def send(message: dict) -> None:
            sent.append(time.monotonic())

        await streams.noting_the_end("one", send)(
            {"type": "http.response.body", "body": b'{"msg":"estimation"}'}
        )
        for session in ("one", "other", "one"):
            if session == "other":
                end = {"type": "http.response.body", "body": b'data: {"msg":"close_stream"}'}
                await streams.noting_the_end("one", send)(end)
            await streams.after_the_end(session, send)({"type": "http.response.start", "status": 200})
        return [b - a for a, b in pairwise(sent)]

    free, _, other, waited = asyncio.run(times())
    assert free < HEARD_WITHIN / 2 and other < HEARD_WITHIN / 2
    assert waited > HEARD_WITHIN * 0.9 - other
