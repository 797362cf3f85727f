"""The tab for many photos: files, a folder or a ZIP in; a sortable table, CSV, JSON and, with dx, an evaluation out."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from PIL import Image

from skinapp.labels import Agreement, Labels, LabelsError, agreement, labels_among
from skinapp.output.rows import CsvTable, Row, document
from skinapp.page.many_table import EMPTY, Order, agreement_html, table_html
from skinapp.page.pictures import data_uri
from skinapp.page.result import refusal_html
from skinapp.page.uploads import TooMany, Upload, Uploads, download_path, sort_out, takes_uploads
from skinapp.photo.sources import MOST_FILES
from skinapp.service.engine import Engine, UnknownModel

if TYPE_CHECKING:  # importing it for real loads TensorFlow
    from skinapp.network.classifier import Classifier
    from skinapp.reading import Reading

# Pixels a side; two kilobytes each, so that the longest table of a session takes some ten megabytes.
THUMBNAIL = 64
RUNS = 2  # of all users at once; further ones wait, and single photos go on beside them
KEPT = 60.0  # seconds after which a run, or the page where it waits, says again that it needs its files
FORGOTTEN = "These photos have expired. Please choose them again."
TABLE = Path(__file__).with_name("many_table.js")


@dataclass(eq=False)
class Run:
    """One batch of a session, filled while it goes on. thumbnails: data URIs, one a row, empty for a broken file; begun: its
    turn has come, or there is nothing to do.

    It is all that is kept of the photos, and memory.py forgets it.
    """

    uploads: Uploads
    model: str
    rows: list[Row] = field(default_factory=list)
    thumbnails: list[str] = field(default_factory=list)
    order: Order = field(default_factory=Order)
    begun: bool = False
    cancelled: threading.Event = field(default_factory=threading.Event)

    def results(self, classifier: Classifier) -> Iterator[int]:
        """Read the photos until there is none left or the run is cancelled. Yields how many are done."""
        from skinapp.batch import read_many

        if self.cancelled.is_set():
            return
        readings, kept = read_many(self.uploads.photos, classifier), -KEPT
        try:
            for source, result in zip(self.uploads.photos, readings, strict=False):
                if self.cancelled.is_set():
                    return
                if time.monotonic() - kept > KEPT:
                    self.uploads.keep()
                    kept = time.monotonic()
                self.thumbnails.append(_thumbnail(result))
                self.rows.append(Row.of(source.name, result))
                yield len(self.rows)
        finally:
            readings.close()  # type: ignore[attr-defined]  # a generator: its threads end with it

    def agreement(self) -> Agreement | None:
        """With the dx that came along, None without. Raises LabelsError."""
        return None if self.labels is None else agreement(self.rows, self.labels)

    @cached_property
    def labels(self) -> Labels | None:
        """The dx that came along, None without. Raises LabelsError."""
        return labels_among(self.uploads.tables)

    def as_json(self, classifier: Classifier) -> dict[str, Any]:
        """The document of `rows`, and with a CSV among the files {evaluation: figures or {error}}."""
        answer = document(self.rows, classifier)
        try:
            found = self.agreement()
        except LabelsError as error:
            return answer | {"evaluation": {"error": str(error)}}
        return answer | ({"evaluation": asdict(found)} if found else {})


def add(engine: Engine) -> None:
    """Add the tab's content to the page that is being built."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=280):
            files = gr.File(
                label="Photos or a ZIP of them",
                file_count="multiple",
                height=170,
                elem_id="many-files",
            )
            takes_uploads(files)
            folder = gr.UploadButton(
                "Choose a folder", file_count="directory", size="sm", elem_id="many-folder"
            )
            takes_uploads(folder)
            model = gr.Dropdown(
                engine.choices, value=engine.names[0], label="Network", visible=len(engine.choices) > 1
            )
            with gr.Row(elem_id="many-buttons"):
                start = gr.Button("Start", variant="primary", min_width=80, elem_id="many-start")
                cancel = gr.Button("Cancel", interactive=False, min_width=80, elem_id="many-cancel")
            progress = gr.HTML(elem_id="many-progress")
            with gr.Row(elem_id="many-downloads"):
                as_csv = gr.DownloadButton(
                    "Download CSV", size="sm", min_width=80, visible=False, elem_id="many-csv"
                )
                as_json = gr.DownloadButton(
                    "Download JSON", size="sm", min_width=80, visible=False, elem_id="many-json"
                )
            gr.HTML(
                f'<p class="mix">Up to {MOST_FILES:,} photos at once. A ZIP keeps the names of its folders, a chosen folder '
                "only those of its files. Add a table with the columns image_id and dx (CSV, tab-separated or Excel; the ISIC's own tables, too) "
                "to measure the network on them. Photos and table go nowhere else and are deleted within ten minutes of their last "
                "use: download what you want to keep.</p>"
            )
        with gr.Column(scale=13, min_width=320):
            table = gr.HTML(
                EMPTY,
                js_on_load=TABLE.read_text(encoding="utf-8"),
                apply_default_css=False,
                elem_id="many-table",
            )
            evaluation = gr.HTML(apply_default_css=False, elem_id="many-evaluation")
    state = gr.State(None)  # memory.py sees to it that it is forgotten
    waiting = gr.Timer(KEPT, active=False)  # ticks for as long as the page is there, and the run
    outputs = [progress, table, evaluation, as_csv, as_json, start, cancel, waiting]

    def add_folder(more: list[Upload], before: list[Upload]) -> list[str]:
        return [str(upload.path) for upload in (*before, *more)]

    def begin(uploads: list[Upload], model: str) -> list[Any]:
        nothing = Run(Uploads([], [], []), model, begun=True)
        try:
            found = sort_out(uploads)
        except TooMany as error:
            return [nothing, refusal_html(str(error)), *_idle()]
        if not found.photos:
            return [nothing, refusal_html("There is no photo yet: choose some, a folder or a ZIP."), *_idle()]
        run = Run(found, model)
        said = _waiting("Waiting for the network.")
        return [run, said, EMPTY, _fault(run), *_buttons(running=True)]

    def go_on(run: Run | None) -> Iterator[list[Any]]:
        if run is None:
            yield [refusal_html(FORGOTTEN), *_idle()]
            return
        if run.begun:
            yield [gr.skip()] * len(outputs)
            return
        run.begun = True
        try:
            classifier = engine.classifier(run.model)
        except UnknownModel as error:
            yield [refusal_html(str(error)), *_idle()]
            return
        from skinapp.network.classifier import BATCH

        count, started, shown = len(run.uploads.photos), time.monotonic(), 0
        for done in run.results(classifier):
            if done % BATCH:  # those of a batch come together
                continue
            # The browser gets the table in ever larger steps, so that a long run does not send it hundreds of times.
            grown = done >= 1.3 * shown
            shown = done if grown else shown
            left = (time.monotonic() - started) / done * (count - done)
            table_now = _table(run) if grown else gr.skip()
            yield [_progress(done, count, left), table_now, *[gr.skip()] * (len(outputs) - 2)]
        yield [
            _ended(run, time.monotonic() - started),
            _table(run),
            _evaluated(run),
            *_files(run, classifier, as_csv, as_json),
            *_buttons(running=False)[2:],
        ]

    def stop(run: Run | None) -> list[Any]:
        if run is not None:
            run.cancelled.set()
            if not run.begun:  # its turn may be minutes away
                return ['<p role="status">Cancelled before its turn came.</p>', *_idle()]
        return [gr.Button(interactive=False) if part is cancel else gr.skip() for part in outputs]

    def still_wanted(run: Run | None) -> None:
        # That the session is asked for lets Gradio count anew how long it has not been used.
        if run is not None:
            run.uploads.keep()

    def rearrange(run: Run | None, event: gr.EventData) -> list[Any]:
        if run is None:  # what is on the screen is all that is left
            return [refusal_html(FORGOTTEN), gr.skip()]
        told = event._data or {}
        run.order = run.order.after(str(told.get("sort", "")), told.get("page"))
        return [gr.skip(), _table(run)]

    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    folder.upload(add_folder, [folder, files], files, **quiet)
    start.click(begin, [files, model], [state, *outputs], **quiet).then(
        go_on, state, outputs, concurrency_id="many", concurrency_limit=RUNS, **quiet
    )
    cancel.click(stop, state, outputs, queue=False, **quiet)
    waiting.tick(still_wanted, state, None, queue=False, **quiet)
    table.arranged(rearrange, state, [progress, table], trigger_mode="always_last", **quiet)


def _thumbnail(result: Reading | str) -> str:
    if isinstance(result, str):
        return ""
    small = result.square.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return data_uri(small, "JPEG")


def _table(run: Run) -> str:
    return table_html(run.rows, run.thumbnails, run.order)


def _buttons(running: bool) -> list[Any]:
    """CSV, JSON, Start, Cancel, and the timer."""
    hidden = gr.DownloadButton(visible=False)
    start, cancel = gr.Button(interactive=not running), gr.Button(interactive=running)
    return [hidden, hidden, start, cancel, gr.Timer(active=running)]


def _idle() -> list[Any]:
    return [EMPTY, "", *_buttons(running=False)]


def _files(run: Run, classifier: Classifier, *buttons: gr.DownloadButton) -> list[Any]:
    """The downloads, where there is a row."""
    if not run.rows:
        return [gr.DownloadButton(visible=False)] * 2
    table, structured = (
        download_path(button, f"skinapp.{ending}")
        for button, ending in zip(buttons, ("csv", "json"), strict=True)
    )
    with table.open("w", newline="", encoding="utf-8-sig") as file:  # Excel takes other CSV for Windows-1252
        writer = CsvTable(file)
        for row in run.rows:
            writer.write(row)
    structured.write_text(json.dumps(run.as_json(classifier), indent=1) + "\n", encoding="utf-8")
    return [gr.DownloadButton(value=str(path), visible=True) for path in (table, structured)]


def _evaluated(run: Run) -> str:
    try:
        found = run.agreement()
    except LabelsError as error:
        return _no_evaluation(error)
    return agreement_html(found) if found else ""


def _fault(run: Run) -> str:
    """What is wrong with the labels, told before the run and not after its minutes; empty where nothing is."""
    try:
        _ = run.labels
    except LabelsError as error:
        return _no_evaluation(error)
    return ""


def _no_evaluation(error: LabelsError) -> str:
    return refusal_html(f"No evaluation. {error}")


def _waiting(sentence: str) -> str:
    return f'<p class="waiting" role="status">{escape(sentence)}</p><progress aria-label="Photos read"></progress>'


def _progress(done: int, count: int, left: float) -> str:
    return (
        f'<p class="waiting">{done:,} of {count:,} photos, {_duration(left)} left</p>'
        f'<progress aria-label="Photos read" max="{count}" value="{done}"></progress>'
    )


def _ended(run: Run, seconds: float) -> str:
    done, count = len(run.rows), len(run.uploads.photos)
    broken = sum(bool(row.error) for row in run.rows)
    unread = f" {broken:,} of them could not be read: they stand last, with the reason." if broken else ""
    if done < count:
        return f'<p role="status">Cancelled: {done:,} of {count:,} photos are done and kept.{unread}</p>'
    return f'<p role="status">{done:,} photo{"s" * (done != 1)} in {_duration(seconds)}.{unread}</p>'


def _duration(seconds: float) -> str:
    """`8 s`, `3 min`, `2 h 5 min`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
