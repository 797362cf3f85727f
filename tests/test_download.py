"""train.download against a stand-in for Dataverse: same addresses, same JSON, redirects as if to S3."""

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image, ImageDraw

from train import download
from train.download import DownloadError, download_ham10000, main

PART_1, PART_2, TABLE = "HAM10000_images_part_1.zip", "HAM10000_images_part_2.zip", "HAM10000_metadata.csv"
CSV = b"lesion_id,image_id,dx,dx_type,age,sex,localization,dataset\n" + b"".join(
    b"HAM_%07d,ISIC_%07d,nv,histo,45.0,male,back,vidir_modern\n" % (n, n) for n in range(1, 8)
)
NEVER = {301, 302, 303}  # ids of the test photos, their diagnoses and the masks


@dataclass
class Stored:
    """A file of the record, and how its next requests for bytes are answered."""

    filename: str
    content: bytes  # as uploaded, which the checksum is of
    converted: bytes | None = None  # sent without format=original
    fields: dict[str, Any] = field(default_factory=dict)  # change what the record tells; None leaves one out
    cuts: list[int] = field(default_factory=list)  # bytes after which the next answers break off
    statuses: list[int] = field(default_factory=list)  # of the next answers; other than 200, without bytes
    sent: bytes | None = None  # instead of the content


class Dataverse(ThreadingHTTPServer):
    """Serves `files` by id. asked: (id, Range or None) of each request for bytes; paths: of all requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = {
            101: Stored(PART_1, zipped({f"ISIC_{n:07d}.jpg": picture(n) for n in (1, 2, 3)})),
            102: Stored(PART_2, zipped({f"ISIC_{n:07d}.jpg": picture(n) for n in (4, 5, 6, 7)})),
            103: Stored("HAM10000_metadata.tab", CSV, CSV.replace(b",", b"\t").replace(b"nv", b'"nv"')),
            301: Stored("ISIC2018_Task3_Test_Images.zip", b"test photos"),
            302: Stored("ISIC2018_Task3_Test_GroundTruth.tab", b"diagnoses", b"converted"),
            303: Stored("HAM10000_segmentations_lesion_tschandl.zip", b"masks"),
        }
        self.record: tuple[int, bytes] | None = None  # status and body instead of the record
        self.knows_range = True
        self.tells_length = True
        self.range_shift = 0  # bytes that a range starts too early
        self.asked: list[tuple[int, str | None]] = []
        self.paths: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def ids_asked(self) -> list[int]:
        return [file_id for file_id, _ in self.asked]


class _Handler(BaseHTTPRequestHandler):
    server: Dataverse

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        self.server.paths.append(self.path)
        assert self.headers["Accept-Encoding"] == "identity"
        if self.headers["User-Agent"].startswith("python"):  # as Harvard's firewall does
            self.answer(403, b"")
        elif address.path == "/api/datasets/:persistentId/":
            assert address.query == "persistentId=doi:10.7910/DVN/DBW86T"
            status, body = self.server.record or (200, json.dumps(record_of(self.server.files)).encode())
            self.answer(status, body)
        elif address.path.startswith("/api/access/datafile/"):
            self.send_response(302)
            self.send_header("Location", f"/s3/{address.path.rsplit('/')[-1]}?{address.query}&signature=x")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.bytes_of(int(address.path.removeprefix("/s3/")), "format=original" in address.query)

    def bytes_of(self, file_id: int, original: bool) -> None:
        stored, asked_range = self.server.files[file_id], self.headers["Range"]
        self.server.asked.append((file_id, asked_range))
        if stored.statuses and (status := stored.statuses.pop(0)) != 200:
            return self.answer(status, b"")
        content = stored.content if original or stored.converted is None else stored.converted
        content = content if stored.sent is None else stored.sent
        if asked_range is None or not self.server.knows_range:
            return self.answer(200, content, stored.cuts)
        start = int(asked_range.removeprefix("bytes=").removesuffix("-")) - self.server.range_shift
        if start >= len(content):
            return self.answer(416, b"")
        self.answer(206, content[start:], stored.cuts, f"bytes {start}-{len(content) - 1}/{len(content)}")

    def answer(
        self, status: int, body: bytes, cuts: list[int] | None = None, content_range: str | None = None
    ) -> None:
        self.send_response(status)
        if self.server.tells_length:
            self.send_header("Content-Length", str(len(body)))
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()
        self.wfile.write(body[: cuts.pop(0)] if cuts else body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def record_of(files: dict[int, Stored]) -> dict[str, Any]:
    entries = []
    for file_id, stored in files.items():
        digest = hashlib.md5(stored.content).hexdigest()
        told = {
            "id": file_id,
            "filename": stored.filename,
            "filesize": len(stored.content if stored.converted is None else stored.converted),
            "md5": digest,
            "checksum": {"type": "MD5", "value": digest},
            "tabularData": stored.converted is not None,
        }
        if stored.converted is not None:
            told |= {"originalFileFormat": "text/csv", "originalFileSize": len(stored.content)}
        told |= stored.fields
        entries.append({"dataFile": {key: value for key, value in told.items() if value is not None}})
    return {"status": "OK", "data": {"latestVersion": {"files": entries}}}


def picture(seed: int) -> bytes:
    image = Image.effect_noise((160, 120), 60).convert("RGB")
    ImageDraw.Draw(image).ellipse((40, 30, 60 + 8 * seed, 90), fill=(110, 60, 20 * seed))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dataverse]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Dataverse() as dataverse:
        threading.Thread(target=dataverse.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield dataverse
        dataverse.shutdown()
    assert not NEVER & {int(n) for path in dataverse.paths for n in re.findall(r"/(\d+)", path)}


def run(server: Dataverse, folder: Path, keep_archives: bool = False) -> dict[str, int]:
    return download_ham10000(folder, server.url, keep_archives, retry_pause=0)


def assert_complete(server: Dataverse, folder: Path) -> None:
    assert (folder / TABLE).read_bytes() == CSV
    for archive in (server.files[101], server.files[102]):
        images = folder / archive.filename.removesuffix(".zip")
        with zipfile.ZipFile(io.BytesIO(archive.content)) as opened:
            assert {path.name: path.read_bytes() for path in images.iterdir()} == {
                name: opened.read(name) for name in opened.namelist()
            }
    assert not list(folder.glob("*.part")) + list(folder.glob("unpacking_*"))


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


def test_whole_way(server: Dataverse, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "data"
    assert main(["--to", str(folder), "--server", server.url + "/"]) == 0
    assert_complete(server, folder)
    assert sorted(path.name for path in folder.iterdir()) == [PART_1[:-4], PART_2[:-4], TABLE]
    assert server.asked == [(103, None), (101, None), (102, None)]
    printed = capsys.readouterr()
    assert printed.err == ""
    first, last = printed.out.splitlines()
    assert "CC BY-NC 4.0" in first and "Tschandl, Rosendahl, Kittler 2018" in first
    assert "7 images (3 in HAM10000_images_part_1, 4 in HAM10000_images_part_2)" in last
    assert last.endswith(f"python -m train.fit --data {folder}")


def test_nothing_else_of_the_record_is_fetched_listed_or_mentioned(
    server: Dataverse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--to", str(tmp_path), "--server", server.url]) == 0
    assert set(server.ids_asked()) == {101, 102, 103}
    assert not [path for path in tmp_path.rglob("*") if "ISIC2018" in path.name or "segment" in path.name]
    assert "ISIC2018" not in "".join(capsys.readouterr())
    for file_id in NEVER:  # nor looked into: they may be described in any way
        server.files[file_id].fields = {"id": "", "filesize": "?", "checksum": {"type": "?"}, "md5": None}
    run(server, tmp_path / "again")


@pytest.mark.parametrize(
    ("listed_as", "converted", "fields"),
    [
        ("HAM10000_metadata.tab", b"converted", {"tabularData": None}),
        ("HAM10000_metadata.tab", b"converted", {"originalFileSize": None}),
        ("HAM10000_metadata.tab", b"converted", {"checksum": None}),
        ("HAM10000_metadata", None, {}),
        ("HAM10000_metadata.csv", None, {"tabularData": None, "checksum": None}),
        (
            "HAM10000_metadata.csv",
            None,
            {"md5": None, "checksum": {"type": "SHA-1", "value": hashlib.sha1(CSV).hexdigest().upper()}},
        ),
    ],
)
def test_the_ways_a_record_may_describe_the_metadata(
    server: Dataverse, tmp_path: Path, listed_as: str, converted: bytes | None, fields: dict[str, Any]
) -> None:
    server.files[103] = Stored(listed_as, CSV, converted, fields)
    run(server, tmp_path)
    assert_complete(server, tmp_path)


def test_a_second_run_fetches_nothing(server: Dataverse, tmp_path: Path) -> None:
    first = run(server, tmp_path)
    server.asked.clear()
    assert run(server, tmp_path) == first == {PART_1[:-4]: 3, PART_2[:-4]: 4}
    assert server.asked == []


def test_archives_are_kept_if_asked_and_used_again(server: Dataverse, tmp_path: Path) -> None:
    run(server, tmp_path, keep_archives=True)
    assert (tmp_path / PART_2).read_bytes() == server.files[102].content
    server.asked.clear()
    for image in (tmp_path / PART_2[:-4]).iterdir():
        image.unlink()
    run(server, tmp_path, keep_archives=True)
    assert server.asked == []
    assert_complete(server, tmp_path)


def test_a_file_that_is_there_but_not_right_is_fetched_again(server: Dataverse, tmp_path: Path) -> None:
    (tmp_path / TABLE).write_bytes(CSV.replace(b"nv", b"bcc"))
    run(server, tmp_path)
    assert_complete(server, tmp_path)


@pytest.mark.parametrize("file_id", [101, 102, 103])
def test_a_broken_connection_is_resumed(server: Dataverse, tmp_path: Path, file_id: int) -> None:
    first, second = 200, 100
    server.files[file_id].cuts = [first, second]
    run(server, tmp_path)
    ranges = [asked for asked_id, asked in server.asked if asked_id == file_id]
    assert ranges == [None, f"bytes={first}-", f"bytes={first + second}-"]
    assert_complete(server, tmp_path)


def test_a_break_that_shows_only_in_the_size_is_resumed(server: Dataverse, tmp_path: Path) -> None:
    server.tells_length = False
    server.files[101].cuts = [200]
    run(server, tmp_path)
    assert (101, "bytes=200-") in server.asked
    assert_complete(server, tmp_path)


def test_any_number_of_breaks_is_borne_while_bytes_come(server: Dataverse, tmp_path: Path) -> None:
    server.files[101].cuts = [50] * (3 * download.RETRIES)
    run(server, tmp_path)
    assert_complete(server, tmp_path)


def test_the_part_of_an_earlier_run_is_resumed(server: Dataverse, tmp_path: Path) -> None:
    half = len(server.files[101].content) // 2
    (tmp_path / f"{PART_1}.part").write_bytes(server.files[101].content[:half])
    run(server, tmp_path)
    assert (101, f"bytes={half}-") in server.asked
    assert server.ids_asked().count(101) == 1
    assert_complete(server, tmp_path)


def test_a_complete_part_needs_no_further_request(server: Dataverse, tmp_path: Path) -> None:
    (tmp_path / f"{PART_1}.part").write_bytes(server.files[101].content)
    run(server, tmp_path)
    assert 101 not in server.ids_asked()
    assert_complete(server, tmp_path)


def test_a_server_without_range_starts_the_file_anew(server: Dataverse, tmp_path: Path) -> None:
    server.knows_range = False
    server.files[102].cuts = [100]
    (tmp_path / f"{PART_1}.part").write_bytes(server.files[101].content[:300])
    run(server, tmp_path)
    assert (101, "bytes=300-") in server.asked and (102, "bytes=100-") in server.asked
    assert_complete(server, tmp_path)


def test_a_range_that_cannot_be_satisfied_starts_the_file_anew(server: Dataverse, tmp_path: Path) -> None:
    server.files[103].fields = {"originalFileSize": None}  # so only the server knows that nothing is missing
    (tmp_path / f"{TABLE}.part").write_bytes(CSV)
    run(server, tmp_path)
    assert [asked for asked_id, asked in server.asked if asked_id == 103] == [f"bytes={len(CSV)}-", None]
    assert_complete(server, tmp_path)


def test_an_answer_of_another_length_replaces_nothing(server: Dataverse, tmp_path: Path) -> None:
    server.knows_range = False
    server.files[101].sent = b"<html>Please log in to this network.</html>"
    part = tmp_path / f"{PART_1}.part"
    part.write_bytes(server.files[101].content[:300])
    with pytest.raises(DownloadError, match="300 bytes that have come are kept"):
        run(server, tmp_path)
    assert part.read_bytes() == server.files[101].content[:300]


def test_a_range_that_starts_elsewhere_is_not_appended(server: Dataverse, tmp_path: Path) -> None:
    server.range_shift = 1
    part = tmp_path / f"{PART_1}.part"
    part.write_bytes(server.files[101].content[:300])
    with pytest.raises(DownloadError, match="300 bytes that have come are kept"):
        run(server, tmp_path)
    assert part.read_bytes() == server.files[101].content[:300]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_refusal_is_asked_again(server: Dataverse, tmp_path: Path, status: int) -> None:
    server.files[101].statuses = [status] * (download.RETRIES - 1)
    run(server, tmp_path)
    assert_complete(server, tmp_path)


def test_a_lasting_fault_ends_with_the_part_kept_and_the_next_run_goes_on(
    server: Dataverse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pauses: list[float] = []
    # Not time.sleep itself: other files' threads, such as Ray's, may still run in this process.
    monkeypatch.setattr(download, "time", SimpleNamespace(sleep=pauses.append))
    server.files[101].cuts = [400]
    server.files[101].statuses = [200] + [503] * download.RETRIES
    assert main(["--to", str(tmp_path), "--server", server.url]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
    assert "503" in lines[-1] and "400 bytes that have come are kept" in lines[-1]
    assert pauses == [download.RETRY_PAUSE] * download.RETRIES
    run(server, tmp_path)
    assert server.asked[-2:] == [(101, "bytes=400-"), (102, None)]
    assert_complete(server, tmp_path)


def test_a_refusal_for_good_is_not_asked_again(
    server: Dataverse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files[102].statuses = [403]
    assert main(["--to", str(tmp_path), "--server", server.url]) == 1
    assert PART_2 in (line := error_line(capsys)) and "403" in line
    assert server.ids_asked().count(102) == 1


@pytest.mark.parametrize(("file_id", "name"), [(101, PART_1), (103, TABLE)])
def test_a_wrong_checksum_deletes_the_file_and_says_so(
    server: Dataverse, tmp_path: Path, capsys: pytest.CaptureFixture[str], file_id: int, name: str
) -> None:
    stored = server.files[file_id]
    stored.sent = stored.content[:-1] + b"#"
    assert main(["--to", str(tmp_path), "--server", server.url]) == 1
    line = error_line(capsys)
    assert name in line and "md5" in line and "run the same command again" in line
    assert not (tmp_path / name).exists() and not (tmp_path / f"{name}.part").exists()
    stored.sent = None
    run(server, tmp_path)
    assert_complete(server, tmp_path)


@pytest.mark.parametrize(("file_id", "name"), [(101, PART_1), (102, PART_2), (103, TABLE)])
def test_a_record_without_one_of_the_files(
    server: Dataverse, tmp_path: Path, capsys: pytest.CaptureFixture[str], file_id: int, name: str
) -> None:
    del server.files[file_id]
    assert main(["--to", str(tmp_path), "--server", server.url]) == 1
    assert name in error_line(capsys)
    assert server.asked == []


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ((500, b"out of order"), "500"),
        ((404, b'{"status": "ERROR"}'), "404"),
        ((200, b"<html>Welcome</html>"), "did not answer with a Dataverse record"),
        ((200, b"\xff\xfe"), "did not answer with a Dataverse record"),
        ((200, b"[]"), "did not answer with a Dataverse record"),
        ((200, b'{"data": {"latestVersion": {"files": [{}]}}}'), "did not answer with a Dataverse record"),
    ],
)
def test_an_answer_that_is_no_record(
    server: Dataverse, tmp_path: Path, capsys: pytest.CaptureFixture[str], record: Any, says: str
) -> None:
    server.record = record
    assert main(["--to", str(tmp_path), "--server", server.url]) == 1
    assert says in error_line(capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("checksum", [{"type": "CRC", "value": "0"}, {"type": None}, "abc"])
def test_a_checksum_that_cannot_be_checked_shows_before_the_download(
    server: Dataverse, tmp_path: Path, checksum: Any
) -> None:
    server.files[102].fields = {"checksum": checksum}
    with pytest.raises(DownloadError, match="record"):
        run(server, tmp_path)
    assert server.asked == []


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "nonsense", "http://127.0.0.1:x", "http://..", ""])
def test_a_server_that_cannot_be_reached(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert main(["--to", str(tmp_path), "--server", address]) == 1
    assert "cannot be reached" in error_line(capsys)


def test_only_images_leave_a_zip_and_none_leaves_the_folder(server: Dataverse, tmp_path: Path) -> None:
    good = {"ISIC_0000001.jpg": picture(1), "HAM10000_images_part_1/ISIC_0000002.jpg": picture(2)}
    bad = [
        "../ISIC_0000011.jpg",
        "../../ISIC_0000012.jpg",
        "/ISIC_0000013.jpg",
        "/tmp/ISIC_0000014.jpg",
        "a/../ISIC_0000015.jpg",
        "a/b/ISIC_0000016.jpg",
        "..\\ISIC_0000017.jpg",
        "ISIC_0000018.jpg/../x.jpg",
        "ISIC_0000019.jpg/",
        "__MACOSX/._ISIC_0000001.jpg",
        "ISIC_0000020.exe",
        "LICENSE.txt",
    ]
    server.files[101].content = zipped(good | dict.fromkeys(bad, b"bad"))
    folder = tmp_path / "outer" / "data"
    assert run(server, folder)[PART_1[:-4]] == 2
    unpacked = folder / PART_1[:-4]
    assert {path.name: path.read_bytes() for path in unpacked.iterdir()} == {
        Path(name).name: content for name, content in good.items()
    }
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes() == b"bad"]


@pytest.mark.parametrize("content", [b"no zip at all", zipped({"readme.txt": b"none here"})])
def test_a_zip_that_is_none_or_has_no_images(
    server: Dataverse, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    server.files[101].content = content
    assert main(["--to", str(tmp_path), "--server", server.url]) == 1
    assert PART_1 in error_line(capsys)
    assert not (tmp_path / PART_1[:-4]).exists()


def test_an_interrupted_unpacking_is_done_again_from_the_archive(
    server: Dataverse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copied: list[str] = []

    def copy_then_interrupt(source: Any, target: Any) -> None:
        if copied:
            raise KeyboardInterrupt
        copied.append(source.name)
        target.write(source.read())

    with monkeypatch.context() as patch:
        patch.setattr(download.shutil, "copyfileobj", copy_then_interrupt)
        assert main(["--to", str(tmp_path), "--server", server.url]) == 130
    assert "same command" in capsys.readouterr().err
    assert len(copied) == 1
    # a folder of that name would be read by train.dataset
    assert [path.name for path in tmp_path.glob("HAM10000_images_part_*")] == [PART_1]
    run(server, tmp_path)
    assert server.ids_asked() == [103, 101, 102]
    assert_complete(server, tmp_path)


@pytest.mark.parametrize(("keep", "zips_needed"), [(False, 1), (True, 2)])
def test_a_full_disk_shows_before_the_download(
    server: Dataverse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: bool, zips_needed: int
) -> None:
    sizes = sorted(len(server.files[file_id].content) for file_id in (101, 102))
    (tmp_path / f"{PART_1}.part").write_bytes(server.files[101].content[:500])
    needed = sum(sizes) + len(CSV) - 500 + sum(sizes[-zips_needed:])
    real = download.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: real._replace(free=needed - 1))
    with pytest.raises(DownloadError, match="free some"):
        run(server, tmp_path, keep)
    assert server.asked == []
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: real._replace(free=needed))
    run(server, tmp_path, keep)


def test_a_folder_that_cannot_be_made(
    server: Dataverse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert main(["--to", str(tmp_path / "file"), "--server", server.url]) == 1
    assert "cannot write to" in error_line(capsys)


def test_the_program_as_it_is_called(server: Dataverse, tmp_path: Path) -> None:
    def call(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "train.download", *arguments],
            cwd=Path(download.__file__).parents[1],
            env=os.environ | {"NO_PROXY": "127.0.0.1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    done = call("--to", str(tmp_path), "--server", server.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"python -m train.fit --data {tmp_path}\n")
    assert_complete(server, tmp_path)
    server.record = (500, b"")
    failed = call("--to", str(tmp_path), "--server", server.url)
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: ") and failed.stderr.count("\n") == 1
