"""The loaded photo with the movable square that the network reads."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from skinapp.page.pictures import data_uri
from skinapp.photo.preprocess import Frame, turned

SHOWN = 560  # pixels of the photo's longer side as the page shows it

LEAST = 0.1  # of the shorter side; frame.js stops a little before

TEMPLATE = """${value ? `<div class="frame-photo" style="aspect-ratio:${value.width}/${value.height}">
<img src="${value.src}" alt="The photo as loaded">
<div class="frame-square" tabindex="0" role="group" aria-roledescription="movable frame"
 aria-label="What the network reads. Arrow keys move the frame, plus and minus change its size."><span class="frame-corner"></span></div>
</div>` : ""}"""


def frame_view() -> gr.HTML:
    """The component, empty. Its event `framed` brings x, y and side of the square."""
    return gr.HTML(
        None,
        html_template=TEMPLATE,
        js_on_load=(Path(__file__).parent / "frame.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="frame",
        visible=False,
    )


def frame_value(photo: Image.Image, frame: Frame) -> dict[str, Any]:
    """What the component shows. photo: RGB, upright, not yet turned -> its value."""
    shown = turned(photo, frame.turns)
    shown.thumbnail((SHOWN, SHOWN), Image.Resampling.BICUBIC, reducing_gap=3)
    place = {"x": frame.x, "y": frame.y, "side": frame.side}
    return {"src": data_uri(shown, "JPEG"), "width": shown.width, "height": shown.height} | place


def moved(frame: Frame, told: Any) -> Frame:
    """The frame as the browser tells it. told: the event's data {x, y, side}; where one of them is none that the page
    sends, the frame stays."""
    try:
        x, y, side = (float(told[name]) for name in ("x", "y", "side"))
    except (KeyError, TypeError, ValueError):
        return frame
    if not (0 <= x <= 1 and 0 <= y <= 1 and LEAST <= side <= 1):  # nor is NaN
        return frame
    return replace(frame, x=x, y=y, side=side)


def turned_frame(frame: Frame, quarters: int) -> Frame:
    """The same part of the photo after quarter turns clockwise."""
    x, y = frame.x, frame.y
    for _ in range(quarters % 4):
        x, y = 1 - y, x
    return replace(frame, turns=(frame.turns + quarters) % 4, x=x, y=y)
