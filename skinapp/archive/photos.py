"""Which photos a SOURCE means, and how a worker, perhaps on another machine, gets at each of them."""

import json
import os
import time
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq

from skinapp.archive import ArchiveError
from skinapp.labels import LabelsError, column_name, parse_lines, read_text
from skinapp.photo.preprocess import MOST_BYTES, PhotoError
from skinapp.photo.sources import (
    Source,
    archive_sources,
    file_source,
    gather,
    hidden,
    is_archive,
    is_text,
    refused,
)

LISTS = (".csv", ".parquet")
PAUSES = (1.0, 4.0)  # seconds, before a photo that a server did not give is asked for again
LASTING = (FileNotFoundError, PermissionError, ImportError)  # for what asking again is no help


@dataclass(frozen=True, slots=True)
class Photo:
    """A row to be. path: as in the results; place: where a worker finds it (absolute path, URL, or path within the source's
    own file system; empty in a ZIP, where the row's number tells); error: why nobody is to look for it."""

    path: str
    place: str = ""
    error: str = ""

    def line(self) -> str:
        """As one line of ASCII, whatever bytes a file's name is made of."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, line: str) -> "Photo":
        """From such a line."""
        return cls(**json.loads(line))


def absolute(source: str) -> str:
    """The source's name, the same from wherever the command is typed."""
    return source if _is_url(source) else os.path.abspath(source)


def list_photos(source: str) -> Iterator[Photo]:
    """The photos of a folder (to the bottom), a ZIP, a CSV or Parquet list with a column `path` (relative to the list), a
    single file, or whatever fsspec finds at a URL (beneath it, or by its pattern). Raises ArchiveError."""
    if _is_list(source):
        yield from _of_list(source)
    elif _is_url(source):
        yield from _of_url(source)
    elif is_archive(Path(source)):
        yield from _of_zip(Path(source))
    elif os.path.lexists(source):
        yield from _of_files(Path(source))
    else:
        raise ArchiveError(f"{source} does not exist: name a folder, a ZIP, a list of paths or a URL.")


class Opener:
    """Opens the photos of a source, on the machine that scores them. source: as `absolute` has it."""

    def __init__(self, source: str):
        self._system: Any = None
        self._members: list[Source] = []
        if _is_url(source) and not _is_list(source):
            self._system, _ = fsspec.core.url_to_fs(_unpacked(source))
        elif is_archive(Path(source)):
            self._members = _members(Path(source))

    def source(self, number: int, photo: Photo) -> Source:
        """The photo of a row as a source. number: of its row, from 0."""
        if photo.error:
            return refused(photo.path, photo.error)
        if self._system is not None:
            return Source(photo.path, partial(_fetched, lambda: self._system.open(photo.place, "rb")))
        if _is_url(photo.place):
            return Source(photo.path, partial(_fetched, lambda: fsspec.open(photo.place, "rb").open()))
        if photo.place:
            return file_source(Path(photo.place), photo.path)
        if number < len(self._members) and self._members[number].name == photo.path:
            return self._members[number]
        return refused(photo.path, "The archive is missing or not the one that was listed: copy it again.")


def _is_url(source: str) -> bool:
    """Whether fsspec is to open it."""
    return "://" in source or "::" in source


def _is_list(source: str) -> bool:
    return source.partition("::")[0].lower().endswith(LISTS) and not os.path.isdir(source)


def _unpacked(url: str) -> str:
    """The URL of a ZIP's contents for that of a ZIP."""
    return f"zip://::{url}" if url.lower().endswith(".zip") and "::" not in url else url


def _members(path: Path) -> list[Source]:
    """The photos of a ZIP, which is the user's own and may be large; no photo in it may."""
    members = archive_sources(path, most_files=10**6, most_bytes=2**60)
    return [member for member in members if not is_text(member.name)]


def _of_files(path: Path) -> Iterator[Photo]:
    for source in gather([path]):
        try:
            place = os.path.abspath(str(source.content()))
        except PhotoError as error:
            yield Photo(source.name, error=str(error))
            continue
        if not is_text(place):
            yield Photo(source.name, place)


def _of_zip(path: Path) -> Iterator[Photo]:
    members = _members(path)
    if [member.name for member in members] == [path.name]:  # it is the archive itself that cannot be read
        try:
            members[0].content()
        except PhotoError as error:
            raise ArchiveError(f"{path}: {error}") from None
    yield from (Photo(member.name) for member in members)


def _of_url(source: str) -> Iterator[Photo]:
    url = _unpacked(source)
    try:
        system, root = fsspec.core.url_to_fs(url)
        found = system.glob(root) if "*" in root else system.find(root)
        if not found:
            system.ls(root)  # says why, where the others are silent
    except Exception as error:  # noqa: BLE001  # every kind of storage has errors of its own
        raise ArchiveError(
            f"{source} cannot be listed ({_reason(error)}): check address and rights."
        ) from None
    _, chained, rest = url.partition("::")
    above = root.partition("*")[0].rpartition("/")[0]
    for path in sorted(found):
        if not hidden(path.removeprefix(above).split("/")) and not is_text(path):
            yield Photo(system.unstrip_protocol(path) + chained + rest, path)


def _of_list(source: str) -> Iterator[Photo]:
    """A row without a path is a row of the results, too."""
    own, chained, rest = absolute(source).partition("::")
    above = own.rpartition("/")[0]
    try:
        with fsspec.open(source, "rb") as file:
            for path in (_csv_paths if own.lower().endswith(".csv") else _parquet_paths)(file):
                if not path:
                    yield Photo("", error="The list names no photo in this row.")
                elif _is_url(path):
                    yield Photo(path, path)
                elif os.path.isabs(path):
                    yield Photo(path, _existing(path))
                elif _is_url(source):
                    slashed = path.replace("\\", "/")
                    yield Photo(path, f"{above}/{slashed}{chained}{rest}")
                else:
                    yield Photo(path, _existing(f"{above}/{path}"))
    except ArchiveError:
        raise
    except Exception as error:  # noqa: BLE001  # as above; and a damaged table has many ways to say so
        raise ArchiveError(f"{source} cannot be read as a list ({_reason(error)}): check the file.") from None


def _existing(path: str) -> str:
    """The file that a list means: it may part folders by backslashes, and have letters composed otherwise than the disk has."""
    slashed = path.replace("\\", "/")
    forms = [path, *(unicodedata.normalize(form, one) for one in (path, slashed) for form in ("NFC", "NFD"))]
    return next((form for form in forms if os.path.lexists(form)), path)


def _parquet_paths(file: Any) -> Iterator[str | None]:
    table = pq.ParquetFile(file)
    if "path" not in table.schema_arrow.names:
        raise ArchiveError("The list has no column path, which is to name the photos.")
    for batch in table.iter_batches(columns=["path"]):
        yield from (None if path is None else str(path) for path in batch["path"].to_pylist())


def _csv_paths(file: Any) -> Iterator[str | None]:
    """In whatever encoding and with whatever separator `skinapp.labels` takes."""
    try:
        lines = parse_lines(read_text(file.read())[0])
    except LabelsError as error:
        raise ArchiveError(str(error)) from None
    columns = [column_name(cell) for cell in lines[0]] if lines else []
    if "path" not in columns:
        found = f" Its columns are {', '.join(columns[:5])}." if any(columns) else ""
        raise ArchiveError(f"The list has no column path, which is to name the photos.{found}")
    place = columns.index("path")
    for cells in lines[1:]:
        if cells:
            yield cells[place].strip() if place < len(cells) else ""


def _fetched(opened: Callable[[], Any]) -> bytes:
    """The photo's bytes, never more than one too many. A server that stumbles is asked again. Raises PhotoError."""
    pauses = iter(PAUSES)
    while True:
        try:
            with opened() as file:
                return file.read(MOST_BYTES + 1)
        except Exception as error:  # noqa: BLE001  # every kind of storage has errors of its own
            pause = None if isinstance(error, LASTING) else next(pauses, None)
            if pause is None:
                reason = _reason(error)
                raise PhotoError(
                    f"This file cannot be fetched ({reason}): check its address and rights."
                ) from None
            time.sleep(pause)


def _reason(error: Exception) -> str:
    """In a few words, and without the address, which may hold a password."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    text = getattr(error, "strerror", None) or (
        str(error) if isinstance(error, ImportError | ValueError) else ""
    )
    return (text or type(error).__name__).splitlines()[0].rstrip(".")
