"""Something to try the page with, for people who have no photo at hand: a photo of each class, and an everyday object."""

import gradio as gr
from PIL import Image

from skinapp.page.pictures import data_uri
from skinapp.page.templating import render, script
from skinapp.photo.cases import Case, first_of_each
from skinapp.photo.preprocess import open_photo

THUMBNAIL = 72  # pixels


def examples_view() -> gr.HTML:
    """Buttons with thumbnails, which do not say what they show. The event `chosen` brings the case's `number`."""
    thumbnails = [
        data_uri(open_photo(case.path).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX), "JPEG")
        for case in first_of_each()
    ]
    return gr.HTML(
        render("examples", thumbnails=thumbnails),
        js_on_load=script("examples"),
        apply_default_css=False,
        elem_id="examples",
    )


def credit_html(case: Case | None) -> str:
    """Class, source and licence of an example, which stand beneath it once it is looked at; empty for a photo of one's own."""
    return render("credit", case=case) if case else ""
