"""Something to try the page with, for people who have no photo at hand: photos where the user has fetched some
(`python -m train.download --examples`), and drawn lesions."""

import io
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image, ImageOps

from skinapp.page.pictures import data_uri
from skinapp.photo.drawings import draw_lesion
from skinapp.photo.examples import fetched
from skinapp.photo.preprocess import PhotoError, open_photo

DRAWN = ("mel", "nv", "bcc", "bkl")  # enough to try the page with; the drawings resemble these classes
SEED = 2
THUMBNAIL = (96, 72)

TEMPLATE = """<p class="mix" id="examples-label">No photo at hand? Try an example:</p>
<div class="examples" role="group" aria-labelledby="examples-label">
${value.map((one, i) => `<button type="button" data-number="${i}" title="${one.caption}"><img src="${one.src}" alt="${one.caption}"></button>`).join("")}
</div>"""
CHOSEN = """element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-number]');
  if (button) trigger('chosen', { number: Number(button.dataset.number) });
});"""


@dataclass(frozen=True)
class Example:
    """One example. photo: a fetched photo's path; code: otherwise, the class whose look the drawing imitates."""

    caption: str
    code: str = ""
    photo: Path | None = None

    @property
    def drawn(self) -> bool:
        """Whether it is a drawing, not a photo."""
        return self.photo is None

    def picture(self, size: tuple[int, int] = (600, 450)) -> Image.Image:
        """RGB, (width, height). Raises PhotoError where a fetched photo is damaged."""
        if self.photo is None:
            return draw_lesion(self.code, SEED, size)
        return ImageOps.fit(open_photo(self.photo), size)

    @property
    def source(self) -> str | bytes:
        """The photo's path, or the drawing as a PNG file."""
        return str(self.photo) if self.photo else _drawing(self)


def examples() -> list[Example]:
    """All examples, in the order shown, photos first. A fetched photo that is damaged meanwhile is not offered."""
    photos = [Example(caption, photo=path) for path, caption in fetched()]
    return [photo for photo in photos if _readable(photo)] + [
        Example(f"Drawing {number}, not a photo", code) for number, code in enumerate(DRAWN, 1)
    ]


def examples_view(shown: list[Example]) -> gr.HTML:
    """Buttons with thumbnails. The event `chosen` brings the example's `number`."""
    value: list[dict[str, Any]] = [
        {
            "src": data_uri(example.picture((192, 144)).resize(THUMBNAIL, Image.Resampling.BOX), "JPEG"),
            "caption": escape(example.caption),
        }
        for example in shown
    ]
    return gr.HTML(
        value, html_template=TEMPLATE, js_on_load=CHOSEN, apply_default_css=False, elem_id="examples"
    )


def _readable(example: Example) -> bool:
    try:
        example.picture(THUMBNAIL)
    except PhotoError:
        return False
    return True


@cache
def _drawing(example: Example) -> bytes:
    file = io.BytesIO()
    example.picture().save(file, "PNG")
    return file.getvalue()
