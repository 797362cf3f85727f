"""Which photos an archive has: folders, ZIPs, lists and addresses."""

import http.server
import os
import threading
import unicodedata
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skinapp.archive import ArchiveError, photos
from skinapp.archive.photos import Opener, Photo, absolute, list_photos
from skinapp.lesions import CODES
from skinapp.photo.preprocess import PhotoError
from tests.drawings import jpeg, write_photos


def found(source: Path | str) -> dict[str, bytes | str]:
    """What workers get for each photo of a source, by its path in the results: its bytes, or a sentence."""
    opener, contents = Opener(absolute(str(source))), {}
    for number, photo in enumerate(list_photos(str(source))):
        assert photo == Photo.of(photo.line())
        try:
            content = opener.source(number, photo).content()
            contents[photo.path] = content if isinstance(content, bytes) else content.read_bytes()
        except (PhotoError, OSError) as error:
            contents[photo.path] = str(error)
    return contents


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """b.jpg, a/c.jpg, and what is none of the photos."""
    folder = write_photos(
        tmp_path / "photos", ["b.jpg", "a/c.jpg", ".hidden/d.jpg", "labels.csv", "table.parquet"]
    )
    (folder / "inner.zip").write_bytes(b"PK")
    return folder


def packed(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as file:
        for name in ("b.jpg", "a/c.jpg", ".hidden/d.jpg", "labels.csv"):
            file.write(folder / name, name)
    return path


def test_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    contents = found("photos")
    assert list(contents) == ["photos/b.jpg", "photos/inner.zip", "photos/a/c.jpg"]
    assert contents["photos/b.jpg"] == (folder / "b.jpg").read_bytes()
    assert "not opened" in str(contents["photos/inner.zip"])
    assert [photo.place for photo in list_photos("photos")][2] == str(folder / "a" / "c.jpg"), (
        "for any machine"
    )


def test_a_name_that_is_no_text_is_a_row_all_the_same(tmp_path: Path) -> None:
    path = os.path.join(os.fsencode(tmp_path), b"caf\xe9.jpg")
    try:
        with open(path, "wb") as file:
            file.write(jpeg(CODES[0]))
    except OSError:
        pytest.skip("this file system takes no such names")
    (name, data), *_ = found(tmp_path).items()
    assert name.endswith("caf\N{REPLACEMENT CHARACTER}.jpg")
    assert data == jpeg(CODES[0])


def test_a_zip_however_many_photos_it_holds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skinapp.photo.sources.MOST_FILES", 1)
    path = packed(folder)
    contents = {name: (folder / name).read_bytes() for name in ("a/c.jpg", "b.jpg")}
    assert found(path) == {f"photos.zip/{name}": data for name, data in contents.items()}
    listed = list(list_photos(str(path)))
    path.unlink()
    for number, photo in enumerate(listed):
        with pytest.raises(PhotoError, match="missing"):
            Opener(str(path)).source(number, photo).content()
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(ArchiveError, match="damaged"):
        list(list_photos(str(path)))


@pytest.mark.parametrize(
    "text",
    ["path\nb.jpg\na/c.jpg\n{0}/b.jpg\nnowhere.jpg\n,\n", "\ufeffdx;Path\r\nnv;b.jpg\r\n;a/c.jpg\r\nnv;{0}/b.jpg\r\n;nowhere.jpg\r\nnv\r\n"],
)  # fmt: skip
def test_a_csv_list(folder: Path, text: str) -> None:
    path = folder / "list.csv"
    path.write_text(text.format(folder), encoding="utf-8", newline="")
    contents = found(path)
    assert list(contents) == ["b.jpg", "a/c.jpg", f"{folder}/b.jpg", "nowhere.jpg", ""]
    assert contents["b.jpg"] == contents[f"{folder}/b.jpg"] == (folder / "b.jpg").read_bytes()
    assert contents["a/c.jpg"] == (folder / "a" / "c.jpg").read_bytes()
    assert "No such file" in str(contents["nowhere.jpg"])
    assert "names no photo" in str(contents[""])


def test_a_list_from_an_office(folder: Path) -> None:
    """In UTF-16, folders parted by backslashes, letters composed otherwise than on the disk."""
    decomposed = unicodedata.normalize("NFD", "Müller.jpg")
    (folder / "a" / decomposed).write_bytes(jpeg())
    path = folder / "list.csv"
    path.write_bytes("Nr;PATH\r\n1;a\\c.jpg\r\n2;a\\Müller.jpg\r\n".encode("utf-16"))
    assert found(path) == {"a\\c.jpg": (folder / "a" / "c.jpg").read_bytes(), "a\\Müller.jpg": jpeg()}
    path.write_bytes("Nr;Pfad\r\n1;b.jpg\r\n".encode("cp1252"))
    with pytest.raises(ArchiveError, match="Its columns are nr, pfad"):
        list(list_photos(str(path)))


def test_a_parquet_list(folder: Path) -> None:
    paths = ["b.jpg", None, "a/c.jpg", "b.jpg", f"file://{folder}/b.jpg"]
    pq.write_table(pa.table({"dx": ["nv"] * 5, "path": paths}), folder / "list.parquet")
    assert [photo.path for photo in list_photos(str(folder / "list.parquet"))] == [
        path or "" for path in paths
    ]
    assert found(folder / "list.parquet")[f"file://{folder}/b.jpg"] == (folder / "b.jpg").read_bytes()


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_a_list_that_is_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArchiveError, match="no such file"):
        list(list_photos(str(tmp_path / name)))
    (tmp_path / name).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ArchiveError, match="cannot be read as a list|no column path"):
        list(list_photos(str(tmp_path / name)))
    (tmp_path / "x.csv").write_text("image,dx\na,nv\n")
    pq.write_table(pa.table({"image": ["a"]}), tmp_path / "x.parquet")
    with pytest.raises(ArchiveError, match="no column path"):
        list(list_photos(str(tmp_path / name)))


class Server(http.server.SimpleHTTPRequestHandler):
    """A folder by HTTP. The first time that a photo is asked for, the server is busy."""

    asked: ClassVar[set[str]] = set()

    def do_GET(self) -> None:
        if self.path.endswith(".jpg") and self.path not in self.asked:
            self.asked.add(self.path)
            self.send_error(503)
        else:
            super().do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def address(folder: Path) -> Iterator[str]:
    packed(folder)
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Server, directory=str(folder.parent))
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_urls(folder: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "PAUSES", (0.0,))
    data = {name: (folder / name).read_bytes() for name in ("a/c.jpg", "b.jpg")}
    (folder / "inner.zip").unlink()
    (folder / "list.csv").write_text("path\na/c.jpg\nb.jpg\n")
    assert found(f"file://{folder}") == {f"file://{folder}/{name}": data[name] for name in data}
    assert found(f"file://{folder}/*.jpg") == {f"file://{folder}/b.jpg": data["b.jpg"]}
    assert found(f"{address}/photos/") == {f"{address}/photos/{name}": data[name] for name in data}
    assert found(f"{address}/photos/list.csv") == data
    packed_up = {f"zip://{name}::file://{folder}.zip": data[name] for name in data}
    assert found(f"file://{folder}.zip") == found(f"zip://::file://{folder}.zip") == packed_up
    assert found(f"zip://*.jpg::file://{folder}.zip") == {f"zip://b.jpg::file://{folder}.zip": data["b.jpg"]}
    (folder / "list.csv").write_text("path\nnowhere.jpg\n")
    assert "there is no such file" in str(found(f"{address}/photos/list.csv"))


def test_no_more_of_a_file_is_fetched_than_a_photo_may_have(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "MOST_BYTES", 10)
    assert [len(data) for data in found(f"file://{folder}/*.jpg").values()] == [11]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("nowhere", "does not exist"),
        ("nosuch://bucket", "cannot be listed (Protocol not known: nosuch)"),
        ("s3://bucket", "cannot be listed (Install s3fs"),
        ("http://127.0.0.1:1/photos/", "cannot be listed"),
        ("zip://::file:///nowhere.zip", "cannot be listed (there is no such file)"),
    ],
)  # fmt: skip
def test_a_source_that_is_not_there(source: str, sentence: str) -> None:
    with pytest.raises(ArchiveError) as raised:
        list(list_photos(source))
    assert sentence in str(raised.value) and "\n" not in str(raised.value)
