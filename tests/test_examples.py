"""train.download --examples against a stand-in for the ISIC archive, and what the page is offered of it."""

import io
import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from skinapp.lesions import BY_CODE, CODES
from skinapp.photo.drawings import draw_lesion
from skinapp.photo.examples import FOLDER, LIST, fetched
from tests.serving import ROOT
from train.data import examples
from train.data.connection import DownloadError
from train.data.examples import DIAGNOSES, download_examples
from train.download import main

# The archive's grammar as far as it is used here (its parser: ImageMarkup/isic, isic/core/dsl.py).
TERM = r'(\w+):(?:"([^"]+)"|(\w+))'
DIAGNOSED = {
    "akiec": ("Indeterminate epidermal proliferations", "Solar or actinic keratosis"),
    "bcc": ("Malignant adnexal epithelial proliferations - Follicular", "Basal cell carcinoma"),
    "bkl": ("Benign epidermal proliferations", "Seborrheic keratosis"),
    "df": ("Benign soft tissue proliferations - Fibro-histiocytic", "Dermatofibroma"),
    "mel": ("Malignant melanocytic proliferations (Melanoma)", "Melanoma, NOS"),
    "nv": ("Benign melanocytic proliferations", "Nevus"),
    "vasc": ("Benign soft tissue proliferations - Vascular", None),
}


class Archive(ThreadingHTTPServer):
    """Serves images by `/api/v2/images/search/` and their bytes elsewhere by signed addresses.

    images: entries as the archive answers them; asked: the paths of all requests, with their queries.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.photos: dict[str, bytes] = {}
        self.images: list[dict[str, Any]] = []
        self.statuses: list[int] = []  # of the next answers
        self.body: bytes | None = None  # instead of what is found
        self.trusting = False  # finds everything of a class, whatever else the query asks for
        self.asked: list[str] = []
        for number, code in enumerate(CODES):
            self.add(code, number)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def add(self, code: str, number: int, first: bool = False, **changed: Any) -> dict[str, Any]:
        """An image of a class, with parts of its entry changed."""
        isic_id = f"ISIC_{number:07d}"
        buffer = io.BytesIO()
        draw_lesion(code, number, (150, 112)).save(buffer, "JPEG")
        self.photos[isic_id] = buffer.getvalue()
        diagnosis_2, diagnosis_3 = DIAGNOSED[code]
        full = {
            "url": f"{self.url}/blob/{isic_id}.jpg?Signature=a%2Bb&Expires=1",
            "size": len(buffer.getvalue()),
        }
        entry = {
            "public": True,
            "isic_id": isic_id,
            "copyright_license": "CC-0",
            "attribution": f"Institute {number}",
            "files": {"full": full, "thumbnail_256": {"url": f"{self.url}/thumb", "size": 9}},
            "metadata": {
                "acquisition": {"pixels_x": 150, "pixels_y": 112, "image_type": "dermoscopic"},
                "clinical": {"diagnosis_1": "-", "diagnosis_2": diagnosis_2, "diagnosis_3": diagnosis_3},
            },
        } | changed
        self.images.insert(0 if first else len(self.images), entry)
        return entry


class _Handler(BaseHTTPRequestHandler):
    server: Archive

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        address = urlsplit(self.path)
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status != 200:
            return self.answer(status, b"")
        if address.path == "/api/v2/images/search/":
            found = {"next": None, "previous": None, "results": self.search(parse_qs(address.query))}
            return self.answer(
                200, json.dumps(found).encode() if self.server.body is None else self.server.body
            )
        blob = re.fullmatch(r"/blob/(ISIC_\d{7})\.jpg", address.path)
        if blob is None or address.query != "Signature=a%2Bb&Expires=1":
            return self.answer(403, b"")
        self.answer(200, self.server.photos[blob[1]])

    def search(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        (text,), (limit,) = query["query"], query["limit"]
        assert re.fullmatch(rf"{TERM}(?: AND {TERM})*", text), text
        terms = [(key, quoted or word) for key, quoted, word in re.findall(TERM, text)]
        assert {key for key, _ in terms[1:]} == {"copyright_license", "image_type"}

        def matches(entry: dict[str, Any]) -> bool:
            flat = entry | entry["metadata"]["acquisition"] | entry["metadata"]["clinical"]
            wanted = terms[:1] if self.server.trusting else terms
            return all(flat[key] == value for key, value in wanted)

        return [entry for entry in self.server.images if matches(entry)][: int(limit)]

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Archive() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def test_the_command_fetches_one_photo_a_class(
    archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "examples"
    assert fetched(folder) == []
    assert main(["--examples", "--to", str(folder), "--server", archive.url + "/"]) == 0
    shown = fetched(folder)
    assert [path.name for path, _ in shown] == [f"{code}.jpg" for code in CODES]
    for number, (code, (path, caption)) in enumerate(zip(CODES, shown, strict=True)):
        assert path.read_bytes() == archive.photos[f"ISIC_{number:07d}"]
        for part in (BY_CODE[code].name, f"ISIC_{number:07d}", f"Institute {number}", "CC-0"):
            assert part in caption
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*(f"{code}.jpg" for code in CODES), LIST]
    )
    printed = capsys.readouterr()
    assert printed.err == ""
    assert all(caption in printed.out for _, caption in shown)
    assert len([path for path in archive.asked if path.startswith("/blob/")]) == len(CODES)


def test_every_class_has_a_diagnosis_of_the_archive() -> None:
    assert tuple(DIAGNOSES) == CODES


def wrong(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def spoil(entry: dict[str, Any]) -> None:
        *places, last = path.split(".")
        for place in places:
            entry = entry[place]
        entry[last] = value

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        wrong("copyright_license", "CC-BY-NC"),
        wrong("metadata.acquisition.image_type", "clinical: close-up"),
        wrong("metadata.acquisition", {}),
        wrong("files.full.size", 50_000_000),
        wrong("files.full.size", 17),
        wrong("files.full.url", "http://127.0.0.1:9/blob/ISIC_0000099.jpg"),
        wrong("files.full.url", "file:///etc/passwd"),
        wrong("isic_id", "../../x"),
        wrong("attribution", None),
    ],
)
def test_what_does_not_fit_is_passed_over_even_where_the_archive_offers_it(
    archive: Archive, tmp_path: Path, spoil: Callable[[dict[str, Any]], None]
) -> None:
    archive.trusting = True
    spoil(archive.add("mel", 99, first=True))
    found, missing = download_examples(tmp_path, archive.url, retry_pause=0)
    assert missing == []
    assert {example.code: example.isic_id for example in found}["mel"] == "ISIC_0000004"
    assert (tmp_path / "mel.jpg").read_bytes() == archive.photos["ISIC_0000004"]


def test_a_damaged_photo_is_passed_over(archive: Archive, tmp_path: Path) -> None:
    entry = archive.add("nv", 99, first=True)
    archive.photos["ISIC_0000099"] = b"\xff\xd8 no picture"
    entry["files"]["full"]["size"] = len(archive.photos["ISIC_0000099"])
    found, _ = download_examples(tmp_path, archive.url, retry_pause=0)
    assert {example.code: example.isic_id for example in found}["nv"] == "ISIC_0000005"


def test_classes_that_the_archive_has_none_of_are_named(
    archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.images = [
        entry for entry in archive.images if entry["isic_id"] not in ("ISIC_0000003", "ISIC_0000006")
    ]
    assert main(["--examples", "--to", str(tmp_path), "--server", archive.url]) == 0
    assert "for df, vasc." in capsys.readouterr().out
    assert [path.stem for path, _ in fetched(tmp_path)] == [
        code for code in CODES if code not in ("df", "vasc")
    ]


def test_a_server_that_stumbles_is_asked_again(archive: Archive, tmp_path: Path) -> None:
    archive.statuses = [503, 429, 200, 500]
    found, missing = download_examples(tmp_path, archive.url, retry_pause=0)
    assert (len(found), missing) == (7, [])
    assert len(archive.asked) == 2 * 7 + 3


@pytest.mark.parametrize(
    ("statuses", "body", "says"),
    [
        ([503] * 9, None, "503"),
        ([404], None, "404"),
        ([], b"<html>hotel network</html>", "as the ISIC archive does"),
        ([], b'{"results": [{"isic_id": "ISIC_0000001"}]}', "as the ISIC archive does"),
        ([], b"[]", "as the ISIC archive does"),
        ([], b" " * 5_000_001, "5 MB"),
    ],
)
def test_a_server_that_fails_leaves_what_was_there(
    archive: Archive, tmp_path: Path, statuses: list[int], body: bytes | None, says: str
) -> None:
    download_examples(tmp_path, archive.url, retry_pause=0)
    before = fetched(tmp_path)
    archive.statuses, archive.body = statuses, body
    with pytest.raises(DownloadError, match=says) as failure:
        download_examples(tmp_path, archive.url, retry_pause=0)
    assert "\n" not in str(failure.value) and "Signature" not in str(failure.value)
    assert fetched(tmp_path) == before and len(before) == 7


def test_no_more_bytes_are_taken_than_a_photo_may_have(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples, "LARGEST", 20_000)
    archive.photos["ISIC_0000000"] = b"x" * 20_001
    archive.images[0]["files"]["full"]["size"] = 500
    with pytest.raises(DownloadError, match="where less was told"):
        download_examples(tmp_path, archive.url, retry_pause=0)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "nonsense", "http://127.0.0.1:x", ""])
def test_a_server_that_cannot_be_reached(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert main(["--examples", "--to", str(tmp_path), "--server", address]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and "cannot be reached" in line


def test_without_examples_a_folder_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([])
    assert "--to" in capsys.readouterr().err


@pytest.mark.parametrize("listed", ["{", "[1]", '[{"code": "mel"}]', "null", None])
def test_a_spoilt_list_offers_nothing(archive: Archive, tmp_path: Path, listed: str | None) -> None:
    draw_lesion("mel", size=(100, 100)).save(tmp_path / "mel.jpg")
    if listed is not None:
        (tmp_path / LIST).write_text(listed)
    assert fetched(tmp_path) == []


def test_only_photos_in_the_folder_are_offered(archive: Archive, tmp_path: Path) -> None:
    folder = tmp_path / "examples"
    download_examples(folder, archive.url, retry_pause=0)
    listed = json.loads((folder / LIST).read_text())
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    listed[0]["file"] = "../secret.jpg"
    listed[1]["code"] = "scc"
    (folder / "df.jpg").unlink()
    (folder / LIST).write_text(json.dumps(listed))
    assert [path.stem for path, _ in fetched(folder)] == ["bkl", "mel", "nv", "vasc"]


def test_git_ignores_the_examples() -> None:
    ignored = subprocess.run(["git", "check-ignore", "-q", str(FOLDER / "mel.jpg")], cwd=ROOT, check=False)
    assert ignored.returncode == 0
