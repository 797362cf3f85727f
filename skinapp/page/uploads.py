"""Many uploaded files: which of them are photos, and which are label files."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import gradio as gr

from skinapp.photo.sources import (
    MOST_FILES,
    Source,
    archive_sources,
    file_source,
    is_archive,
    is_table,
    is_text,
)


@dataclass(frozen=True)
class Upload:
    """An uploaded file. path: in Gradio's folder; name: what the client calls it, to be shown only."""

    path: Path
    name: str


@dataclass(frozen=True)
class Uploads:
    """photos: in the order given, those of archives by name; tables: tables and texts, which may bring the dx of the photos;
    paths: of the uploaded files."""

    photos: list[Source]
    tables: list[Source]
    paths: list[Path]

    def keep(self) -> None:
        """Let `Ledger.sweep`, which deletes uploads by their age, begin to count anew: a long run still needs them."""
        for path in self.paths:
            with suppress(OSError):
                os.utime(path)


class TooMany(ValueError):
    """More photos than are read at once; its text is one sentence for the user."""


def takes_uploads(component: gr.File | gr.UploadButton) -> None:
    """Let an upload component of several files hand over `Upload`s. Gradio's own way leaves an empty file of each behind."""

    def uploads(payload: Any) -> list[Upload]:
        # Gradio has made sure that the paths lie in its own folder.
        return [Upload(Path(file.path), file.orig_name or Path(file.path).name) for file in payload or ()]

    setattr(component, "preprocess", uploads)  # noqa: B010  # an assignment would be a type error


def sort_out(uploads: Sequence[Upload]) -> Uploads:
    """Tell photos and label files apart, and look into archives. Raises TooMany."""
    found = list(islice(_sources(uploads), MOST_FILES + 1))
    if len(found) > MOST_FILES:
        raise TooMany(f"These are more than {MOST_FILES} photos: read them in several parts.")
    tables = [source for source in found if is_table(source.name)]
    photos = [source for source in found if not is_text(source.name)]
    return Uploads(photos, tables, [upload.path for upload in uploads])


def _sources(uploads: Iterable[Upload]) -> Iterator[Source]:
    for upload in uploads:
        if is_archive(upload.path) and not is_table(upload.name):  # a workbook is packed as a ZIP
            yield from archive_sources(upload.path, upload.name)
        else:
            yield file_source(upload.path, upload.name)


def download_path(component: gr.DownloadButton, name: str) -> Path:
    """A place for a file that this session may download, in Gradio's folder under a name that nobody can guess.
    `Ledger.sweep` deletes it as it deletes uploads."""
    folder = Path(component.GRADIO_CACHE) / secrets.token_hex(16)
    folder.mkdir(parents=True, mode=0o700)
    return folder / name
