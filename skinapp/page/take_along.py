"""Report, JSON and overlay to take along. The files are made in memory and handed to the browser inside the answer: none
lies on the server, and none can be fetched by anybody else."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from skinapp.page.result import refusal_html

if TYPE_CHECKING:
    from skinapp.reading import Reading

LABEL_HELP = "Free text for your own records. Please no names or other patient data."
# {name, kind, data (base64)} -> a download.
SAVE = """(file) => {
  if (!file) return;
  const bytes = Uint8Array.from(atob(file.data), (character) => character.charCodeAt(0));
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([bytes], { type: file.kind }));
  link.download = file.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}"""


def add(
    inputs: list[Any], seen: Callable[..., tuple[Reading, str, str, float, float] | None]
) -> tuple[gr.Textbox, gr.HTML]:
    """Add label and buttons. Returns the label, and what is said of the last file. seen(*inputs): reading, class, method, sensitivity and opacity in
    percent, or None."""
    label = gr.Textbox(label="Case label (optional)", info=LABEL_HELP, max_length=120, max_lines=1)
    missing = gr.HTML(elem_id="label-missing")
    label.blur(_missing, label, missing, api_visibility="private", show_progress="hidden")
    with gr.Row():
        report = gr.Button("Report (PDF)", variant="primary", size="sm", min_width=90, elem_id="export-pdf")
        data = gr.Button("Data (JSON)", size="sm", min_width=90)
        picture = gr.Button("Overlay (PNG)", size="sm", min_width=90)
    said = gr.HTML(elem_id="taken")
    carrier = gr.JSON(visible=False)

    def made(
        kind: str, name: str, make: Callable[..., bytes]
    ) -> Callable[..., tuple[dict[str, str] | None, str]]:
        def handler(text: str, *values: Any) -> tuple[dict[str, str] | None, str]:
            now = seen(*values)
            if now is None:
                return None, refusal_html("There is no result to export. Upload a photo first.")
            file = base64.b64encode(make(text, *now)).decode()
            return {
                "name": name,
                "kind": kind,
                "data": file,
            }, '<p class="mix" role="status">Saved by your browser.</p>'

        return handler

    files: list[tuple[gr.Button, str, str, Callable[..., bytes]]] = [
        (report, "application/pdf", "skinapp-report.pdf", _pdf),
        (data, "application/json", "skinapp-reading.json", _json),
        (picture, "image/png", "skinapp-overlay.png", _png),
    ]
    for button, kind, name, make in files:
        button.click(
            made(kind, name, make),
            [label, *inputs],
            [carrier, said],
            api_visibility="private",
            show_progress="minimal",
        ).then(None, carrier, None, js=SAVE)
    return label, said


def _missing(label: str) -> str:
    """Says before the export which characters the PDF will lack."""
    if label.isascii():
        return ""
    from skinapp.output.report import unprintable

    characters = unprintable(label)
    if not characters:
        return ""
    shown = escape(characters[:20])
    return (
        f'<p class="mix" role="status">The PDF cannot print these characters of the label: <b lang="und">{shown}</b>. '
        "The JSON keeps them.</p>"
    )


def _pdf(label: str, reading: Reading, code: str, method: str, sensitivity: float, opacity: float) -> bytes:
    from skinapp.output.report import pdf

    return pdf(reading, reading.saliency(code, method), sensitivity, label, datetime.now(UTC), opacity / 100)


def _json(label: str, reading: Reading, *_: Any) -> bytes:
    from skinapp.output.report import document

    return json.dumps(document(reading, label, datetime.now(UTC)), indent=2).encode()


def _png(_: str, reading: Reading, code: str, method: str, __: float, opacity: float) -> bytes:
    from skinapp.output.report import png

    return png(reading, reading.saliency(code, method), opacity / 100)
