"""Fetches HAM10000 from Harvard Dataverse: the photos and their diagnoses, checked and unpacked.

    python -m train.download --to DIR      # 2.8 GB; after a break the same command goes on where it stopped

Only the three files in WANTED are asked for. The same record offers the ISIC 2018 test photos with their
diagnoses, and masks of the lesions; those stay where they are, so that no test photo can end up in training.
"""

import argparse
import hashlib
import os
import re
import shutil
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tqdm import tqdm

from train.data.connection import HEADERS, RETRIES, RETRY_PAUSE, TIMEOUT, DownloadError, reason

SERVER = "https://dataverse.harvard.edu"
DOI = "doi:10.7910/DVN/DBW86T"
LICENCE = "HAM10000 is licensed CC BY-NC 4.0: name Tschandl, Rosendahl, Kittler 2018; no commercial use."
# Name here -> names the record may list it under: Dataverse calls a table .tab once it has converted it.
WANTED: dict[str, tuple[str, ...]] = {
    "HAM10000_metadata.csv": ("HAM10000_metadata.tab", "HAM10000_metadata", "HAM10000_metadata.csv"),
    "HAM10000_images_part_1.zip": ("HAM10000_images_part_1.zip",),
    "HAM10000_images_part_2.zip": ("HAM10000_images_part_2.zip",),
}
# Flat, or below one folder that does not start with a dot. Only the last part is used, as the file's name.
IMAGE_MEMBER = re.compile(r"(?:\w[^/\\]*/)?(ISIC_\w+\.jpg)")
IMAGES = "ISIC_*.jpg"


class _Broken(Exception):
    """The bytes stopped or did not come, and asking again may help."""


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch. size: bytes, None if not told; checksum: lower-case hex; checksum_type: for hashlib.

    tabular: Dataverse has converted it; size and checksum are those of the file as it was uploaded.
    """

    id: int
    name: str
    size: int | None
    checksum_type: str
    checksum: str
    tabular: bool


def list_files(client: httpx.Client, server: str) -> list[RemoteFile]:
    """The files of WANTED, in that order, as the record at `server` describes them. Raises DownloadError."""
    try:
        answer = client.get(f"{server}/api/datasets/:persistentId/?persistentId={DOI}")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:  # ValueError: no host name at all
        raise DownloadError(
            f"{server} cannot be reached ({reason(error)}): check the network and --server, then run again."
        ) from error
    if answer.status_code != 200:
        raise DownloadError(
            f"{server} answered {answer.status_code} {answer.reason_phrase} when asked for {DOI}: "
            "try again later, or check --server."
        )
    try:
        entries = answer.json()["data"]["latestVersion"]["files"]
        listed = {entry["dataFile"]["filename"]: entry["dataFile"] for entry in entries}
        files = {
            name: _remote_file(name, listed[listing])
            for name, listings in WANTED.items()
            for listing in reversed(listings)  # the first that is there wins
            if listing in listed
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DownloadError(
            f"{server} did not answer with a Dataverse record of {DOI}: check --server, or try again later."
        ) from error
    missing = [name for name in WANTED if name not in files]
    if missing:
        raise DownloadError(
            f"The record {DOI} at {server} has no {', '.join(missing)}: check --server; if it is right, the "
            "publisher has changed the record and skinapp must follow, so please report it."
        )
    return list(files.values())


def _remote_file(name: str, data: dict[str, Any]) -> RemoteFile:
    tabular = bool(data.get("tabularData") or data.get("originalFileFormat"))  # older servers tell only this
    # Dataverse computes the checksum at upload, before it converts a table, but `filesize` afterwards.
    size: int | None = data.get("originalFileSize" if tabular else "filesize")
    checksum = data.get("checksum") or {"type": "MD5", "value": data["md5"]}
    checksum_type = checksum["type"].replace("-", "").lower()
    hashlib.new(checksum_type, usedforsecurity=False)  # an unknown one must show before 1.4 GB have come
    return RemoteFile(data["id"], name, size, checksum_type, checksum["value"].lower(), tabular)


def fetch(client: httpx.Client, url: str, file: RemoteFile, folder: Path, retry_pause: float) -> Path:
    """Bring `file` into `folder`, unless it is there, going on from NAME.part. Returns its path, verified.

    retry_pause: seconds. Raises DownloadError; what has come stays in NAME.part unless its checksum is wrong.
    """
    target, part = folder / file.name, folder / f"{file.name}.part"
    if target.is_file() and _checksum(target, file) == file.checksum:
        return target
    failures, furthest = 0, _size(part)
    # disable=None: a bar on a terminal only, none in a log
    with tqdm(desc=file.name, total=file.size, unit="B", unit_scale=True, disable=None) as bar:
        while True:
            try:
                _receive(client, url, file, part, bar)
                break
            except _Broken as error:
                failures = 0 if _size(part) > furthest else failures + 1
                furthest = max(furthest, _size(part))
                if failures >= RETRIES:
                    raise DownloadError(
                        f"{file.name} does not come any further ({error}): run the same command again later; "
                        f"the {_size(part):,} bytes that have come are kept."
                    ) from error
                bar.write(f"{file.name}: {error}; asking again in {retry_pause:g} s", file=sys.stderr)
                time.sleep(retry_pause)
    if _checksum(part, file) != file.checksum:
        part.unlink()
        raise DownloadError(
            f"{file.name} has another {file.checksum_type} checksum than the record, so it was deleted: run "
            "the same command again; if that fails too, something on the way to the server alters files."
        )
    os.replace(part, target)
    return target


def _receive(client: httpx.Client, url: str, file: RemoteFile, part: Path, bar: "tqdm[Any]") -> None:
    """Add the missing bytes to `part`. Raises _Broken where asking again may help, else DownloadError."""
    have = _size(part)
    if file.size is not None and have >= file.size:  # stopped before the checksum, which now decides
        return
    try:
        with client.stream("GET", url, headers={"Range": f"bytes={have}-"} if have else {}) as answer:
            resumed = _goes_on(answer, file, part, have)
            bar.initial = bar.n = have if resumed else 0
            with part.open("ab" if resumed else "wb") as out:
                for chunk in answer.iter_bytes():
                    out.write(chunk)
                    bar.update(len(chunk))
    except httpx.HTTPError as error:
        raise _Broken(reason(error)) from error
    if file.size is not None and _size(part) < file.size:
        raise _Broken("the connection was closed early")


def _goes_on(answer: httpx.Response, file: RemoteFile, part: Path, have: int) -> bool:
    """Whether the bytes of `answer` start at `have`; False if at 0. Raises as _receive does."""
    status = answer.status_code
    length = answer.headers.get("Content-Length")
    if status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        return True
    if status == 200 and (file.size is None or length is None or length == str(file.size)):
        return False
    if status == 200:  # the page of a hotel's network, say: it must not replace the bytes that have come
        raise _Broken(f"the server sends {length} bytes where the record says {file.size}")
    if status == 416:
        part.unlink(missing_ok=True)
    if status in (206, 408, 416, 429) or status >= 500:
        raise _Broken(f"the server answered {status} {answer.reason_phrase}")
    raise DownloadError(
        f"The server refuses {file.name} ({status} {answer.reason_phrase}): run again later, or put it into "
        f"{part.parent} with a browser, from where the server publishes it, and run again."
    )


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the images of a zip flat into `folder`, which appears once complete. Raises DownloadError."""
    # train.dataset reads every folder whose name begins like the archive's, so this one must not.
    unfinished = folder.with_name(f"unpacking_{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        with zipfile.ZipFile(archive) as zipped:
            matches = [(member, IMAGE_MEMBER.fullmatch(member.filename)) for member in zipped.infolist()]
            images = [(member, match[1]) for member, match in matches if match]
            for member, name in tqdm(images, desc=f"unpacking {archive.name}", unit="image", disable=None):
                with zipped.open(member) as source, (unfinished / name).open("wb") as out:
                    shutil.copyfileobj(source, out)
    except (zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise DownloadError(f"{archive} cannot be unpacked ({error}): delete it and run again.") from error
    if not images:
        raise DownloadError(f"{archive} holds no {IMAGES}: check --server, delete the file and run again.")
    unfinished.rename(folder)


def check_space(files: Iterable[RemoteFile], folder: Path, keep_archives: bool) -> None:
    """Raises DownloadError if the disk of `folder` cannot take what `files` still need, unpacked as well."""
    sizes = {folder / file.name: file.size or 0 for file in files}
    here = [max(_size(path), _size(Path(f"{path}.part"))) for path in sizes]
    to_fetch = sum(max(size - got, 0) for size, got in zip(sizes.values(), here, strict=True))
    # JPEGs do not shrink in a zip: unpacking takes its size once more, and gives it back with the zip.
    zips = [size for path, size in sizes.items() if path.suffix == ".zip"]
    needed = to_fetch + (sum(zips) if keep_archives else max(zips, default=0))
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DownloadError(
            f"{folder} has {free / 1e9:.1f} GB free and {needed / 1e9:.1f} GB are needed: free some, or "
            "name a folder on another disk with --to."
        )


def download_ham10000(
    folder: Path, server: str = SERVER, keep_archives: bool = False, retry_pause: float = RETRY_PAUSE
) -> dict[str, int]:
    """Fetch and unpack what of HAM10000 is not in `folder` yet. Returns image folder -> number of images.

    retry_pause: seconds. Raises DownloadError, and OSError where `folder` cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with httpx.Client(headers=HEADERS, timeout=TIMEOUT, follow_redirects=True) as client:
        files = list_files(client, server)
        to_do = [file for file in files if not _count_images(folder / Path(file.name).stem)]
        check_space(to_do, folder, keep_archives)
        for file in to_do:
            url = f"{server}/api/access/datafile/{file.id}" + ("?format=original" if file.tabular else "")
            path = fetch(client, url, file, folder, retry_pause)
            if path.suffix == ".zip":
                unpack(path, folder / path.stem)
                if not keep_archives:
                    path.unlink()
    image_folders = [name.removesuffix(".zip") for name in WANTED if name.endswith(".zip")]
    return {name: _count_images(folder / name) for name in image_folders}


def _count_images(folder: Path) -> int:
    return sum(1 for _ in folder.glob(IMAGES))


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _checksum(path: Path, file: RemoteFile) -> str:
    digest = hashlib.new(file.checksum_type, usedforsecurity=False)
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: digest).hexdigest()


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; argv without the program's name. Returns the exit status."""
    parser = argparse.ArgumentParser("python -m train.download", description="Fetch HAM10000 for training.")
    parser.add_argument("--to", type=Path, metavar="DIR", required=True, help="folder to put it in")
    parser.add_argument("--server", metavar="URL", help=f"Dataverse to ask ({SERVER})")
    parser.add_argument("--keep-archives", action="store_true", help="do not remove the zips once unpacked")
    arguments = parser.parse_args(argv)
    return _run(lambda: _ham10000(arguments.to, arguments.server, arguments.keep_archives), arguments.to)


def _ham10000(folder: Path, server: str | None, keep_archives: bool) -> None:
    print(LICENCE, flush=True)
    counts = download_ham10000(folder, SERVER if server is None else server.rstrip("/"), keep_archives)
    parts = ", ".join(f"{count:,} in {name}" for name, count in counts.items())
    print(
        f"{folder} holds {sum(counts.values()):,} images ({parts}) and HAM10000_metadata.csv; "
        f"train next: python -m train.fit --data {folder}"
    )


def _run(work: Callable[[], None], folder: Path) -> int:
    """Do it. Returns the exit status; what goes wrong is one line."""
    try:
        work()
    except DownloadError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: cannot write to {folder} ({error}): mend that and run again.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from here.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
