"""Where many photos come from: folders, and archives that mean harm."""

import time
import tracemalloc
import unicodedata
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from skinapp.batch import read_many
from skinapp.network.classifier import Classifier, load
from skinapp.photo import sources
from skinapp.photo.preprocess import PhotoError
from skinapp.photo.sources import Source, archive_sources, gather
from skinapp.reading import Reading, read
from tests.drawings import jpeg


@pytest.fixture(scope="module")
def classifier(model_folder: Path) -> Classifier:
    return load(model_folder)


def archive(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in members.items():
            file.writestr(zipfile.ZipInfo(name), data, method)
    return path


def outcome(source: Source) -> str:
    """ "" where the source gives something, else its sentence."""
    try:
        source.content()
    except PhotoError as error:
        return str(error)
    return ""


def outcomes(path: Path) -> dict[str, str]:
    return {source.name.removeprefix(f"{path.name}/"): outcome(source) for source in gather([path])}


def test_a_folder_is_searched_to_the_bottom_without_hidden_files(tmp_path: Path) -> None:
    for name in (
        "b.jpg",
        "a/c.jpg",
        "a/.hidden.jpg",
        ".git/d.jpg",
        "__MACOSX/e.jpg",
        "Thumbs.db",
        "notes.txt",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(jpeg())
    archive(tmp_path / "inside.zip", {"x.jpg": jpeg()})
    found = {Path(source.name).name: outcome(source) for source in gather([tmp_path])}
    assert set(found) == {"b.jpg", "c.jpg", "inside.zip"}
    assert "inside a folder is not opened" in found["inside.zip"]


def test_a_missing_file_is_a_source_with_a_reason(classifier: Classifier, tmp_path: Path) -> None:
    (result,) = read_many(gather([tmp_path / "nowhere.jpg"]), classifier)
    assert "cannot be opened" in str(result)


def test_what_lies_beside_photos_is_no_photo(tmp_path: Path) -> None:
    """Thumbnails and recycle bins of network drives, marks of Windows, licences and tables."""
    beside = (
        "a/@eaDir/x.jpg/SYNOPHOTO_THUMB_M.jpg", ".thumbnails/x.jpg", "$RECYCLE.BIN/x.jpg", "#recycle/x.jpg", "__MACOSX/._x.jpg",
        "a/x.jpg:Zone.Identifier", "Thumbs.db", "metadata.csv", "licenses/CC-0.txt", "LICENSE", "attribution.txt", "README.md",
        "labels.xlsx", "ISIC.tab",
    )  # fmt: skip
    members = {name: jpeg() for name in ("a/x.jpg", "y.JPG", *beside)}
    for name, data in members.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(data)
    path = archive(tmp_path / "photos.zip", members)
    assert [Path(source.name).name for source in gather([tmp_path / "folder"])] == ["y.JPG", "x.jpg"]
    assert list(outcomes(path)) == ["a/x.jpg", "y.JPG"]
    assert [source.name for source in archive_sources(path) if sources.is_table(source.name)] == [
        f"photos.zip/{name}" for name in ("ISIC.tab", "attribution.txt", "labels.xlsx", "licenses/CC-0.txt", "metadata.csv")
    ]  # fmt: skip


def test_a_linked_folder_is_followed_once(tmp_path: Path) -> None:
    for name in ("here/one.jpg", "elsewhere/two.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(jpeg())
    (tmp_path / "here" / "more").symlink_to("../elsewhere")
    (tmp_path / "here" / "the same").symlink_to("../elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to("../here")
    assert [Path(source.name).name for source in gather([tmp_path / "here"])] == ["one.jpg", "two.jpg"]


# Archives


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        (unicodedata.normalize("NFD", "Müller_1.jpg"), "utf-8"), ("皮膚1.jpg", "cp932"), ("サンプル/ほくろ.jpg", "cp932"),
        ("Köhler/Müller.jpg", "cp850"), ("Châtre Béatrice.jpg", "cp850"), ("Ñandú.jpg", "cp850"), ("Пятно.jpg", "utf-8"),
    ],
)  # fmt: skip
def test_names_of_an_archive_that_does_not_say_their_encoding(
    tmp_path: Path, name: str, encoding: str
) -> None:
    raw = name.encode(encoding)
    path = archive(tmp_path / "photos.zip", {"A" * len(raw): jpeg(), "plain.jpg": jpeg()})
    path.write_bytes(path.read_bytes().replace(b"A" * len(raw), raw))
    assert outcomes(path) == {name: "", "plain.jpg": ""}


def test_backslashes_part_the_folders_of_an_archive(tmp_path: Path) -> None:
    path = archive(tmp_path / "photos.zip", {"dir\\x.jpg": jpeg(), "dir\\": b"", "@eaDir\\x.jpg": jpeg()})
    assert outcomes(path) == {"dir/x.jpg": ""}


def test_joiners_in_a_name_stay_and_what_turns_the_writing_does_not(tmp_path: Path) -> None:
    for name in ("می\u200cخواهم.jpg", "gpj\u202e.exe.jpg"):
        (tmp_path / name).write_bytes(jpeg())
    assert {Path(source.name).name for source in gather([tmp_path])} == {
        "می\u200cخواهم.jpg",
        "gpj\ufffd.exe.jpg",
    }


def test_an_archive_s_photos_are_read_without_touching_the_disk(
    classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = archive(
        tmp_path / "photos.zip",
        {
            "b/2.jpg": jpeg("mel"),
            "a.jpg": jpeg("nv"),
            "film.mov": b"text",
            "__MACOSX/._a.jpg": b"x",
            "b/.x": b"x",
        },
    )
    before = sorted(tmp_path.rglob("*"))
    found = list(gather([path]))
    assert [source.name for source in found] == [
        "photos.zip/a.jpg",
        "photos.zip/b/2.jpg",
        "photos.zip/film.mov",
    ]
    first, second, third = read_many(found, classifier)
    assert isinstance(first, Reading) and isinstance(second, Reading)
    assert first.prediction.probabilities == pytest.approx(
        read(jpeg("nv"), classifier).prediction.probabilities, abs=1e-5
    )
    assert "not a picture" in str(third)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "name",
    [
        "../evil.jpg",
        "a/../../evil.jpg",
        "/etc/evil.jpg",
        "C:\\evil.jpg",
        "C:evil.jpg",
        "..\\evil.jpg",
        "\\\\host\\evil",
    ],
)
def test_names_that_point_outside_are_refused(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / "slip.zip", {name: jpeg(), "fine.jpg": jpeg()})
    found = outcomes(path)
    assert "points outside" in found.pop(name)
    assert found == {"fine.jpg": ""}
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "links.zip"
    link = zipfile.ZipInfo("passwd.jpg")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(link, "/etc/passwd")
    assert "link" in outcomes(path)["passwd.jpg"]


def test_archives_in_archives_stay_closed(tmp_path: Path) -> None:
    inner = archive(tmp_path / "inner.zip", {"x.jpg": jpeg()}).read_bytes()
    found = outcomes(archive(tmp_path / "outer.zip", {"inner.zip": inner, "photo.jpg": inner}))
    assert all("inside an archive" in reason for reason in found.values())
    assert len(found) == 2


def test_a_locked_member_is_a_row_with_its_reason(tmp_path: Path) -> None:
    data = bytearray(archive(tmp_path / "locked.zip", {"x.jpg": jpeg()}).read_bytes())
    # "encrypted" in the member's own header and in the list of contents.
    data[data.index(b"PK\x03\x04") + 6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(data)
    assert "password" in outcomes(tmp_path / "locked.zip")["x.jpg"]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_unpack_without_limit_are_refused(tmp_path: Path, method: int) -> None:
    found = outcomes(archive(tmp_path / "odd.zip", {"x.jpg": bytes(10**6)}, method))
    assert "unusual method" in found["x.jpg"]


def test_a_bomb_is_refused_by_what_it_says_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST_BYTES", 10**6)
    monkeypatch.setattr(sources, "MOST_ARCHIVE_BYTES", 3 * 10**6)
    one = archive(tmp_path / "one.zip", {"big.jpg": bytes(2 * 10**6), "x.jpg": jpeg()})
    assert "larger than" in outcomes(one)["big.jpg"]
    assert outcomes(one)["x.jpg"] == ""
    many = archive(tmp_path / "many.zip", {f"{i}.jpg": bytes(900_000) for i in range(4)})
    assert list(outcomes(many)) == ["many.zip"], "one row for the whole archive"
    assert "holds more than" in outcomes(many)["many.zip"]


def lie(path: Path, name: bytes, size: int) -> None:
    """Write another unpacked size into a member's header and into the list of contents."""
    data = bytearray(path.read_bytes())
    for mark, field, at in ((b"PK\x03\x04", 22, 30), (b"PK\x01\x02", 24, 46)):
        start = next(
            i for i in range(len(data)) if data[i : i + 4] == mark and data[i + at :].startswith(name)
        )
        data[start + field : start + field + 4] = size.to_bytes(4, "little")
    path.write_bytes(data)


def test_a_bomb_that_lies_about_its_size_is_not_unpacked(tmp_path: Path) -> None:
    path = archive(tmp_path / "lies.zip", {"bomb.jpg": bytes(100 * 2**20)})
    lie(path, b"bomb.jpg", 1000)
    assert path.stat().st_size < 10**6
    tracemalloc.start()
    started = time.process_time()
    try:
        assert "damaged" in outcomes(path)["bomb.jpg"]
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()
    assert time.process_time() - started < 1


def test_unpacked_bytes_are_counted_over_the_whole_archive(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.zip", {f"{i}.jpg": bytes(400_000) for i in range(4)})
    opened = sources._Archive(path, most_files=4, most_bytes=10**6)
    members = [Source(member.filename, partial(opened.read, member)) for member in opened.zip.infolist()]
    assert [bool(outcome(source)) for source in members] == [False, False, True, True]


def test_an_archive_of_too_many_files_is_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST_FILES", 5)
    path = archive(tmp_path / "crowd.zip", {f"{i}.jpg": b"" for i in range(6)})
    assert "more than 5 files" in outcomes(path)["crowd.zip"]
    assert len(outcomes(archive(tmp_path / "few.zip", {f"{i}.jpg": b"" for i in range(5)}))) == 5
    assert len(list(archive_sources(tmp_path / "crowd.zip", most_files=6))) == 6, "where they are one's own"


def test_a_long_list_of_contents_is_not_even_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST_FILES", 20)
    path = archive(tmp_path / "crowd.zip", {f"{i}.jpg": b"" for i in range(300)})
    made: list[str] = []
    monkeypatch.setattr(zipfile, "ZipInfo", lambda *args: made.append("entry"))
    assert "files: split it" in outcomes(path)["crowd.zip"]
    assert made == []


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def spoil_member(data: bytes) -> bytes:
    return data[:60] + bytes(40) + data[100:]


def spoil_list(data: bytes) -> bytes:
    start = data.rindex(b"PK\x01\x02")
    return data[:start] + b"XXXX" + data[start + 4 :]


@pytest.mark.parametrize(
    "spoil", [cut, spoil_member, spoil_list, lambda data: b"PK\x03\x04", lambda data: data[:-1]]
)
def test_a_damaged_archive_gets_sentences(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    path = archive(tmp_path / "x.zip", {"a.jpg": jpeg()}, zipfile.ZIP_STORED)
    path.write_bytes(spoil(path.read_bytes()))
    (reason,) = outcomes(path).values()
    assert "damaged" in reason
    assert "\n" not in reason


def test_random_damage_never_raises_anything_else(tmp_path: Path) -> None:
    path, random = tmp_path / "x.zip", np.random.default_rng(0)
    good = archive(path, {"a.jpg": jpeg(), "ä/b.jpg": jpeg()}).read_bytes()
    ends = len(good) - good.index(b"PK\x01\x02")  # most of the damage goes into the list of contents
    for turn in range(300):
        data = np.frombuffer(good, np.uint8).copy()
        area = ends if turn % 3 else len(good)
        data[len(good) - 1 - random.integers(0, area, 4)] = random.integers(0, 256, 4)
        path.write_bytes(data.tobytes())
        for source in gather([path]):
            outcome(source)


def test_names_cannot_steer_a_terminal(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.zip", {"a\x1b[2Jb.jpg": jpeg(), "a\u202egpj.exe": b"x"})
    assert all(source.name.isprintable() for source in gather([path]))
