"""Where many photos come from: files, folders, ZIP archives. Nothing of an archive is ever written to disk.

An archive is somebody else's: its names may point anywhere, its headers may lie about sizes. Members are read as bytes and
counted while they are unpacked; a name is only ever shown.
"""

import io
import os
import re
import stat
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PureWindowsPath

from skinapp.photo.files import whole_number
from skinapp.photo.preprocess import LIMITS, MOST_BYTES, PhotoError

MOST_FILES = whole_number("SKINAPP_MOST_FILES", 5000)  # of an archive, and of one run on the page
MOST_ARCHIVE_BYTES = whole_number("SKINAPP_MOST_ARCHIVE_MB", 1024) * 2**20  # packed, and again unpacked
ENTRY = 512  # bytes that a name may take in an archive's list of contents, with all that is said of it; 46 at least

ARCHIVE = b"PK\x03\x04"  # how a ZIP begins
EMPTY_ARCHIVE = b"PK\x05\x06"
# What systems and network drives put beside photos unasked: thumbnails, settings, recycle bins.
LEFT_OUT = {
    "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "picasa.ini", "@eadir", "@tmp", "#recycle", "@recycle",
    "$recycle.bin", "recycler", "recycled", "system volume information", "lost+found",
}  # fmt: skip
TABLES = (
    ".csv",
    ".tab",
    ".tsv",
    ".txt",
    ".xlsx",
)  # what may hold labels; beside photos, none of it is a photo
TEXTS = (
    *TABLES,
    ".xls",
    ".json",
    ".jsonl",
    ".parquet",
    ".md",
    ".rst",
    ".xml",
    ".yaml",
    ".yml",
    ".log",
    ".ini",
)
EXPLANATIONS = ("license", "licence", "attribution", "readme", "citation", "copyright", "notice")


@dataclass(frozen=True)
class Source:
    """One photo to be. name: as its owner knows it, fit to be printed; content: gives the image file's path or bytes, or
    raises PhotoError."""

    name: str
    content: Callable[[], Path | bytes]


def printable(name: str) -> str:
    """A file's name without what would steer a terminal or turn the writing round. Joiners, which Persian and Hindi need, stay."""
    return "".join(
        letter if letter.isprintable() or letter in "\u200c\u200d" else "\N{REPLACEMENT CHARACTER}"
        for letter in name
    )


def is_table(name: str) -> bool:
    """Whether a file of this name may hold labels, and is no photo."""
    return name.lower().endswith(TABLES)


def is_text(name: str) -> bool:
    """Whether a file of this name is a table, a licence or another text, as they lie beside photos."""
    last = PureWindowsPath(name).name.lower()
    return last.endswith(TEXTS) or last.partition(".")[0] in EXPLANATIONS


def file_source(path: Path, name: str | None = None) -> Source:
    """A file as a source. name: as its owner knows it, where it is not the path."""
    return Source(printable(name or str(path)), lambda: path)


def gather(paths: Iterable[Path]) -> Iterator[Source]:
    """The photos of files, folders and ZIP archives, in this order and by name; whatever cannot be read is among them, and
    raises PhotoError when its content is asked for.

    Folders are searched to the bottom, linked ones once. Hidden files are left out, and texts and tables inside of folders and
    archives. Archives are opened where they are named themselves, not
    inside folders or other archives. An archive stays open until the last of its sources is forgotten.
    """
    for path in paths:
        if path.is_dir():
            yield from _folder(path)
        elif is_archive(path) and not is_table(path.name):  # a workbook is packed as a ZIP
            yield from (source for source in archive_sources(path) if not is_text(source.name))
        else:
            yield file_source(path)


def is_archive(path: Path) -> bool:
    """Whether a file begins as a ZIP does."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(ARCHIVE)) in (ARCHIVE, EMPTY_ARCHIVE)
    except OSError:
        return False


def _refuse(sentence: str) -> bytes:
    raise PhotoError(sentence)


def refused(name: str, sentence: str) -> Source:
    """A source that is not read, and why."""
    return Source(printable(name), partial(_refuse, sentence))


def hidden(parts: Iterable[str]) -> bool:
    """Whether a file is left out because of what it or a folder on its way is called."""
    return any(
        part.startswith(".") or part.lower() in LEFT_OUT or part.lower().endswith("zone.identifier")
        for part in parts
    )


def _folder(folder: Path) -> Iterator[Source]:
    unreadable: list[OSError] = []
    seen = {os.path.realpath(folder)}
    for place, folders, files in os.walk(folder, onerror=unreadable.append, followlinks=True):
        inside = sorted(name for name in folders if not hidden([name]))
        folders.clear()
        for name in inside:
            real = os.path.realpath(os.path.join(place, name))
            if real not in seen:  # a link may lead back to where it lies
                seen.add(real)
                folders.append(name)
        for name in sorted(files):
            path = Path(place, name)
            if hidden([name]) or is_text(name):
                continue
            if path.suffix.lower() == ".zip":
                yield refused(
                    str(path), "An archive inside a folder is not opened: name it itself, or unpack it."
                )
            else:
                yield file_source(path)
    for error in unreadable:
        yield refused(
            str(error.filename), f"This folder cannot be opened ({error.strerror}): check its rights."
        )


class _ArchiveFile(io.FileIO):
    """An archive's file. `zipfile` reads the list of contents in one piece, as long as the archive says it is, and makes an
    object of every entry: a list longer than so many names need is not read at all. `most`: bytes of one piece."""

    def __init__(self, path: Path, most_files: int):
        super().__init__(path)
        self.most = ENTRY * most_files
        self._most_files = most_files

    def read(self, size: int | None = -1, /) -> bytes:  # type: ignore[override]  # a plain file has always an answer
        if size is None or size < 0:
            size = max(0, os.fstat(self.fileno()).st_size - self.tell())
        if size > self.most:
            raise PhotoError(_too_many(self._most_files))
        return super().read(size) or b""

    def __del__(self) -> None:
        self.close()


class _Archive:
    """An open archive, and how much of it has been unpacked. Safe to use from several threads."""

    def __init__(self, path: Path, most_files: int, most_bytes: int):
        file = _ArchiveFile(path, most_files)
        self.zip = zipfile.ZipFile(file)
        file.most = MOST_BYTES + 1
        self._most = most_bytes
        self._unpacked = 0
        self._lock = threading.Lock()

    def read(self, member: zipfile.ZipInfo) -> bytes:
        """The member's bytes. Raises PhotoError."""
        with self._lock:
            if self._unpacked > self._most:
                raise PhotoError(_too_much(self._most))
        try:
            with self.zip.open(member) as file:
                # Never more than the archive claims, nor than is allowed, whatever it claims.
                data = file.read(min(member.file_size, MOST_BYTES) + 1)
        except PhotoError:
            raise
        except Exception:  # noqa: BLE001  # zipfile raises nearly every kind of error on damaged archives
            raise PhotoError("This file is damaged inside its archive: pack it again.") from None
        with self._lock:
            self._unpacked += len(data)
            if self._unpacked > self._most:
                raise PhotoError(_too_much(self._most))
        if len(data) > MOST_BYTES:
            raise PhotoError(LIMITS.too_heavy)
        if data.startswith((ARCHIVE, EMPTY_ARCHIVE)):
            raise PhotoError("An archive inside an archive is not opened: unpack it and add its photos.")
        return data


def archive_sources(
    path: Path, name: str | None = None, most_files: int | None = None, most_bytes: int | None = None
) -> Iterator[Source]:
    """The photos of a ZIP archive, by name. name: as its owner knows it, where it is not the file's; most_files, most_bytes: of
    the whole archive, packed and again unpacked, where they are not MOST_FILES and MOST_ARCHIVE_BYTES."""
    called = name or path.name
    most_files = MOST_FILES if most_files is None else most_files
    most_bytes = MOST_ARCHIVE_BYTES if most_bytes is None else most_bytes
    try:
        if path.stat().st_size > most_bytes:
            raise PhotoError(_too_much(most_bytes))
        archive = _Archive(path, most_files, most_bytes)
        # As if it were on Windows, where both slashes part names and drives have letters.
        members = [
            (member, name, PureWindowsPath(name))
            for member, name in _named(archive.zip.infolist())
            if not name.endswith(("/", "\\"))
        ]
        if len(members) > most_files:
            raise PhotoError(_too_many(most_files))
        if sum(member.file_size for member, *_ in members) > most_bytes:
            raise PhotoError(_too_much(most_bytes))
    except PhotoError as error:
        yield refused(called, str(error))
        return
    except Exception:  # noqa: BLE001  # as above
        yield refused(called, "This archive is damaged or cut short: pack or copy it again.")
        return
    for member, inside, place in sorted(members, key=lambda one: one[2].parts):
        escapes = bool(place.drive or place.root or ".." in place.parts)
        if not escapes and hidden(place.parts):
            continue
        reason = "Its name points outside the archive: pack it again." if escapes else _unsuitable(member)
        shown = f"{called}/{inside if escapes else place.as_posix()}"
        yield refused(shown, reason) if reason else Source(printable(shown), partial(archive.read, member))


def _named(members: list[zipfile.ZipInfo]) -> list[tuple[zipfile.ZipInfo, str]]:
    """Each member with its name. Where an archive does not say in which encoding names are, all of them are in one: UTF-8, as
    macOS writes it, Shift-JIS, as Japanese Windows does, or code page 850 of Western Windows."""
    unsaid = [
        member.orig_filename.encode("cp437", "replace") for member in members if not member.flag_bits & 0x800
    ]
    encoding = next(code for code in ("utf-8", "cp932", "cp850") if all(_fits(name, code) for name in unsaid))
    return [
        (
            member,
            member.filename
            if member.flag_bits & 0x800
            else member.filename.encode("cp437", "replace").decode(encoding, "replace"),
        )
        for member in members
    ]


def _fits(name: bytes, encoding: str) -> bool:
    """Whether a name makes sense in an encoding. Shift-JIS makes a sign of an umlaut and the letter behind it; Japanese names
    have two such signs in a row."""
    if name.isascii() or encoding == "cp850":
        return True
    try:
        text = name.decode(encoding)
    except UnicodeDecodeError:
        return False
    return encoding == "utf-8" or bool(re.search("[\u3040-\u30ff\u4e00-\u9fff]{2}", text))


def _unsuitable(member: zipfile.ZipInfo) -> str:
    """Why a member is not unpacked, by its header alone; empty where it is."""
    if stat.S_ISLNK(member.external_attr >> 16):
        return "This is a link to another file, not a photo: add the photo itself."
    if member.flag_bits & 1:
        return "This file is locked with a password: pack it without."
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # zipfile unpacks the other methods without a limit on what comes out
        return "This file is packed by an unusual method: pack it as a normal ZIP."
    return LIMITS.too_heavy if member.file_size > MOST_BYTES else ""


def _too_many(most: int) -> str:
    return f"This archive holds more than {most} files: split it."


def _too_much(most: int) -> str:
    return f"This archive holds more than {most // 2**20} MB: split it."
