"""The folder of results: part files that are each there as a whole or not at all, and beside them what they are results of.

`pyarrow.parquet.read_table(folder)` reads the parts alone: names that begin with a dot or an underscore are none of its business.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from skinapp.archive import ArchiveError
from skinapp.archive.photos import Photo
from skinapp.lesions import CODES

if sys.platform != "win32":  # where there are no such locks, nobody keeps a second command off
    import fcntl

ANSWER = [("label", pa.string()), *((f"p_{code}", pa.float64()) for code in CODES), ("error", pa.string())]
SCHEMA = pa.schema([("path", pa.string()), *ANSWER])  # of the results; a row has an error or all the others
SCORED = pa.schema(
    [("number", pa.int64()), *ANSWER]
)  # of what workers send: the row's number in the list, from 0
JOB = "_photos.jsonl"  # what the results are of: a line on the job, then one a photo
LOCK = ".lock"
BEGUN = (LOCK, f".{JOB}")  # all that is there while the photos are being listed
FORMAT = 1


@dataclass(frozen=True)
class Job:
    """What results are of. A command goes on with a folder of the same format, source and model, in the parts that were begun.

    source: absolute; model: sha256 of its skinapp.json, which holds those of the weights; rows: of a part file, all but the
    last; format: of the folder.
    """

    source: str
    model: str
    rows: int
    format: int = FORMAT


class Results:
    """An open folder; no other command can open it until it is closed. It reads the list of photos only where it is new.

    Raises ArchiveError where the folder is something else, another job's or in use, or the list is empty.
    """

    def __init__(self, folder: Path, job: Job, photos: Iterable[Photo]):
        self.folder = folder
        if (folder.exists() or folder.is_symlink()) and not _is_ours(folder):
            raise ArchiveError(f"{folder} is there already and holds something else: name another place.")
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(folder / LOCK)
        try:
            if not (folder / JOB).exists():
                _write_job(folder, job, photos)
            with (folder / JOB).open(encoding="ascii") as lines:
                self.job = _same(job, lines.readline(), folder)
                self.photos = [line.rstrip("\n") for line in lines]  # of `Photo.line`
            for left in folder.glob(".part-*"):
                left.unlink()
        except BaseException:
            self.close()
            raise
        parts = range(-(-len(self.photos) // self.job.rows))
        self._open: dict[int, dict[int, dict[str, Any]]] = {
            part: {} for part in parts if not self._path(part).exists()
        }

    def missing(self) -> list[range]:
        """The numbers of the rows that no part file holds, part by part."""
        return [self._numbers(part) for part in self._open]

    def add(self, scored: pa.Table) -> int:
        """Take rows in any order; what was scored twice is taken once. scored: of schema SCORED. Returns how many were new."""
        new = 0
        for row in scored.to_pylist():
            number = row.pop("number")
            part = number // self.job.rows
            rows = self._open.get(part)
            if rows is None or number in rows:
                continue
            rows[number] = {"path": Photo.of(self.photos[number]).path} | row
            new += 1
            numbers = self._numbers(part)
            if len(rows) == len(numbers):
                with _replacing(self._path(part)) as file:
                    pq.write_table(pa.Table.from_pylist([rows[number] for number in numbers], SCHEMA), file)
                del self._open[part]
        return new

    def close(self) -> None:
        """Let others open the folder. One without a list of photos goes."""
        if not (self.folder / JOB).exists():
            for name in BEGUN:
                (self.folder / name).unlink(missing_ok=True)
            with suppress(OSError):
                self.folder.rmdir()
        os.close(self._lock)

    def _numbers(self, part: int) -> range:
        return range(part * self.job.rows, min((part + 1) * self.job.rows, len(self.photos)))

    def _path(self, part: int) -> Path:
        return self.folder / f"part-{part:06}.parquet"


def _is_ours(folder: Path) -> bool:
    """Whether results may go there: an empty folder, or one that such a command has begun."""
    return folder.is_dir() and (
        (folder / JOB).exists() or all(path.name in BEGUN for path in folder.iterdir())
    )


def _locked(path: Path) -> int:
    """A handle that keeps other commands off for as long as this process lives. Raises ArchiveError."""
    lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    if sys.platform != "win32":
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise ArchiveError(
                f"Another command is writing to {path.parent}: wait until it has ended."
            ) from None
    return lock


def _write_job(folder: Path, job: Job, photos: Iterable[Photo]) -> None:
    with _replacing(folder / JOB) as file:
        file.write(f"{json.dumps(asdict(job))}\n".encode("ascii"))
        empty = True
        for photo in photos:
            file.write(f"{photo.line()}\n".encode("ascii"))
            empty = False
        if empty:
            raise ArchiveError(f"There is no photo in {job.source}.")


def _same(asked: Job, line: str, folder: Path) -> Job:
    """The job of a folder. Raises ArchiveError where it is not the one that is asked for."""
    try:
        found = Job(**json.loads(line))
    except (ValueError, TypeError):
        raise ArchiveError(f"{folder / JOB} is damaged: name another place for the results.") from None
    for what in ("format", "source", "model"):
        if getattr(found, what) != getattr(asked, what):
            raise ArchiveError(f"{folder} holds the results of another {what}: name another place for these.")
    return found


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that has its name only once it is complete and on the disk."""
    hidden = path.with_name(f".{path.name}")
    with hidden.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    hidden.replace(path)
